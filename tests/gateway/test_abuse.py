"""What no caller should send: refused or cut off, never a hang, never an answer to the wrong question."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.gateway.engine import Engine
from tests.gateway.stage import Gateway, Stage, gateway, make_stage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

HOST = b"Host: gateway\r\n"
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
CORPUS = {
    "two lengths": b"POST /v1/models HTTP/1.1\r\n%bContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "two other lengths": b"POST /v1/models HTTP/1.1\r\n%bContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
    "length and chunks": b"POST / HTTP/1.1\r\n%bContent-Length: 5\r\n" + CHUNKS,
    "chunks and length": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    "two encodings": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "another encoding": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: identity\r\n\r\n",
    "encoding with a blank": b"POST / HTTP/1.1\r\n%bTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunks in 1.0": b"POST / HTTP/1.0\r\n%bTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded header": b"GET /health HTTP/1.1\r\n%bX: a\r\n b\r\n\r\n",
    "bare line feeds": b"GET /health HTTP/1.1\n%bX: a\n\n",
    "a bare line feed": b"GET /health HTTP/1.1\r\n%bX: a\nY: b\r\n\r\n",
    "a bare carriage return": b"GET /health HTTP/1.1\r\n%bX: a\rY: b\r\n\r\n",
    "a nul in a value": b"GET /health HTTP/1.1\r\n%bX: a\0b\r\n\r\n",
    "a nul in a name": b"GET /health HTTP/1.1\r\n%bX\0: a\r\n\r\n",
    "a nul in the target": b"GET /health\0 HTTP/1.1\r\n%b\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\n%bHost: other\r\n\r\n",
    "http/0.9": b"GET /health\r\n\r\n",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a number too long": b"POST / HTTP/1.1\r\n%bContent-Length: 99999999999999999999\r\n\r\n",
    "a signed number": b"POST / HTTP/1.1\r\n%bContent-Length: +2\r\n\r\nhi",
    "a bad chunk": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n",
    "a chunk too long": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
    "a giant header": b"GET /health HTTP/1.1\r\n%bX: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET /health HTTP/1.1\r\n%b" + b"X: a\r\n" * 200 + b"\r\n",
    "a giant body": b"POST /v1/completions HTTP/1.1\r\n%bContent-Length: 1000000000\r\n\r\n",
    "an upgrade": b"GET /health HTTP/1.1\r\n%bConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "a tunnel": b"CONNECT gateway:1 HTTP/1.1\r\n%b\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@contextmanager
def connected(running: Gateway) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", running.state["port"]), timeout=60) as line:
        yield line


def read_to_the_end(line: socket.socket) -> bytes:
    found = b""
    try:
        while data := line.recv(65536):
            found += data
    except ConnectionResetError:
        pass
    return found


def test_what_is_malformed_is_refused_and_the_connection_ended(running: Gateway):
    for name, raw in CORPUS.items():
        with connected(running) as line:
            line.sendall(raw.replace(b"%b", HOST) + b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n")
            answer = read_to_the_end(line)
        # One refusal and the end: what came behind it was not taken for a request.
        assert len(re.findall(rb"HTTP/1\.1 \d{3} ", answer)) == 1, (name, answer)
        assert answer[9:10] in b"45", (name, answer)
        assert b"connection: close" in answer, name


def raw_ask(stage: Stage, content: str, *, stream: bool = False) -> bytes:
    asked = stage.asking(stream=stream, messages=[{"role": "user", "content": content}])
    body = json.dumps(asked).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\n%bAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
        % (HOST, stage.secret.encode(), len(body), body)
    )


def test_pipelined_requests_are_answered_in_order(running: Gateway, engine: Engine):
    stage = make_stage(running, engine.url).ready()
    wanted = [raw_ask(stage, f"number {number}", stream=number % 2 == 0) for number in range(12)]
    last = b"GET /v1/nothing HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n"
    with connected(running) as line:
        line.sendall(b"".join(wanted) + last)
        answer = read_to_the_end(line)
    heads = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert heads == [b"200"] * 12 + [b"404"]
    assert [body["messages"][0]["content"] for body in engine.requests] == [f"number {n}" for n in range(12)]
    stage.settled(12)


def test_a_request_in_single_bytes_is_a_request(running: Gateway, engine: Engine):
    stage = make_stage(running, engine.url).ready()
    with connected(running) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in raw_ask(stage, "slowly"):
            line.sendall(bytes((byte,)))
        assert line.recv(65536).startswith(b"HTTP/1.1 200 ")
    stage.settled()


def test_bodies_that_are_no_question_are_refused(running: Gateway, engine: Engine):
    stage = make_stage(running, engine.url).ready()
    deep = b"[" * 100_000 + b"]" * 100_000
    bodies = {
        b"": 400, b"null": 400, b"[]": 400, b'{"model":': 400, b'{"model":"\xff"}': 400, b'{"model":7}': 400,
        b'{"model":"%b","max_tokens":-1}' % stage.slug.encode(): 400,
        b'{"model":"%b","n":1000000000000}' % stage.slug.encode(): 400,
        b'{"model":"%b","messages":%b}' % (stage.slug.encode(), deep): 400,
        b'{"model":"x\\u0000y"}': 404,
    }  # fmt: skip
    head = b"POST /v1/completions HTTP/1.1\r\n%bAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n"
    with connected(running) as line:
        for body, status in bodies.items():
            line.sendall(head % (HOST, stage.secret.encode(), len(body)) + body)
            answer = line.recv(65536)
            assert answer.startswith(b"HTTP/1.1 %d " % status), (body[:60], answer)
    assert not engine.requests


def test_slow_heads_are_cut_off(folder: Path, transactional_db: None):
    with gateway(folder, GATEWAY_HEAD_SECONDS="0.5") as running, connected(running) as line:
        line.sendall(b"GET /health HTTP/1.1\r\nX-Slow")
        assert read_to_the_end(line).startswith(b"HTTP/1.1 408 ")
