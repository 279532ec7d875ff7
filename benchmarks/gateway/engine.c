/* A pretended inference engine: answers at once or at a pace, and counts every token it sent.
 *
 *   engine -p PORT [-d MS to the first byte] [-n CHUNKS] [-i MS between chunks] [-b BYTES of an answer]
 *
 * POST anything: a JSON answer with usage, or, when the body says "stream":true, server-sent events with usage
 * and [DONE]. Every event carries the moment at which it was sent ("t=<20 digits>", CLOCK_MONOTONIC in ns), so
 * that the receiver knows how long it was under way. With "continuous_usage_stats":true each has its own usage.
 * GET /stats: what was sent so far. One thread, epoll, loopback only.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
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

enum { MOST_FDS = 40000, INPUT = 24, ANSWER_TOKENS = 100 };
enum kind { WHOLE = 1, OPENING, CHUNK };

struct connection {
    char *in, *out;
    size_t got, room, out_length, out_sent;
    int generation, is_busy, is_continuous, sent, is_open;
};
struct timer { int64_t at; int fd, generation; enum kind kind; };

static struct connection *connections[MOST_FDS];
static struct timer *timers;
static int timer_count, timer_room, poller, delay_ms, chunk_count = 50;
static double interval_ms;
static char *whole;
static int whole_length;
static long requests, streams, chunks, tokens_out, tokens_in, aborted;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void later(int64_t at, int fd, enum kind kind) {
    if (timer_count == timer_room) {
        timer_room = timer_room ? timer_room * 2 : 4096;
        timers = realloc(timers, timer_room * sizeof *timers);
    }
    struct timer new = {at, fd, connections[fd]->generation, kind};
    int place = timer_count++;
    for (; place && timers[(place - 1) / 2].at > at; place = (place - 1) / 2)
        timers[place] = timers[(place - 1) / 2];
    timers[place] = new;
}

static struct timer next_timer(void) {
    struct timer first = timers[0], last = timers[--timer_count];
    int place = 0;
    for (;;) {
        int child = 2 * place + 1;
        if (child >= timer_count) break;
        if (child + 1 < timer_count && timers[child + 1].at < timers[child].at) child++;
        if (timers[child].at >= last.at) break;
        timers[place] = timers[child];
        place = child;
    }
    timers[place] = last;
    return first;
}

static void watch(int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    epoll_ctl(poller, EPOLL_CTL_MOD, fd, &event);
}

static void put(int fd, const char *data, size_t length) {
    struct connection *c = connections[fd];
    if (!c->out_length) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent == (ssize_t)length || (sent < 0 && errno != EAGAIN)) return;
        if (sent > 0) data += sent, length -= sent;
    }
    c->out = realloc(c->out, c->out_length + length);
    memcpy(c->out + c->out_length, data, length);
    c->out_length += length;
    watch(fd, EPOLLIN | EPOLLOUT);
}

static void drain(int fd) {
    struct connection *c = connections[fd];
    while (c->out_sent < c->out_length) {
        ssize_t sent = send(fd, c->out + c->out_sent, c->out_length - c->out_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) return;
        if (sent < 0) break;
        c->out_sent += sent;
    }
    c->out_length = c->out_sent = 0;
    watch(fd, EPOLLIN);
}

static int event(char *to, const char *payload) {
    return sprintf(to, "%zx\r\n%s\r\n", strlen(payload), payload);
}

static void send_chunk(int fd) {
    static const char head[] = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"mock-model\",";
    struct connection *c = connections[fd];
    char text[1024], usage[160] = "", out[4096];
    int length, number = ++c->sent;
    if (c->is_continuous)
        sprintf(usage, ",\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d}", INPUT, number, INPUT + number);
    snprintf(text, sizeof text, "%s\"choices\":[{\"index\":0,\"delta\":{%s\"content\":\"t=%020lld tok\"},\"finish_reason\":null}]%s}\n\n",
             head, number == 1 ? "\"role\":\"assistant\"," : "", (long long)now(), usage);
    length = event(out, text);
    chunks++, tokens_out++;
    if (number == 1) tokens_in += INPUT;
    if (number == chunk_count) {
        snprintf(text, sizeof text, "%s\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n", head);
        length += event(out + length, text);
        snprintf(text, sizeof text, "%s\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n",
                 head, INPUT, chunk_count, INPUT + chunk_count);
        length += event(out + length, text);
        length += event(out + length, "data: [DONE]\n\n");
        length += sprintf(out + length, "0\r\n\r\n");
    }
    put(fd, out, length);
}

static void read_requests(int fd);

static void act(int fd, enum kind kind) {
    struct connection *c = connections[fd];
    if (kind == WHOLE) {
        tokens_out += ANSWER_TOKENS, tokens_in += INPUT;
        put(fd, whole, whole_length);
        c->is_busy = 0;
        read_requests(fd);
        return;
    }
    if (kind == OPENING) {
        static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
        put(fd, head, sizeof head - 1);
        c->sent = 0;
        streams++;
    }
    do send_chunk(fd);
    while (c->sent < chunk_count && interval_ms <= 0);
    if (c->sent < chunk_count) {
        later(now() + (int64_t)(interval_ms * 1e6), fd, CHUNK);
        return;
    }
    c->is_busy = 0, c->sent = 0;
    read_requests(fd);
}

static void tell(int fd, const char *request) {
    char body[512], out[1024];
    int length;
    if (!strncmp(request, "GET /stats", 10))
        length = sprintf(body, "{\"requests\":%ld,\"streams\":%ld,\"chunks\":%ld,\"tokens_out\":%ld,\"tokens_in\":%ld,\"aborted\":%ld}",
                         requests, streams, chunks, tokens_out, tokens_in, aborted);
    else
        length = sprintf(body, "{\"object\":\"list\",\"data\":[{\"id\":\"mock-model\",\"object\":\"model\",\"created\":1,\"owned_by\":\"bench\"}],"
                               "\"model_path\":\"mock-model\",\"status\":\"ok\",\"is_generation\":true}");
    int whole_head = sprintf(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", length, body);
    put(fd, out, whole_head);
}

static size_t body_length(struct connection *c, char *end) {
    char saved = *end, *found;
    size_t length = 0, head = end - c->in + 4;
    *end = 0;
    found = strcasestr(c->in, "\ncontent-length:");
    int is_chunked = strcasestr(c->in, "\ntransfer-encoding:") != NULL;
    if (found) length = strtoul(found + 16, NULL, 10);
    *end = saved;
    if (is_chunked && !found) {
        char *last = memmem(c->in + head, c->got - head, "0\r\n\r\n", 5);
        return last ? (size_t)(last + 5 - c->in) - head : (size_t)-1;
    }
    return length;
}

static void read_requests(int fd) {
    struct connection *c = connections[fd];
    while (!c->is_busy && c->got) {
        c->in[c->got] = 0;
        char *end = memmem(c->in, c->got, "\r\n\r\n", 4);
        if (!end) return;
        size_t head = end - c->in + 4, length = body_length(c, end), all = head + length;
        if (length == (size_t)-1) return;
        if (c->got < all) {
            if (all + 1 > c->room) c->room = all + 4096, c->in = realloc(c->in, c->room + 1);
            return;
        }
        int is_post = !strncmp(c->in, "POST", 4), is_stream = 0;
        if (is_post) {
            is_stream = memmem(c->in + head, length, "\"stream\":true", 13) || memmem(c->in + head, length, "\"stream\": true", 14);
            c->is_continuous = memmem(c->in + head, length, "continuous_usage_stats\":true", 28) != NULL;
            requests++;
        } else
            tell(fd, c->in);
        memmove(c->in, c->in + all, c->got - all);
        c->got -= all;
        if (!is_post) continue;
        c->is_busy = 1;
        enum kind kind = is_stream ? OPENING : WHOLE;
        if (delay_ms) later(now() + delay_ms * 1000000LL, fd, kind);
        else act(fd, kind);
    }
}

static void forget(int fd) {
    struct connection *c = connections[fd];
    if (c->is_busy) aborted++;
    close(fd);
    c->generation++;
    c->is_open = c->is_busy = c->sent = 0;
    c->got = c->out_length = c->out_sent = 0;
}

static void greet(int door) {
    int fd, one = 1;
    while ((fd = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MOST_FDS) { close(fd); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (!connections[fd]) {
            connections[fd] = calloc(1, sizeof **connections);
            connections[fd]->room = 8192;
            connections[fd]->in = malloc(8193);
        }
        connections[fd]->is_open = 1;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

static void hear(int fd) {
    struct connection *c = connections[fd];
    for (;;) {
        if (c->got == c->room) c->room *= 2, c->in = realloc(c->in, c->room + 1);
        ssize_t got = recv(fd, c->in + c->got, c->room - c->got, 0);
        if (got < 0 && errno == EAGAIN) break;
        if (got <= 0) { forget(fd); return; }
        c->got += got;
        if (c->got < c->room) break;
    }
    read_requests(fd);
}

static void prepare(int bytes) {
    char *text = malloc(bytes + 1), *body = malloc(bytes + 1024);
    for (int at = 0; at < bytes; at++) text[at] = "lorem ipsum dolor sit amet "[at % 27];
    text[bytes] = 0;
    int length = sprintf(body, "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"mock-model\",\"choices\":[{\"index\":0,"
                               "\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":%d,"
                               "\"completion_tokens\":%d,\"total_tokens\":%d}}", text, INPUT, ANSWER_TOKENS, INPUT + ANSWER_TOKENS);
    whole = malloc(length + 256);
    whole_length = sprintf(whole, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", length, body);
}

static int open_door(int port) {
    int door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(door, (void *)&address, sizeof address) || listen(door, 4096)) { perror("engine"); exit(1); }
    return door;
}

int main(int count, char **words) {
    int port = 0, bytes = 400, option;
    while ((option = getopt(count, words, "p:d:n:i:b:")) != -1) {
        if (option == 'p') port = atoi(optarg);
        else if (option == 'd') delay_ms = atoi(optarg);
        else if (option == 'n') chunk_count = atoi(optarg);
        else if (option == 'i') interval_ms = atof(optarg);
        else if (option == 'b') bytes = atoi(optarg);
    }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit = {MOST_FDS, MOST_FDS};
    setrlimit(RLIMIT_NOFILE, &limit);
    prepare(bytes);
    int door = open_door(port);
    poller = epoll_create1(0);
    struct epoll_event first = {.events = EPOLLIN, .data.fd = door};
    epoll_ctl(poller, EPOLL_CTL_ADD, door, &first);
    static struct epoll_event events[1024];
    for (;;) {
        struct timespec wait = {3600, 0};
        if (timer_count) {
            int64_t left = timers[0].at - now();
            if (left < 0) left = 0;
            wait = (struct timespec){left / 1000000000, left % 1000000000};
        }
        int found = epoll_pwait2(poller, events, 1024, &wait, NULL);
        for (int at = 0; at < found; at++) {
            int fd = events[at].data.fd;
            if (fd == door) { greet(door); continue; }
            if (!connections[fd]->is_open) continue;
            if (events[at].events & EPOLLOUT) drain(fd);
            if (events[at].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) hear(fd);
        }
        int64_t due = now() + 50000;
        while (timer_count && timers[0].at <= due) {
            struct timer one = next_timer();
            struct connection *c = connections[one.fd];
            if (c->is_open && c->generation == one.generation) act(one.fd, one.kind);
        }
    }
}
