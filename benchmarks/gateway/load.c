/* A load generator for one server on loopback: HTTP/1.1, keep-alive, one thread, epoll.
 *
 *   load -p PORT -c CONNECTIONS -t SECONDS [-w SECONDS to warm up] [-r RATE: open loop, latency counts from
 *        the scheduled moment] [-n MOST REQUESTS] [-s: streams] [-a PERCENT of streams to break off, each after
 *        a chunk of its own between 1 and 50] [-k FILE with a key per line] [-m MODEL] [-P PATH] [-B BYTES of prompt]
 *        [-H HEADER: one more]
 *
 * Prints one line of JSON. `chunks` and `tokens` are what arrived, broken-off streams included.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD = 8192, STAMP = 23, MOST_KEYS = 1000, ANSWER_TOKENS = 100 };
enum part { SIZE, SIZE_END, DATA, DATA_END, TRAILER };

struct connection {
    int fd, is_asking, is_connecting, is_chunked, has_head, status, closes, got_chunks, break_at, carried;
    enum part part;
    int64_t since, first, left;
    int head_length;
    char head[HEAD], carry[STAMP];
};
struct numbers { double *values; long count, room; };

static int poller, port, connection_count = 1, is_stream, abort_percent, key_count, prompt_bytes;
static double seconds = 5, warm_up, rate;
static long most, started, finished, good, errors, refused_connections, aborted, chunks, tokens, not_ok, all_good;
static char *more_headers = "", *model = "mock-model", *path = "/v1/chat/completions", *keys[MOST_KEYS], *requests[MOST_KEYS];
static int request_lengths[MOST_KEYS], *idle, idle_count, in_flight;
static struct connection *connections;
static struct sockaddr_in address;
static struct numbers latency, first_byte, under_way;
static int64_t begun, measured_from, ends, *waiting;
static long waiting_from, waiting_to, waiting_room = 1 << 20;
static unsigned seed = 1;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void add(struct numbers *to, double value) {
    if (to->count == to->room) {
        to->room = to->room ? to->room * 2 : 65536;
        to->values = realloc(to->values, to->room * sizeof(double));
    }
    to->values[to->count++] = value;
}

static int by_value(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static double percentile(struct numbers *of, double share) {
    return of->count ? of->values[(long)(share * (of->count - 1) + 0.5)] : 0;
}

static void send_request(struct connection *c) {
    int key = started++ % key_count, sent = 0;
    while (sent < request_lengths[key]) {
        ssize_t done = send(c->fd, requests[key] + sent, request_lengths[key] - sent, MSG_NOSIGNAL);
        if (done > 0) sent += done;
        else if (errno != EAGAIN) return;
    }
}

static void open_connection(struct connection *c) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->is_connecting = connect(c->fd, (void *)&address, sizeof address) < 0;
    struct epoll_event event = {.events = EPOLLIN | (c->is_connecting ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

static void ask(struct connection *c, int64_t since) {
    int fd = c->fd;
    memset(c, 0, offsetof(struct connection, head));
    c->fd = fd, c->since = since, c->is_asking = 1;
    if (is_stream && abort_percent && rand_r(&seed) % 100 < abort_percent) c->break_at = 1 + rand_r(&seed) % 50;
    in_flight++;
    if (c->fd < 0) open_connection(c);
    if (!c->is_connecting) send_request(c);
}

static void rest(struct connection *c) { idle[idle_count++] = c - connections; }

static void go_on(struct connection *c) {
    int64_t moment = now();
    if (rate > 0 && waiting_from < waiting_to) ask(c, waiting[waiting_from++ % waiting_room]);
    else if (rate <= 0 && moment < ends && (!most || started < most)) ask(c, moment);
    else rest(c);
}

static void shut(struct connection *c) {
    close(c->fd);
    c->fd = -1;
}

static void finish(struct connection *c, int is_good) {
    int64_t moment = now();
    in_flight--, finished++, c->is_asking = 0;
    if (is_good && c->status == 200) {
        all_good++;
        if (!is_stream) tokens += ANSWER_TOKENS;
    } else
        not_ok++;
    if (c->since >= measured_from) {
        if (is_good && c->status == 200) {
            good++;
            add(&latency, (moment - c->since) / 1e6);
            if (c->first) add(&first_byte, (c->first - c->since) / 1e6);
        } else
            errors++;
    }
    if (c->closes && c->fd >= 0) shut(c);
    go_on(c);
}

static void fail(struct connection *c) {
    refused_connections++;
    shut(c);
    if (c->is_asking) finish(c, 0);
}

static void break_off(struct connection *c) {
    aborted++, in_flight--, finished++, c->is_asking = 0;
    shut(c);
    go_on(c);
}

static void count_stamp(struct connection *c, const char *digits, int64_t moment) {
    char text[21];
    memcpy(text, digits, 20);
    text[20] = 0;
    chunks++, tokens++, c->got_chunks++;
    if (c->since >= measured_from) add(&under_way, (moment - strtoll(text, NULL, 10)) / 1e6);
}

/* Stamps look like "t=<20 digits>; one may be split between two reads. */
static void find_stamps(struct connection *c, const char *data, int length, int64_t moment) {
    char seam[2 * STAMP];
    int taken = length < STAMP - 1 ? length : STAMP - 1, all = c->carried + taken;
    memcpy(seam, c->carry, c->carried);
    memcpy(seam + c->carried, data, taken);
    for (int at = 0; at < c->carried && at + STAMP <= all; at++)
        if (!memcmp(seam + at, "\"t=", 3)) count_stamp(c, seam + at + 3, moment);
    const char *end = data + length;
    for (const char *at = data; at + STAMP <= end; at += STAMP) {
        at = memmem(at, end - at, "\"t=", 3);
        if (!at || at + STAMP > end) break;
        count_stamp(c, at + 3, moment);
    }
    if (length >= STAMP - 1) {
        memcpy(c->carry, end - (STAMP - 1), STAMP - 1);
        c->carried = STAMP - 1;
    } else {
        int keep = all < STAMP - 1 ? all : STAMP - 1;
        memmove(c->carry, seam + all - keep, keep);
        c->carried = keep;
    }
}

/* True when the body has ended. */
static int take_body(struct connection *c, const char *data, int length, int64_t moment) {
    if (!c->is_chunked) {
        c->left -= length;
        return c->left <= 0;
    }
    for (int at = 0; at < length;) {
        char letter = data[at];
        switch (c->part) {
        case SIZE:
            at++;
            if (letter == '\n') c->part = c->left ? DATA : TRAILER;
            else if (letter == ';') c->part = SIZE_END;
            else if (letter != '\r') c->left = c->left * 16 + (letter <= '9' ? letter - '0' : (letter | 32) - 'a' + 10);
            break;
        case SIZE_END:
            at++;
            if (letter == '\n') c->part = c->left ? DATA : TRAILER;
            break;
        case DATA: {
            int some = length - at < c->left ? length - at : (int)c->left;
            find_stamps(c, data + at, some, moment);
            at += some, c->left -= some;
            if (!c->left) c->part = DATA_END;
            break;
        }
        case DATA_END:
            at++;
            if (letter == '\n') c->part = SIZE;
            break;
        case TRAILER:
            at++;
            if (letter == '\n') return 1;
        }
    }
    return 0;
}

/* How many bytes of the data belong to the head; -1 while it is not complete. */
static int take_head(struct connection *c, const char *data, int length) {
    int some = length < HEAD - 1 - c->head_length ? length : HEAD - 1 - c->head_length, before = c->head_length;
    memcpy(c->head + before, data, some);
    c->head_length += some;
    c->head[c->head_length] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) return -1;
    int used = end + 4 - c->head - before;
    *end = 0;
    char *length_said = strcasestr(c->head, "\ncontent-length:");
    c->has_head = 1;
    c->status = atoi(c->head + 9);
    c->is_chunked = strcasestr(c->head, "\ntransfer-encoding: chunked") != NULL;
    c->closes = strcasestr(c->head, "\nconnection: close") != NULL;
    c->left = c->is_chunked ? 0 : length_said ? atoll(length_said + 16) : 1LL << 50;
    return used;
}

static void hear(struct connection *c) {
    static char buffer[1 << 18];
    for (;;) {
        ssize_t got = recv(c->fd, buffer, sizeof buffer, 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            if (c->is_asking) fail(c);
            else shut(c);
            return;
        }
        if (!c->is_asking) return;
        int64_t moment = now();
        const char *data = buffer;
        int length = got;
        if (!c->has_head) {
            int used = take_head(c, data, length);
            if (used < 0) continue;
            data += used, length -= used;
        }
        if (length && !c->first) c->first = moment;
        if ((!c->is_chunked && c->left <= 0) || (length && take_body(c, data, length, moment))) {
            finish(c, 1);
            return;
        }
        if (c->break_at && c->got_chunks >= c->break_at) {
            break_off(c);
            return;
        }
        if (got < (ssize_t)sizeof buffer) return;
    }
}

static void read_keys(const char *file) {
    FILE *in = fopen(file, "r");
    char line[512];
    if (!in) { perror(file); exit(1); }
    while (key_count < MOST_KEYS && fgets(line, sizeof line, in)) {
        line[strcspn(line, "\n")] = 0;
        if (*line) keys[key_count++] = strdup(line);
    }
    fclose(in);
}

static void write_requests(void) {
    char *prompt = malloc(prompt_bytes + 1), *body;
    for (int at = 0; at < prompt_bytes; at++) prompt[at] = "the quick brown fox "[at % 20];
    prompt[prompt_bytes] = 0;
    int length = asprintf(&body, "{\"model\":\"%s\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a helpful assistant.\"},"
                                 "{\"role\":\"user\",\"content\":\"Say something about load.%s\"}],\"max_tokens\":%d,\"temperature\":0.7%s}",
                          model, prompt, ANSWER_TOKENS, is_stream ? ",\"stream\":true,\"stream_options\":{\"include_usage\":true}" : "");
    for (int key = 0; key < key_count; key++)
        request_lengths[key] = asprintf(&requests[key], "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
                                        "Content-Type: application/json\r\nAccept: */*\r\nUser-Agent: OpenAI/Python\r\n%sContent-Length: %d\r\n\r\n%s",
                                        path, port, keys[key], more_headers, length, body);
}

static void read_words(int count, char **words) {
    int option;
    while ((option = getopt(count, words, "p:c:t:w:r:n:sa:k:m:P:B:H:")) != -1) switch (option) {
        case 'p': port = atoi(optarg); break;
        case 'c': connection_count = atoi(optarg); break;
        case 't': seconds = atof(optarg); break;
        case 'w': warm_up = atof(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 'n': most = atol(optarg); break;
        case 's': is_stream = 1; break;
        case 'a': abort_percent = atoi(optarg); break;
        case 'k': read_keys(optarg); break;
        case 'm': model = optarg; break;
        case 'P': path = optarg; break;
        case 'H': if (asprintf(&more_headers, "%s%s\r\n", more_headers, optarg) < 0) exit(1); break;
        case 'B': prompt_bytes = atoi(optarg); break;
    }
    if (!key_count) keys[key_count++] = "sk-bench";
}

static void schedule(int64_t moment, long *scheduled, int64_t *wait) {
    while (moment < ends) {
        int64_t due = begun + (int64_t)(*scheduled * 1e9 / rate);
        if (due > moment) {
            if (due - moment < *wait) *wait = due - moment;
            return;
        }
        ++*scheduled;
        if (idle_count) ask(&connections[idle[--idle_count]], due);
        else waiting[waiting_to++ % waiting_room] = due;
    }
    waiting_from = waiting_to;
}

static void look(struct epoll_event *event) {
    struct connection *c = event->data.ptr;
    if (c->fd < 0) return;
    if (!c->is_connecting) { hear(c); return; }
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) { usleep(1000); fail(c); return; }
    c->is_connecting = 0;
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &wanted);
    send_request(c);
}

static void report(void) {
    double took = ((now() < ends ? now() : ends) - measured_from) / 1e9;
    struct numbers *all[] = {&latency, &first_byte, &under_way};
    for (int at = 0; at < 3; at++) qsort(all[at]->values, all[at]->count, sizeof(double), by_value);
    printf("{\"finished\":%ld,\"all_good\":%ld,\"good\":%ld,\"errors\":%ld,\"not_ok\":%ld,\"broken_off\":%ld,\"connection_errors\":%ld,\"seconds\":%.3f,\"rate\":%.1f,"
           "\"p50\":%.4f,\"p99\":%.4f,\"worst\":%.4f,\"ttft_p50\":%.4f,\"ttft_p99\":%.4f,\"chunks\":%ld,\"tokens\":%ld,\"chunk_p50\":%.4f,\"chunk_p99\":%.4f}\n",
           finished, all_good, good, errors, not_ok, aborted, refused_connections, took, good / took, percentile(&latency, .5), percentile(&latency, .99),
           percentile(&latency, 1), percentile(&first_byte, .5), percentile(&first_byte, .99), chunks, tokens, percentile(&under_way, .5),
           percentile(&under_way, .99));
}

int main(int count, char **words) {
    read_words(count, words);
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit = {40000, 40000};
    setrlimit(RLIMIT_NOFILE, &limit);
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    write_requests();
    poller = epoll_create1(0);
    connections = calloc(connection_count, sizeof *connections);
    idle = malloc((connection_count + 1) * sizeof *idle);
    waiting = malloc(waiting_room * sizeof *waiting);
    begun = now();
    measured_from = begun + (int64_t)(warm_up * 1e9);
    ends = measured_from + (int64_t)(seconds * 1e9);
    for (int at = 0; at < connection_count; at++) {
        connections[at].fd = -1;
        if (rate > 0 || (most && started >= most)) rest(&connections[at]);
        else ask(&connections[at], now());
    }
    static struct epoll_event events[1024];
    for (long scheduled = 0;;) {
        int64_t moment = now(), wait = 100000000;
        if (most && finished >= most) break;
        if (moment >= ends && (!in_flight || moment > ends + 8000000000LL)) break;
        if (rate > 0) schedule(moment, &scheduled, &wait);
        struct timespec time = {wait / 1000000000, wait % 1000000000};
        int found = epoll_pwait2(poller, events, 1024, &time, NULL);
        for (int at = 0; at < found; at++) look(&events[at]);
    }
    report();
    return 0;
}
