"""One request from a key to a receipt."""

import base64
from dataclasses import replace
from decimal import Decimal

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from apps.core.actor import SYSTEM
from apps.gateway.steward import receipts
from apps.inference.models import Replica, Revision
from apps.teams.services import create_workspace
from tests.factories.teams import key_of
from tests.gateway.engine import Engine
from tests.gateway.stage import Gateway, events_of, make_stage, text_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


def test_a_request_is_answered_metered_and_charged(running: Gateway, engine: Engine):
    stage = make_stage(running, engine.url).ready()
    answer = stage.post()
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == " t0 t1 t2 t3 t4"
    (row,) = stage.settled()
    assert (row.input, row.output) == (7, 5)
    assert row.amount == Decimal("0.000017")


def test_a_stream_is_answered_metered_and_charged(running: Gateway, engine: Engine):
    stage = make_stage(running, engine.url).ready()
    with stage.streaming() as response:
        assert response.status_code == 200
        events = list(events_of(response.iter_lines()))
    assert text_of(events) == " t0 t1 t2 t3 t4"
    assert all(event["choices"] for event in events)
    (row,) = stage.settled()
    assert (row.input, row.output) == (7, 5)
    assert row.first_ms <= (row.finished_at - row.started_at).total_seconds() * 1000, (
        "waiting for money counts"
    )


def test_a_receipt_is_signed_and_ones_own(running: Gateway, engine: Engine):
    stage, other = make_stage(running, engine.url).ready(), make_stage(running, engine.url).ready()
    canary = Revision.objects.get(pk=stage.revision.pk)
    canary.pk, canary.number, canary.digest = None, 2, "sha256:" + "1" * 64
    canary.save(force_insert=True)
    Replica.objects.filter(pk=stage.replicas[0].pk).update(revision=canary)
    receipt = stage.post().headers["x-receipt-id"]
    found = httpx.get(f"{running.url}/v1/receipts/{receipt}", headers=stage.headers, timeout=60)
    assert found.status_code == 200, found.text
    said = found.json()
    signature = said.pop("signature")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(signature["public_key"]))
    public.verify(base64.b64decode(signature["value"]), receipts.canonical(said))
    assert said["tokens"] == {"input": 7, "cached": 0, "output": 5, "embedding": 0}
    assert said["amount"] == "0.000017"
    assert (said["replica"], said["isolation"]) == (stage.replicas[0].pk, "process")
    assert said["model_digest"] == canary.digest
    apart = create_workspace(actor=SYSTEM, team=stage.team, name="Apart")
    issued = key_of(stage.team, "inference:use", workspace=apart)
    within = replace(stage, key=issued.key, secret=issued.secret).ready()
    of_another_workspace = httpx.get(
        f"{running.url}/v1/receipts/{receipt}", headers=within.headers, timeout=60
    )
    foreign = httpx.get(f"{running.url}/v1/receipts/{receipt}", headers=other.headers, timeout=60)
    missing = httpx.get(f"{running.url}/v1/receipts/rcp_{'0' * 26}", headers=stage.headers, timeout=60)
    assert (foreign.status_code, foreign.json()) == (missing.status_code, missing.json())
    assert (foreign.status_code, of_another_workspace.status_code) == (404, 404)
