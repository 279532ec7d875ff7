"""`manage.py demo_traffic`: a team that serves a model of its own, and a month of calls by its programs.

May be run again: a team whose endpoint is there is left alone.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from uuid import UUID

from django.core.management.base import BaseCommand

from apps.billing.selectors.tokens import price_table
from apps.billing.services.tokens import settle
from apps.billing.specs import TokenPrices, TokenTerms, TokenUsage
from apps.core import tenancy
from apps.core.actor import Actor
from apps.core.clock import db_now, microseconds_of
from apps.core.permissions import GRANTS, Permission, Role
from apps.inference.management.commands.demo_endpoints import HARDWARE, REGION
from apps.inference.models import Endpoint
from apps.inference.services.making import create_endpoint
from apps.inference.specs import EndpointSpec, Recipe, ScaleRules
from apps.registry.models import ModelVersion
from apps.registry.states import Modality, Origin, State
from apps.teams.models import ApiKey, Team, Workspace
from apps.teams.services import create_api_key
from apps.teams.specs import KeyWish
from apps.users.models import User

TEAM, PERSON = "Acme Research", "ada@acme.example"
SLUG = "support-chat"
DAYS, SEED = 30, 20
FREE = TokenPrices("", Decimal(0), Decimal(0), Decimal(0), Decimal(0), (None,) * 4)


@dataclass(frozen=True)
class Caller:
    """A program of the team: how often it calls in an hour, and how long its prompts and answers are."""

    name: str
    hourly: float
    prompt: int
    answer: int
    cached: float  # share of the prompt
    is_nightly: bool = False


PUBLIC = (
    Caller("Website", 5.0, 420, 160, 0.5),
    Caller("Nightly summaries", 14.0, 780, 90, 0.1, is_nightly=True),
)
OWN = (Caller("Help desk", 40.0, 300, 120, 0.4),)


class Command(BaseCommand):
    help = "Serve a model of a demonstration team and write what its programs asked."

    def handle(self, **_options: object) -> None:
        with tenancy.everything():
            team, person = Team.objects.filter(name=TEAM).first(), User.objects.filter(email=PERSON).first()
            version = _tiny()
            if team is None or person is None or version is None:
                return
            if Endpoint.objects.live().filter(team=team, slug=SLUG).exists():
                return
            roles = {team.scope: GRANTS[Role.TEAM_ADMIN]}
            actor = Actor(person.label, roles, kind="user", user_id=person.pk)
            written = _build(team, actor, version)
        self.stdout.write(f"  {TEAM} serves {SLUG} and asked {written} times in the last {DAYS} days")


def _tiny() -> ModelVersion | None:
    rows = ModelVersion.objects.filter(origin=Origin.BUNDLED, state=State.SERVABLE)
    found: ModelVersion | None = rows.filter(model__modality=Modality.CHAT).first()
    return found


def _build(team: Team, actor: Actor, version: ModelVersion) -> int:
    workspace = team.workspaces.order_by("created_at")[0]
    own = _launch(team, workspace, actor, version)
    public = Endpoint.objects.live().get(team=None, slug="demo-chat")
    keys = {one.name: _key(team, workspace, actor, one.name) for one in (*PUBLIC, *OWN)}
    prices, now = price_table(db_now()), db_now()
    records: list[TokenUsage] = []
    for endpoint, callers, days in ((public, PUBLIC, DAYS), (own, OWN, 3)):
        price = prices.of(str(team.pk), endpoint.price_slug) if endpoint.is_platform else None
        for caller in callers:
            made = Calls(team, keys[caller.name], endpoint, price, random.Random(f"{SEED}{caller.name}"))  # noqa: S311
            records += made.of(caller, now, days)
    return settle(records).counted


def _launch(team: Team, workspace: Workspace, actor: Actor, version: ModelVersion) -> Endpoint:
    recipe = Recipe(version=str(version.pk), hardware=HARDWARE[0][0])
    scale = ScaleRules(least=1, most=2)
    spec = EndpointSpec(slug=SLUG, name="Support chat", region=REGION, recipe=recipe, scale=scale)
    made = create_endpoint(actor=actor, team=team, workspace=workspace, spec=spec)
    Endpoint.objects.filter(pk=made.pk).update(created_at=made.created_at - timedelta(days=3))
    return made


def _key(team: Team, workspace: Workspace, actor: Actor, name: str) -> ApiKey:
    wish = KeyWish(name, frozenset({str(Permission.INFERENCE_USE)}))
    return create_api_key(actor=actor, team=team, wish=wish, workspace=workspace).key


@dataclass
class Calls:
    """What one key asked of one endpoint, as the gateway would have reported it."""

    team: Team
    key: ApiKey
    endpoint: Endpoint
    price: TokenPrices | None
    chance: random.Random

    def of(self, caller: Caller, now: datetime, days: int) -> list[TokenUsage]:
        return [self._call(caller, at) for at in self._moments(caller, now, days)]

    def _moments(self, caller: Caller, now: datetime, days: int) -> Iterator[datetime]:
        """More by day than by night, less on Sundays; a nightly program only from one to three."""
        for hours in range(days * 24):
            begin = now - timedelta(hours=hours + 1)
            share = 0.25 + 0.75 * max(0.0, math.sin((begin.hour - 6) / 12 * math.pi))
            if caller.is_nightly:
                share = 1.0 if begin.hour in (1, 2) else 0.0
            share *= 0.5 if begin.weekday() == 6 else 1.0
            for _call in range(round(caller.hourly * share * self.chance.uniform(0.6, 1.4))):
                yield begin + timedelta(seconds=self.chance.uniform(0, 3599))

    def _call(self, caller: Caller, at: datetime) -> TokenUsage:
        prompt = max(8, round(self.chance.gauss(caller.prompt, caller.prompt / 4)))
        answer = max(4, round(self.chance.gauss(caller.answer, caller.answer / 3)))
        cached = round(prompt * caller.cached) if self.chance.random() < 0.7 else 0
        counts = (prompt - cached, cached, answer, 0)
        first = 0.08 + 0.0002 * (prompt - cached) + self.chance.expovariate(25)
        finished = at + timedelta(seconds=first + answer * self.chance.uniform(0.004, 0.009))
        outcome = "completed" if self.chance.random() < 0.985 else "client_gone"
        return TokenUsage(
            self.terms, UUID(int=self.chance.getrandbits(128), version=4).bytes, *counts,
            microseconds_of(at), microseconds_of(finished), outcome, True, round(first * 1000),
        )  # fmt: skip

    @cached_property
    def terms(self) -> TokenTerms:
        return TokenTerms(
            team_id=str(self.team.pk),
            workspace_id=str(self.key.workspace_id),
            key_id=str(self.key.pk),
            slug=self.endpoint.price_slug,
            prices=self.price or replace(FREE, currency=self.team.currency),
            endpoint_id=str(self.endpoint.pk),
            digest=self.endpoint.revision.digest if self.endpoint.revision else "",
            is_metered=self.price is not None,
        )
