"""What every call of the three APIs promises, whatever the noun."""

import json
from typing import Any

import pytest
import redis
from django.test import Client
from rest_framework.exceptions import Throttled

from apps.api import throttling
from apps.api.base import Call, TeamViewSet
from apps.core.actor import SYSTEM
from apps.core.ids import new_id
from apps.core.permissions import Permission
from apps.operations import services
from apps.operations.models import Operation
from apps.operations.specs import OperationPlan, StepPlan, Target
from apps.operations.states import Plane
from apps.teams.models import Team
from apps.teams.services import create_team
from tests.api.world import Caller, session_caller, team_caller
from tests.factories.teams import TeamFactory, admin_of

LIST = "/api/user/v1/operations"


def open_operation(team: Team, number: int = 0) -> Operation:
    """An operation that can be called off."""
    return services.open_operation(
        actor=SYSTEM,
        target=Target("instance", new_id("ins"), f"box {number}", team_id=team.pk),
        plan=OperationPlan("instance.create", (StepPlan("accept", Plane.USER),), is_cancellable=True),
    )


@pytest.fixture
def team(db: None) -> Team:
    return TeamFactory()


@pytest.fixture
def call(team: Team) -> Caller:
    return team_caller(team)


def is_problem(response: Any, status: int, code: str) -> bool:
    body = response.json()
    return (
        response.status_code == status
        and response["Content-Type"] == "application/problem+json"
        and body["status"] == status
        and body["code"] == code
        and body["request_id"] == response["X-Request-Id"]
    )


def test_a_viewset_without_a_declared_call_does_not_import() -> None:
    def handler(self: Any, request: Any) -> None: ...

    with pytest.raises(TypeError, match="routes and calls differ"):
        type("Forgotten", (TeamViewSet,), {"list": handler})
    with pytest.raises(TypeError, match="routes and calls differ"):
        type("Idle", (TeamViewSet,), {"calls": {"list": Call(Permission.TEAM_READ)}})


def test_nobody_and_bad_keys_are_told_so(db: None) -> None:
    answer = Caller().get(LIST)
    assert is_problem(answer, 401, "not_authenticated")
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert is_problem(Caller("hai_live_nonsense").get(LIST), 401, "bad_key")
    assert is_problem(Caller().get(LIST, Authorization="Basic abc"), 401, "bad_key")


def test_staff_apis_refuse_team_keys(call: Caller) -> None:
    assert is_problem(call.get("/api/admin/v1/operations"), 403, "not_staff")
    assert is_problem(call.get("/api/cluster/v1/regions/nowhere/operations"), 403, "not_staff")


def test_pages_follow_one_another_without_gap_or_repeat(team: Team, call: Caller) -> None:
    expected = {open_operation(team, number).pk for number in range(7)}
    open_operation(TeamFactory())
    seen: list[str] = []
    cursor = ""
    for _page in range(3):
        body = call.get(f"{LIST}?limit=3&cursor={cursor}").json()
        seen += [item["id"] for item in body["items"]]
        cursor = body["next_cursor"]
    assert cursor is None
    assert seen == sorted(expected, reverse=True)


def test_bad_parameters_are_named(call: Caller) -> None:
    for query, code in [
        ("limit=0", "invalid_limit"),
        ("limit=1001", "invalid_limit"),
        ("limit=" + "9" * 40, "invalid_limit"),
        ("limit=%EF%BC%91", "invalid_limit"),
        ("cursor=zzz", "invalid_cursor"),
        ("cursor=%F0%9F%92%A9", "invalid_cursor"),
        ("colour=red", "unknown_parameter"),
        ("state=odd", "invalid"),
    ]:
        answer = call.get(f"{LIST}?{query}")
        assert is_problem(answer, 422, code), (query, answer.content)
        assert answer.json()["errors"][0]["field"] == query.partition("=")[0]


def test_unreadable_requests_are_refused(team: Team, call: Caller) -> None:
    path = f"{LIST}/{open_operation(team).pk}/cancel"
    for body, status, code in [
        (b"{", 400, "malformed"),
        (b"[]", 400, "not_an_object"),
        (b'{"a": NaN}', 400, "malformed"),
        (b'{"a": 1, "a": 2}', 400, "malformed"),
        (b'{"a": 1e999}', 400, "number_out_of_range"),
        (b'{"a": "\\u0000"}', 400, "nul_byte"),
        (b'{"a": "\\ud800"}', 400, "invalid_utf8"),
        (b'{"a": "\xff"}', 400, "invalid_utf8"),
        (b"[" * 33 + b"]" * 33, 400, "too_deep"),
        (b"[" * 100_000, 400, "too_deep"),
        (b'"' + b"x" * 1024 * 1024 + b'"', 413, "too_large"),
        (b'{"surprise": 1}', 422, "invalid"),
    ]:
        answer = call.post(path, body)
        assert is_problem(answer, status, code), (body[:20], answer.content[:300])
    assert is_problem(call.get(f"{LIST}?kind=%00"), 400, "nul_byte")
    assert is_problem(call.get(f"{LIST}?kind=%ff"), 400, "invalid_utf8")
    assert is_problem(call.get(f"{LIST}/%00"), 400, "nul_byte")
    assert Operation.objects.get().state == "pending"


def test_methods_types_and_addresses_that_do_not_exist(call: Caller) -> None:
    refused = call("PUT", LIST)
    assert is_problem(refused, 405, "method_not_allowed")
    assert "GET" in refused["Allow"]
    assert is_problem(call("OPTIONS", LIST), 405, "method_not_allowed")
    assert is_problem(call.get(LIST, Accept="text/html"), 406, "not_acceptable")
    assert is_problem(call.get("/api/user/v1/nothing"), 404, "not_found")
    assert is_problem(call.get("/api/other/v1/docs"), 404, "not_found")
    answer = call.client.post(f"{LIST}/op_x/cancel", "a=1", "text/plain", headers=call.headers)
    assert is_problem(answer, 415, "unsupported_media_type")


def test_foreign_missing_and_malformed_ids_are_the_same_404(team: Team, call: Caller) -> None:
    foreign = open_operation(TeamFactory()).pk
    bodies = set()
    for name in (foreign, foreign[:-4] + "0000", "op_x", "ins_1", "'; --"):
        answer = call.get(f"{LIST}/{name}")
        assert is_problem(answer, 404, "not_found")
        bodies.add(json.dumps(answer.json() | {"request_id": ""}))
    assert len(bodies) == 1


def test_a_repeated_post_is_done_once(team: Team, call: Caller) -> None:
    path = f"{LIST}/{open_operation(team).pk}/cancel"
    first = call.post(path, Idempotency_Key="once")
    again = call.post(path, Idempotency_Key="once")
    assert first.status_code == again.status_code == 202
    assert first.content == again.content
    assert again["Idempotent-Replay"] == "true"
    other = call.post(f"{LIST}/{open_operation(team, 2).pk}/cancel", Idempotency_Key="once")
    assert is_problem(other, 409, "idempotency_key_reused")
    assert Operation.objects.filter(pk=path.split("/")[-2]).exists()
    assert is_problem(call.post(path, Idempotency_Key="x" * 256), 422, "idempotency_key_invalid")


def test_a_refused_post_leaves_its_key_unused(team: Team, call: Caller) -> None:
    operation = open_operation(team)
    path = f"{LIST}/{operation.pk}/cancel"
    assert call.post(path, {"odd": 1}, Idempotency_Key="k").status_code == 422
    assert call.post(path, Idempotency_Key="k").status_code == 202


def test_an_object_known_by_its_tag_is_not_sent_again(team: Team, call: Caller) -> None:
    path = f"{LIST}/{open_operation(team).pk}"
    tag = call.get(path)["ETag"]
    again = call.get(path, If_None_Match=f'"other", {tag}')
    assert (again.status_code, again.content) == (304, b"")
    services.finish(operation_id=path.rpartition("/")[2])
    assert call.get(path, If_None_Match=tag).status_code == 200


def test_the_request_id_is_echoed(call: Caller) -> None:
    answer = call.get(LIST, X_Request_Id="my-request-17")
    assert answer["X-Request-Id"] == "my-request-17"
    assert answer["Cache-Control"] == "private, no-cache" or "no-cache" in answer["Cache-Control"]


def test_a_session_needs_the_csrf_token_to_change_anything(team: Team) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_of(team))
    call = Caller(client=client)
    path = f"{LIST}/{open_operation(team).pk}/cancel"
    assert call.get(LIST).status_code == 200
    assert is_problem(call.post(path), 403, "not_permitted")
    client.cookies["csrftoken"] = token = "a" * 32
    assert call.post(path, X_CSRFToken=token).status_code == 202


def test_a_person_in_two_teams_says_which(team: Team) -> None:
    user = admin_of(team)
    second = create_team(actor=SYSTEM, name="Second", owner=user)
    open_operation(second)
    call = session_caller(user)
    assert is_problem(call.get(LIST), 422, "team_required")
    assert [len(call.get(f"{LIST}?team={one}").json()["items"]) for one in (team.slug, second.pk)] == [0, 1]
    foreign = TeamFactory()
    assert is_problem(call.get(f"{LIST}?team={foreign.slug}"), 404, "not_found")
    assert is_problem(call.get(f"{LIST}?team=nobody"), 404, "not_found")


def test_a_failure_of_ours_says_nothing(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(**_anything: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("apps.api.operations.selectors.list_operations", explode)
    answer = call.get(LIST)
    assert is_problem(answer, 500, "internal")
    assert b"secret" not in answer.content


def test_other_sites_are_let_in_by_list_only(call: Caller, settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://good.example"]
    asked = {"Access_Control_Request_Method": "POST"}
    good = call("OPTIONS", LIST, Origin="https://good.example", **asked)
    assert good["Access-Control-Allow-Origin"] == "https://good.example"
    assert "Access-Control-Allow-Origin" not in call("OPTIONS", LIST, Origin="https://bad.example", **asked)


def test_a_bucket_empties_and_says_when_to_come_back(settings: Any) -> None:
    """One token in a thousand seconds: no machine is slow enough to see it refilled."""
    bucket = throttling.Bucket(settings.REDIS_URL, rate=0.001, burst=3, patience=30)
    redis.Redis.from_url(settings.REDIS_URL).delete("api:bucket:tester")
    left = [bucket.take("tester") for _request in range(3)]
    assert [one.remaining for one in left if one] == [2, 1, 0]
    with pytest.raises(Throttled):
        bucket.take("tester")


def test_without_redis_everybody_passes() -> None:
    bucket = throttling.Bucket("redis://127.0.0.1:1/0", rate=1, burst=1)
    assert [bucket.take("x") for _request in range(5)] == [None] * 5


def test_who_is_nobody_is_counted_by_address(call: Caller, settings: Any) -> None:
    settings.API_UNKNOWN_RATE_PER_SECOND, settings.API_UNKNOWN_RATE_BURST = 0.001, 2
    assert is_problem(Caller().get(LIST), 401, "not_authenticated")
    assert is_problem(Caller("hai_live_x").get(LIST), 401, "bad_key")
    assert is_problem(Caller().get(LIST), 429, "rate_limited")
    assert call.get(LIST).status_code == 200


def test_limits_are_shown_in_headers(call: Caller, settings: Any) -> None:
    settings.API_RATE_PER_SECOND, settings.API_RATE_BURST = 0.001, 1
    assert call.get(LIST)["RateLimit-Remaining"] == "0"
    refused = call.get(LIST)
    assert is_problem(refused, 429, "rate_limited")
    assert int(refused["Retry-After"]) > 0
