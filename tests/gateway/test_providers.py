"""External providers beside engines of our own: asked in their words, passed on in ours, paid for once."""

import asyncio
import json
import ssl
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.billing.models import ProviderDay
from apps.billing.services import provided
from apps.billing.specs import TokenRate
from apps.core.actor import SYSTEM
from apps.gateway.messages import ProviderRow, ReplicaRow
from apps.gateway.plane import upstream
from apps.gateway.plane.engines import Engine as PlaneEngine
from apps.gateway.plane.providers import Provider
from apps.gateway.plane.sender import Sender
from apps.inference.models import Endpoint, Replica
from tests.factories.tls import make_certificate
from tests.gateway import engine as engines
from tests.gateway.engine import PROMPT_TOKENS, Engine, Plan
from tests.gateway.stage import Gateway, Stage, events_of, make_stage, text_of, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
KEY = "sk-their-secret-key"


def add(stage: Stage, provider: Engine, path: str = "/v1", **fields: Any) -> Replica:
    """A provider that answers for the endpoint; as a fallback unless told otherwise."""
    replica = Replica(
        endpoint=stage.endpoint, region=stage.cluster.region, kind="external", state="ready", due_at=None,
        url=provider.url + path, **{"provider_model": "their-model", "is_fallback": True, **fields},
    )  # fmt: skip
    replica.seal_secret(KEY)
    replica.save()
    stage.replicas.append(replica)
    return replica


@pytest.mark.parametrize("is_loose", [False, True])
def test_a_provider_is_asked_in_its_words_and_answers_under_our_name(
    running: Gateway, engine: Engine, is_loose: bool
):
    engine.plan = Plan(usage="final", is_loose=is_loose)
    stage = make_stage(running, state="scaled_to_zero", wanted=1)
    add(stage, engine, "/api/openai")
    stage.ready()
    whole = stage.post(max_tokens=None, user=None)
    assert whole.json()["model"] == stage.slug
    with stage.streaming(max_completion_tokens=50, max_tokens=None) as response:
        events = list(events_of(response.iter_lines()))
    assert {event["model"] for event in events} == {stage.slug}
    assert text_of(events) == "".join(map(engines.word, range(5)))
    assert not [event for event in events if not event["choices"]]  # nobody asked for the usage
    first, second = engine.requests
    assert (first["model"], first["max_tokens"], first.get("stream")) == ("their-model", 4096, None)
    assert second["stream_options"] == {"include_usage": True}
    assert not {"timings_per_token", "max_tokens"} & set(second)
    assert all(head.startswith(b"POST /api/openai/chat/completions ") for head in engine.heads)
    assert all(f"Authorization: Bearer {KEY}\r\n".encode() in head for head in engine.heads)
    rows = stage.settled(2)
    assert [(row.input, row.output, row.replica_id) for row in rows] == [
        (PROMPT_TOKENS, 5, stage.replicas[0].pk)
    ] * 2
    receipt = httpx.get(
        f"{running.url}/v1/receipts/{whole.headers['x-receipt-id']}", headers=stage.headers, timeout=60
    ).json()
    assert (receipt["external"], receipt["isolation"], receipt["model_digest"]) == (True, "external", None)


def test_a_fallback_is_asked_when_ours_cannot_answer(running: Gateway, engine: Engine):
    """Unseen by the callers; but a stream of ours that breaks is not continued by who would begin anew."""
    with engines.running(Plan(usage="final")) as theirs:
        stage = make_stage(running, engine.url)
        add(stage, theirs)
        stage.ready()
        assert {stage.post().status_code for _call in range(4)} == {200}
        assert (len(engine.requests), len(theirs.requests)) == (4, 0)
        engine.plan = Plan(tokens=20, die_at=9)
        with stage.streaming(temperature=0) as response:
            broken = list(response.iter_lines())
        assert any("engine_failed" in line for line in broken)
        assert not theirs.requests
        engine.die()
        answers = [stage.post(stream=number % 2 == 0) for number in range(6)]
        assert {one.status_code for one in answers} == {200}
        assert len(theirs.requests) == 6
        assert all(KEY not in one.text for one in answers)
        stage.settled(11)


def test_ours_goes_on_where_a_provider_broke_off(running: Gateway, engine: Engine):
    with engines.running(Plan(tokens=20, die_at=9, usage="none")) as theirs:
        engine.plan = Plan(tokens=20)
        stage = make_stage(running, engine.url)
        Replica.objects.filter(pk=stage.replicas[0].pk).update(is_fallback=True)
        add(stage, theirs, is_fallback=False)
        stage.ready()
        with stage.streaming(temperature=0) as response:
            events = list(events_of(response.iter_lines()))
    assert text_of(events) == "".join(map(engines.word, range(20)))
    assert {event["model"] for event in events} == {stage.slug}
    (row,) = stage.settled(1)
    assert (row.outcome, row.output) == ("completed", 20)


def test_a_provider_alone_answers_and_what_it_charges_is_booked(running: Gateway, engine: Engine):
    stage = make_stage(running)
    Endpoint.objects.filter(pk=stage.endpoint.pk).update(
        team=None, workspace=None, visibility="public", metering="tokens", revision=None, context_length=4096
    )
    provider = add(stage, engine, is_fallback=False)
    rate = TokenRate("EUR", Decimal("0.5"), Decimal("0.5"), Decimal("1.5"))
    provided.set_rate(actor=SYSTEM, replica_id=provider.pk, rate=rate)
    stage.ready()
    assert stage.post(max_tokens=None).json()["model"] == stage.slug
    with stage.streaming() as response:
        assert text_of(list(events_of(response.iter_lines())))
    assert engine.requests[0]["max_tokens"] <= 4096
    stage.settled(2)
    cost = {one.product.rpartition(":")[2]: one.amount for one in ProviderDay.objects.all()}
    assert cost == {"input": 2 * PROMPT_TOKENS * rate.input / 10**6, "output": 10 * rate.output / 10**6}


def test_while_a_provider_answers_a_sleeping_engine_is_woken(running: Gateway, engine: Engine):
    stage = make_stage(running, state="scaled_to_zero", wanted=0, min_replicas=0)
    add(stage, engine)
    stage.ready()
    assert stage.post().status_code == 200
    until(lambda: Endpoint.objects.get(pk=stage.endpoint.pk).wanted == 1, "the endpoint to be woken")
    stage.settled(1)


def test_nobody_pays_for_more_than_was_asked_nor_reads_the_key(running: Gateway, engine: Engine):
    told = json.dumps({"error": {"message": f"no such thing, {KEY}"}})
    engine.plan = Plan(status=400, body=told.encode())
    stage = make_stage(running, state="scaled_to_zero", wanted=1)
    add(stage, engine)
    stage.ready()
    refused = stage.post()
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "engine_refused")
    assert "no such thing, ***" in refused.text
    answer = b'{"model": "x", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5000}}'
    engine.plan = Plan(status=203, body=answer)
    assert stage.post(max_tokens=10).status_code == 203
    rows = stage.settled(2)
    assert [(row.outcome, row.input, row.output) for row in rows] == [
        ("refused", 0, 0), ("completed", 7, 10),
    ]  # fmt: skip


def test_what_we_owe_a_provider_is_not_the_callers_to_know(running: Gateway, engine: Engine):
    with engines.running(Plan(status=402)) as theirs:
        stage = make_stage(running)
        add(stage, theirs, is_fallback=False)
        stage.add(engine.url, is_fallback=True)
        stage.ready()
        assert stage.post().status_code == 200
    assert (len(theirs.requests), len(engine.requests)) == (1, 1)
    stage.settled(1)


# ------------------------------------------------------------------ without a gateway


def test_what_a_provider_says_is_spelled_our_way_or_left_as_it_is() -> None:
    provider = Provider(ProviderRow("theirs", []), KEY, tls=True)
    assert provider.told(b'{ "model" : "x-2024", "n": {"model": "y"} }', "ours") == (
        b'{"model":"ours","n":{"model":"y"}}'
    )
    assert provider.told(b'{"response": {"model": "x"}}', "ours") == b'{"response":{"model":"ours"}}'
    for odd in (b"", b"[1]", b"{", b"\xff", b"[" * 100_000):
        assert provider.told(odd, "ours") == odd
    assert provider.told(f"you sent {KEY}".encode(), "ours") == b"you sent ***"
    assert Provider(ProviderRow("theirs", []), "", tls=True).told(b"a", "ours") == b"a"


def test_a_provider_is_asked_for_no_more_than_is_held() -> None:
    provider = Provider(ProviderRow("theirs", []), "", tls=True)
    asked = provider.asked(
        b'{"model":"a","max_tokens":9000,"stream_options":{"x":1}}', b"/v1/completions", 4096
    )
    assert asked == b'{"model":"theirs","max_tokens":4096,"stream_options":{"include_usage":true}}'
    asked = provider.asked(b'{"model":"a","stream_options":{}}', b"/v1/responses", 5)
    assert asked == b'{"model":"theirs","max_output_tokens":5}'
    assert provider.asked(b'{"model":"a"}', b"/v1/embeddings", 5) == b'{"model":"theirs"}'


def test_addresses_are_looked_at_when_they_are_reached() -> None:
    public, inner = (
        Provider(ProviderRow("m", []), "", tls=True),
        Provider(ProviderRow("m", ["10.0.0.0/8"]), "", tls=False),
    )
    for address in ("169.254.169.254", "127.0.0.1", "10.0.0.1", "::1", "fe80::1%eth0", "::ffff:10.0.0.1"):
        assert not public.may_be_at((address, 443))
    assert public.may_be_at(("93.184.216.34", 443))
    assert inner.may_be_at(("10.0.0.1", 80))
    assert not inner.may_be_at(("93.184.216.34", 80))  # the key would travel in the open


class _User:
    """Notes whether there was a connection."""

    def __init__(self) -> None:
        self.found: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def on_connected(self, connection: upstream.Connection) -> None:
        connection.leave()
        self.found.set_result(True)

    def on_unreachable(self, _engine: PlaneEngine) -> None:
        self.found.set_result(False)


def test_tls_is_spoken_to_whom_one_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate is checked, for the name, and the address once it is reached."""
    certificate, key = make_certificate(tmp_path, "localhost")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, key)

    async def reaches(host: str, port: int, *networks: str) -> bool:
        row = ReplicaRow(
            "rep_1", f"https://{host}:{port}/v1", KEY, 1, False, False, "", ProviderRow("m", [*networks])
        )
        user = _User()
        sender = Sender(asyncio.get_running_loop())
        upstream.connect(sender, PlaneEngine(row, bytes(16)), user)  # type: ignore[arg-type]
        return await asyncio.wait_for(user.found, 60)

    async def play() -> list[bool]:
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=server_side)
        port = server.sockets[0].getsockname()[1]
        async with server:
            unknown = await reaches("localhost", port, "127.0.0.0/8")
            monkeypatch.setattr(upstream, "_tls", ssl.create_default_context(cafile=str(certificate)))
            known = await reaches("localhost", port, "127.0.0.0/8")
            return [
                unknown,
                known,
                await reaches("127.0.0.1", port, "127.0.0.0/8"),
                await reaches("localhost", port),
            ]

    assert asyncio.run(play()) == [False, True, False, False]
