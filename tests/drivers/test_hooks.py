"""One POST to an address that a customer wrote down: signed, to public addresses only, ten seconds in all."""

import socket
import ssl

import pytest

from apps.drivers import hooks
from apps.drivers.egress import is_url, may_name, networks_of
from apps.drivers.errors import DriverError, Rejected, Transient
from apps.drivers.hooks import client
from hostedai_sdk import webhooks
from tests.factories.receivers import receiving
from tests.factories.tls import make_certificate

LOOPBACK = networks_of(["127.0.0.0/8"])
HEADERS = {"Content-Type": "application/json"}


def test_the_signature_is_that_of_standard_webhooks():
    """The example of the specification."""
    headers = hooks.sign(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_sdk_takes_what_we_sign_and_nothing_else():
    secret, other = hooks.new_secret(), hooks.new_secret()
    headers = hooks.sign([secret], "evt_1", 1000, b'{"id": "evt_1"}')
    assert webhooks.verify(b'{"id": "evt_1"}', headers, secret, now=1100) == {"id": "evt_1"}
    both = hooks.sign([other, secret], "evt_1", 1000, b"{}")
    assert webhooks.verify("{}", {k.title(): v for k, v in both.items()}, secret, now=1000) == {}
    for body, key, now in (
        (b'{"id": "evt_2"}', secret, 1000),
        (b'{"id": "evt_1"}', other, 1000),
        (b'{"id": "evt_1"}', secret, 1301),
        (b'{"id": "evt_1"}', secret, 699),
        (b'{"id": "evt_1"}', "whsec_?", 1000),
    ):
        with pytest.raises(webhooks.BadSignature):
            webhooks.verify(body, headers, key, now=now)
    for name in headers:
        with pytest.raises(webhooks.BadSignature):
            webhooks.verify(b'{"id": "evt_1"}', {**headers, name: "x"}, secret, now=1000)


def test_a_body_arrives_as_it_was_sent():
    with receiving(answers=[202]) as receiver:
        answer = hooks.send(receiver.url, b'{"a": 1}', HEADERS, LOOPBACK)
    (call,) = receiver.calls
    assert (answer.status, call.path, call.body) == (202, "/hook?from=test", b'{"a": 1}')
    assert call.headers["host"] == receiver.url.split("/")[2]


def test_a_redirect_is_an_answer_and_is_not_followed():
    with (
        receiving() as elsewhere,
        receiving(answers=[307], headers={"Location": elsewhere.url}) as receiver,
    ):
        assert hooks.send(receiver.url, b"{}", HEADERS, LOOPBACK).status == 307
    assert elsewhere.calls == []


def test_what_is_private_is_not_spoken_to_unless_it_is_known(monkeypatch):
    """Not even a connection is opened: what a name leads to is looked at before."""
    with receiving() as receiver:
        with pytest.raises(Rejected):
            hooks.send(receiver.url, b"{}", HEADERS, ())
        port = int(receiver.url.split(":")[2].split("/")[0])
        for found in ("127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "64:ff9b::a9fe:a9fe"):
            family = socket.AF_INET6 if ":" in found else socket.AF_INET
            named = [(family, socket.SOCK_STREAM, 6, "", (found, port))]
            monkeypatch.setattr(client.socket, "getaddrinfo", lambda *_a, named=named, **_k: named)
            monkeypatch.setattr(client.socket, "socket", lambda *_a: pytest.fail("it was opened"))
            with pytest.raises(Rejected):
                hooks.send(f"https://innocent.example:{port}/", b"{}", HEADERS, networks_of(["192.0.2.0/24"]))
            monkeypatch.undo()
        assert receiver.calls == []


def test_a_name_is_resolved_once(monkeypatch):
    """What it means a moment later (DNS rebinding) is not asked."""
    asked = []
    with receiving() as receiver:
        port = int(receiver.url.split(":")[2].split("/")[0])

        def resolve(*about, **_more):
            asked.append(about)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(client.socket, "getaddrinfo", resolve)
        assert hooks.send(f"http://rebinds.example:{port}/", b"{}", HEADERS, LOOPBACK).status == 200
    assert len(asked) == 1


def test_a_receiver_that_drips_is_cut_off():
    """Each byte comes in time, the whole does not. A status that has come is the answer."""
    with receiving(dripping="head") as receiver, pytest.raises(Transient, match="in time"):
        hooks.send(receiver.url, b"{}", HEADERS, LOOPBACK, patience=0.3)
    with receiving(dripping="body") as receiver:
        assert hooks.send(receiver.url, b"{}", HEADERS, LOOPBACK, patience=2).status == 200


def test_a_port_where_nobody_speaks_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as line:
        url = f"https://127.0.0.1:{line.getsockname()[1]}/"
        with pytest.raises(Transient, match="in time"):
            hooks.send(url, b"{}", HEADERS, LOOPBACK, patience=0.3)


def test_a_long_answer_is_not_read_to_its_end():
    with receiving(dripping="body") as receiver:
        receiver.ended.set()  # the connection is closed at once: less than was promised
        assert hooks.send(receiver.url, b"{}", HEADERS, LOOPBACK).status == 200


def test_nobody_there_is_said_so():
    with receiving() as receiver:
        url = receiver.url
    with pytest.raises(Transient, match="does not answer"):
        hooks.send(url, b"{}", HEADERS, LOOPBACK)


def test_certificates_are_checked(tmp_path, monkeypatch):
    certificate, key = make_certificate(tmp_path, "localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    known = networks_of(["127.0.0.0/8", "::1/128"])
    with receiving(tls) as receiver:
        with pytest.raises(DriverError, match="certificate"):
            hooks.send(receiver.url, b"{}", HEADERS, known)
        trusting = ssl.create_default_context(cafile=str(certificate))
        monkeypatch.setattr(client, "_tls", lambda: trusting)
        assert hooks.send(receiver.url, b"{}", HEADERS, known).status == 200
        with pytest.raises(DriverError, match="certificate"):  # it is for another name
            hooks.send(receiver.url.replace("localhost", "127.0.0.1"), b"{}", HEADERS, known)
    assert len(receiver.calls) == 1


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a.example/", "https://", "https://user:pw@a.example/", "https://a.example:0/"),
        *("https://a.example:99999/", "https://a.example/a b", "https://a.example\r\nX: y", "//a.example"),
        *("https://a..example/", "https://-a.example/", "https://a.example#x", "javascript:alert(1)"),
    ],
)
def test_what_is_no_address(url):
    assert not is_url(url)


def test_addresses_as_far_as_their_words_tell():
    assert is_url("https://hooks.example.com/services/T0/B0?code=a%20b&x=1")
    assert may_name("https://hooks.example.com/x")
    assert not may_name("http://hooks.example.com/x")
    assert not may_name("https://127.0.0.1/x")
    assert not may_name("https://[::ffff:169.254.169.254]/x")
    assert may_name("http://127.0.0.1:1/x", LOOPBACK)
