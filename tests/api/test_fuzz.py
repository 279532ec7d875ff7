"""Generated requests, good and bad, for every operation of the three OpenAPI documents: never a 5xx."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import one_of
from schemathesis import GenerationMode
from schemathesis.specs.openapi.schemas import OpenApiSchema

from apps.api.audiences import AUDIENCES
from apps.api.docs import path_of
from apps.api.isolation import specimens
from apps.api.isolation.routes import routes
from apps.api.isolation.specimens import Owner
from apps.core import tenancy
from apps.core.permissions import Role
from tests.api.world import Caller, staff_caller, team_caller
from tests.factories.users import UserFactory, region_staff
from tests.isolation.world import make_world

EXAMPLES = 4
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
FUZZED = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass
class Target:
    """Who calls an API, and what of theirs can be asked for."""

    call: Caller
    owner: Owner
    values: dict[str, str]


@pytest.fixture
def target(db: None, request: pytest.FixtureRequest) -> Target:
    world = make_world()
    audience = request.getfixturevalue("audience")
    if audience == "user":
        return Target(team_caller(world.ours), Owner(world.ours), {})
    if audience == "cluster":
        staff = region_staff(Role.REGION_OPERATOR, world.here)
        return Target(staff_caller(staff), Owner(region=world.here), {"region": world.here.slug})
    staff = UserFactory(staff=Role.FULL_ADMINISTRATOR)
    return Target(staff_caller(staff), Owner(world.ours, world.here), {})


def operations(audience: str) -> Iterator[Any]:
    document = json.loads(path_of(next(one for one in AUDIENCES if one.name == audience)).read_text())
    schema: OpenApiSchema = schemathesis.openapi.from_dict(document)
    for result in schema.get_all_operations():
        yield result.ok()


def prefixes(audience: str) -> dict[str, dict[str, str]]:
    """For each address the prefixes of the ids in it."""
    return {
        one.template: {**one.view.parents, "id": one.view.id_prefix}
        for one in routes()
        if one.face == "api" and one.audience == audience
    }


def send(target: Target, case: Any, ids: dict[str, str], real: bool) -> Any:
    """The generated request; every other one asks for something that is really there."""
    found = {name: specimens.specimen(prefix, target.owner) for name, prefix in ids.items() if prefix}
    values = {**target.values, **({name: one for name, one in found.items() if one} if real else {})}
    case.path_parameters = {**(case.path_parameters or {}), **values}
    headers = {str(name): str(value) for name, value in (case.headers or {}).items()}
    body = case.body if isinstance(case.body, dict | list | str | int | float | bool) else None
    with transaction.atomic():
        answer = target.call(case.method, case.formatted_path + query(case), body, **headers)
        transaction.set_rollback(True)
    tenancy.leave()
    return answer


def query(case: Any) -> str:
    return "?" + urlencode(case.query, doseq=True, errors="replace") if case.query else ""


def attempt(target: Target, operation: Any, ids: dict[str, str]) -> list[str]:
    """Some requests to one operation; what made it fail."""
    failures: list[str] = []
    sent: list[int] = []
    strategies = [operation.as_strategy(generation_mode=mode) for mode in MODES]

    @FUZZED
    @given(case=one_of(*strategies))
    def once(case: Any) -> None:
        sent.append(1)
        answer = send(target, case, ids, real=len(sent) % 2 == 1)
        if answer.status_code >= 500 and answer.json()["code"] == "internal":
            failures.append(f"{operation.label}: {case.query} {case.body!r:.300}: {answer.content!r:.300}")

    once()
    assert sent, operation.label
    return failures


@pytest.mark.timeout(900)
@pytest.mark.parametrize("audience", [one.name for one in AUDIENCES])
def test_no_request_makes_it_fail(audience: str, target: Target) -> None:
    by_address = prefixes(audience)
    failures = [
        failure
        for operation in operations(audience)
        for failure in attempt(target, operation, by_address.get(operation.path, {}))
    ]
    assert not failures, "\n".join(failures[:20])
