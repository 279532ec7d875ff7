"""Who may not ask is told so; who may no longer is cut off within seconds, in the middle of a stream too."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from apps.core.actor import SYSTEM
from apps.inference.models import Replica
from apps.inference.services.endpoints import mark_revoked
from apps.teams.services import (
    create_workspace,
    delete_workspace,
    remove_member,
    revoke_api_key,
    suspend_team,
)
from tests.factories.teams import key_of, member_of
from tests.gateway.engine import PROMPT_TOKENS, Engine, Plan
from tests.gateway.stage import Gateway, Stage, gateway, make_stage, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


def revoke(stage: Stage) -> None:
    revoke_api_key(actor=SYSTEM, key=stage.key)


def suspend(stage: Stage) -> None:
    suspend_team(actor=SYSTEM, team=stage.team, reason="test")


def delete_its_workspace(stage: Stage) -> None:
    assert stage.key.workspace is not None
    delete_workspace(actor=SYSTEM, workspace=stage.key.workspace)


def revoke_model(stage: Stage) -> None:
    """As inference does when the registry revokes the version: its replicas drain."""
    mark_revoked(version_id=str(stage.revision.version_id))
    Replica.objects.filter(endpoint=stage.endpoint).update(state="draining", desired="gone")


ENDS: tuple[tuple[Callable[[Stage], None], int, str], ...] = (
    (revoke, 401, "bad_key"),
    (suspend, 403, "team_suspended"),
    (delete_its_workspace, 401, "bad_key"),
    (revoke_model, 404, "model_revoked"),
)


def in_a_workspace_of_its_own(stage: Stage) -> Stage:
    side = create_workspace(actor=SYSTEM, team=stage.team, name="Side")
    issued = key_of(stage.team, "inference:use", workspace=side)
    return replace(stage, key=issued.key, secret=issued.secret)


def test_rights_that_end_cut_open_streams(running: Gateway, engine: Engine):
    engine.plan = Plan(tokens=50, wait_at=4)
    stages = [in_a_workspace_of_its_own(make_stage(running, engine.url)) for _end in ENDS]
    with ExitStack() as stack:
        streams = [stack.enter_context(stage.ready().streaming()).iter_lines() for stage in stages]
        until(lambda: engine.waiting == len(ENDS), "the streams to be under way")
        for stage, (end, _status, _code) in zip(stages, ENDS, strict=True):
            end(stage)
        rest = [list(lines) for lines in streams]
    until(lambda: engine.aborted == len(ENDS), "the engine to be stopped")
    for stage, lines, (_end, status, code) in zip(stages, rest, ENDS, strict=True):
        assert any(f'"code":"{code}"' in line for line in lines), lines
        (row,) = stage.settled()
        assert (row.outcome, row.input, row.output) == ("cut", PROMPT_TOKENS, 4)
        answer = stage.post()
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_refusals_have_openais_shape(running: Gateway, engine: Engine):
    stage = make_stage(running, engine.url, key={"models": ("another",)})
    reading = key_of(stage.team, "endpoint:read")
    elsewhere = key_of(stage.team, "inference:use", allowed_networks=("203.0.113.0/24",))
    leaver = member_of(stage.team)
    left = key_of(stage.team, "inference:use", user=leaver)
    member = stage.team.memberships.get(user=leaver)
    remove_member(actor=SYSTEM, member=member)
    listed = key_of(stage.team, "inference:use", models=(stage.slug,))
    url = f"{running.url}/v1/chat/completions"

    def told(secret: str) -> tuple[int, str, str]:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        headers["X-Forwarded-For"] = "203.0.113.9"  # no proxy stands in front: anybody may say so
        answer = httpx.post(url, json=stage.asking(), headers=headers, timeout=60)
        error = answer.json().get("error", {"type": "", "code": ""})
        assert answer.status_code == 200 or set(error) == {"message", "type", "param", "code"}
        return answer.status_code, error["type"], error["code"]

    until(lambda: told(listed.secret)[0] == 200, "the gateway to know the newest key")
    assert told("") == (401, "authentication_error", "no_key")
    assert told("hai_live_nonsense") == (401, "authentication_error", "bad_key")
    assert told(stage.secret) == (404, "not_found_error", "model_not_found")
    assert told(reading.secret) == (403, "permission_error", "not_permitted")
    assert told(left.secret) == (401, "authentication_error", "bad_key")
    assert told(elsewhere.secret) == (403, "permission_error", "address_not_allowed")


def test_behind_a_proxy_the_caller_is_who_the_proxy_saw(transactional_db: None, engine: Engine, folder: Path):
    with gateway(folder, TRUSTED_PROXY_COUNT="1") as running:
        stage = make_stage(running, engine.url, key={"allowed_networks": ("203.0.113.0/24", "2001:db8::/32")})

        def told(*hops: str) -> int:
            said = [("X-Forwarded-For", hop) for hop in hops]
            headers = [*stage.headers.items(), *said]
            url = f"{running.url}/v1/chat/completions"
            return httpx.post(url, json=stage.asking(), headers=headers, timeout=60).status_code

        until(lambda: told("203.0.113.9") == 200, "the gateway to know the key")
        assert told("6.6.6.6, [2001:db8::7]:443") == 200
        assert told("6.6.6.6", "203.0.113.9") == 200
        assert told("203.0.113.9, 6.6.6.6") == 403  # the caller wrote the first
        assert told("203.0.113.9", "6.6.6.6") == 403
        assert told("nonsense") == 403
        assert told() == 403  # not by way of the proxy: it comes from 127.0.0.1
