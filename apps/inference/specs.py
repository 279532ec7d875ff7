"""What may be asked for, and how its operations go."""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, Field, model_validator

from apps.billing.specs import TokenRate
from apps.drivers.egress import Networks, is_url, may_name
from apps.inference.errors import BadEndpoint
from apps.inference.states import LimitLevel, Policy, ScaleMetric
from apps.operations.specs import OperationPlan, StepPlan
from apps.operations.states import Plane
from apps.registry.states import Modality

SLUG_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"
MOST_REPLICAS = 64
MOST_CONTEXT = 1_048_576
MOST_PARALLEL = 256


class ScaleRules(BaseModel):
    """Between `least` and `most` replicas, as many as keep `metric` near `target` each.

    With `least` 0 and `idle_seconds` the endpoint sleeps when nobody has called for so long, and the next
    request wakes it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    least: int = Field(default=1, ge=0, le=MOST_REPLICAS)
    most: int = Field(default=1, ge=1, le=MOST_REPLICAS)
    metric: ScaleMetric = ScaleMetric.CONCURRENCY
    target: int = Field(default=8, ge=1, le=1_000_000)
    idle_seconds: int = Field(default=0, ge=0, le=86_400)
    spot_percent: int = Field(default=0, ge=0, le=100)
    has_fallback: bool = True

    @model_validator(mode="after")
    def _fits(self) -> "ScaleRules":
        if self.least > self.most:
            raise ValueError("the least number of replicas is above the most")
        if self.least == 0 and self.idle_seconds and self.idle_seconds < 10:
            raise ValueError("an endpoint sleeps after 10 seconds at the earliest")
        return self


class Recipe(BaseModel):
    """What its replicas are made of: a model's version (id), hardware (short name), and how much at once.

    `context_length` 0 takes the model's own, as far as it is sensible.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field(min_length=1, max_length=40)
    hardware: str = Field(min_length=1, max_length=60)
    context_length: int = Field(default=0, ge=0, le=MOST_CONTEXT)
    parallel: int = Field(default=4, ge=1, le=MOST_PARALLEL)


class EndpointSpec(BaseModel):
    """A new endpoint; `slug` is what callers write as `model`.

    `prices` are what callers pay per million tokens, by kind (`input`, `cached`, `output`, `embedding`),
    where everybody may call it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: str = Field(pattern=SLUG_PATTERN)
    name: str = Field(default="", max_length=80)
    region: str = Field(min_length=1, max_length=40)
    recipe: Recipe
    scale: ScaleRules = ScaleRules()
    policy: Policy = Policy.LEAST_OUTSTANDING
    queue_limit: int = Field(default=256, ge=1, le=100_000)
    drain_seconds: int = Field(default=120, ge=1, le=3600)
    currency: str = ""
    prices: dict[str, Decimal] = {}


_WORD = re.compile(r"[!-~]*")
LONGEST_URL, LONGEST_NAME, LONGEST_KEY = 255, 200, 1000


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """An external provider: its address as OpenAI's clients take it (`https://api.example.com/v1`), the name
    it has for the model, and its key. A fallback is asked when no engine of our own can answer."""

    url: str
    model: str
    api_key: str = field(repr=False)
    is_fallback: bool = True
    rate: TokenRate | None = None  # what it charges us, as far as that is known


@dataclass(frozen=True, slots=True)
class ProviderChange:
    """What shall be otherwise with a provider; None: nothing."""

    api_key: str | None = field(default=None, repr=False)
    is_fallback: bool | None = None
    rate: TokenRate | None = None


class ProvidedSpec(BaseModel):
    """A new endpoint for which external providers alone answer; words as in `EndpointSpec`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: str = Field(pattern=SLUG_PATTERN)
    name: str = Field(default="", max_length=80)
    region: str = Field(min_length=1, max_length=40)
    modality: Modality = Modality.CHAT
    context_length: int = Field(ge=1, le=MOST_CONTEXT)
    currency: str = ""
    prices: dict[str, Decimal] = {}


def check_provider(spec: ProviderSpec, known: Networks) -> None:
    """Refuse what cannot be asked, or leads where we must not go. Names are looked at again when they are
    resolved."""
    if not is_url(spec.url) or "?" in spec.url or len(spec.url) > LONGEST_URL:
        raise BadEndpoint(_("This is no address of a provider: https://host/v1."), field="url")
    if not 0 < len(spec.model) <= LONGEST_NAME or not _WORD.fullmatch(spec.model):
        raise BadEndpoint(_("Say how the provider calls the model."), field="model")
    check_key(spec.api_key)
    if spec.url.startswith("http:") and not known:
        raise BadEndpoint(_("Without TLS (https) the key could be read on its way."), field="url")
    if not may_name(spec.url, known):
        raise BadEndpoint(
            _("Only public addresses over TLS are spoken to, and those in PROVIDER_NETWORKS."), field="url"
        )


def check_key(api_key: str) -> None:
    """Refuse what cannot be told as a key."""
    if len(api_key) > LONGEST_KEY or not _WORD.fullmatch(api_key):
        raise BadEndpoint(_("A key has neither blanks nor accents."), field="api_key")


def _plan(
    kind: str, deadline: timedelta | None, *steps: StepPlan, is_cancellable: bool = False
) -> OperationPlan:
    first = StepPlan("accepted", Plane.USER, is_done=True)
    return OperationPlan(f"endpoint.{kind}", (first, *steps), deadline, is_cancellable)


_LAUNCH = (
    StepPlan("placed", Plane.ADMIN, is_done=True),
    StepPlan("engine", Plane.CLUSTER),
    StepPlan("load", Plane.MACHINE),
)

CREATE = _plan("create", timedelta(minutes=20), *_LAUNCH, StepPlan("route", Plane.ADMIN), is_cancellable=True)
UPDATE = _plan(
    "update", timedelta(minutes=30), *_LAUNCH, StepPlan("drain", Plane.CLUSTER), is_cancellable=True
)
# A removal has no deadline: it is tried until every engine is proven gone.
DELETE = _plan("delete", None, StepPlan("drain", Plane.CLUSTER), StepPlan("release", Plane.ADMIN))


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one subject may ask of the gateway; None: nothing of its own is said."""

    requests_per_minute: int | None = None
    tokens_per_day: int | None = None

    def or_else(self, usual: "Limits") -> "Limits":
        """These numbers, and the usual ones where there are none."""
        rpm, tpd = self.requests_per_minute, self.tokens_per_day
        return Limits(
            usual.requests_per_minute if rpm is None else rpm, usual.tokens_per_day if tpd is None else tpd
        )

    @property
    def per_minute(self) -> int:
        """As the gateway has it: -1 is no limit."""
        return -1 if self.requests_per_minute is None else self.requests_per_minute

    @property
    def per_day(self) -> int:
        return -1 if self.tokens_per_day is None else self.tokens_per_day


# Until somebody says otherwise.
USUAL_LIMITS = {
    LimitLevel.PLATFORM: Limits(10_000, None),
    LimitLevel.TEAM: Limits(1_000, 1_000_000),
    LimitLevel.WORKSPACE: Limits(100, 1_000_000),
    LimitLevel.KEY: Limits(10, 1_000_000),
}
