"""Who may not ask is told so; who may no longer is cut off within seconds, in the middle of a stream too."""

from collections.abc import Callable

import httpx
import pytest

from apps.core.actor import SYSTEM
from apps.inference.models import Endpoint, Revision
from apps.teams.services import remove_member, revoke_api_key, suspend_team
from tests.factories.teams import key_of, member_of
from tests.gateway.engine import PROMPT_TOKENS, Engine, Plan
from tests.gateway.stage import Gateway, Stage, make_stage, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


def revoke(stage: Stage) -> None:
    revoke_api_key(actor=SYSTEM, key=stage.key)


def suspend(stage: Stage) -> None:
    suspend_team(actor=SYSTEM, team=stage.team, reason="test")


def revoke_model(stage: Stage) -> None:
    """As inference does when the registry revokes the version."""
    Revision.objects.filter(pk=stage.revision.pk).update(is_revoked=True)
    Endpoint.objects.filter(pk=stage.endpoint.pk).update(desired="gone")


@pytest.mark.parametrize(
    ("end", "status", "code"),
    [(revoke, 401, "bad_key"), (suspend, 403, "team_suspended"), (revoke_model, 404, "model_not_found")],
)
def test_a_right_that_ends_cuts_open_streams(
    running: Gateway, engine: Engine, end: Callable[[Stage], None], status: int, code: str
):
    engine.plan = Plan(tokens=50, wait_at=4)
    stage = make_stage(running, engine.url).ready()
    with stage.streaming() as response:
        lines = response.iter_lines()
        until(lambda: engine.waiting, "the stream to be under way")
        end(stage)
        rest = list(lines)
    assert any(f'"code":"{code}"' in line for line in rest)
    until(lambda: engine.aborted, "the engine to be stopped")
    (row,) = stage.settled()
    assert (row.outcome, row.input, row.output) == ("cut", PROMPT_TOKENS, 4)
    answer = stage.post()
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_refusals_have_openais_shape(running: Gateway, engine: Engine):
    stage = make_stage(running, engine.url, key={"models": ("another",)})
    reading = key_of(stage.team, "endpoint:read")
    elsewhere = key_of(stage.team, "inference:use", allowed_networks=("203.0.113.0/24",))
    listed = key_of(stage.team, "inference:use", models=(stage.slug,))
    leaver = member_of(stage.team)
    left = key_of(stage.team, "inference:use", user=leaver)
    member = stage.team.memberships.get(user=leaver)
    remove_member(actor=SYSTEM, member=member)
    url = f"{running.url}/v1/chat/completions"

    def told(secret: str) -> tuple[int, str, str]:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
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
