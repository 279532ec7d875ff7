"""What the gateway loads: every endpoint that can be called, with the replicas that answer for it now."""

from dataclasses import dataclass

from apps.inference.models import Endpoint, Replica, Revision
from apps.inference.states import ROUTABLE, Desired
from apps.registry.states import Format

# The weight of a replica where there is no canary; with one, weights are shares of a thousand.
WEIGHT = 100


@dataclass(frozen=True, slots=True)
class RouteReplica:
    """One engine. `url` has scheme, host and port; the engine's own `/v1/…` paths follow it.

    `weight` is relative to the endpoint's other replicas. `is_last`: use it when no other can answer, because
    its provider has given notice or because it is a fallback. One of an external provider has the name by
    which that provider knows the model, and its `url` a path: `/chat/completions` follows it.
    """

    replica_id: str
    url: str
    api_key: str
    weight: int
    is_spot: bool
    is_last: bool
    region: str
    digest: str  # of its weights; of an external provider's nobody knows
    provider_model: str


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint. `team_id` None: the provider's own, for everybody.

    `names` are what callers may write as `model`; `price_slug` stands in the products of its tokens
    (`tokens:<price_slug>:input`). `can_wake`: it has no engine of its own just now, and
    `services.endpoints.wake` may help. `counts_one`: of several answers to one request some of its engines
    say only what the first has used, as llama.cpp does. `context_length` is the longest that any of them has:
    they may differ beside a canary, or while an update rolls. `is_revoked`: what it serves was revoked;
    `revoked` are replicas still there that serve something revoked: their answers are cut.
    """

    endpoint_id: str
    team_id: str | None
    workspace_id: str | None
    names: tuple[str, ...]
    visibility: str
    metering: str
    modality: str
    policy: str
    price_slug: str
    digest: str
    context_length: int
    queue_limit: int
    state: str
    can_wake: bool
    created_at: float
    counts_one: bool
    is_revoked: bool
    revoked: tuple[str, ...]
    replicas: tuple[RouteReplica, ...]


def table() -> list[Route]:
    """Every endpoint that callers may name, in order of creation; the caller sees everything."""
    endpoints = Endpoint.objects.live().filter(desired=Desired.RUNNING).order_by("pk")
    rows = list(endpoints.select_related("revision__version"))
    serving = Replica.objects.filter(state__in=ROUTABLE, desired=Desired.RUNNING).exclude(url="")
    by_endpoint: dict[str, list[Replica]] = {}
    for replica in serving.select_related("revision__version", "region").order_by("pk"):
        by_endpoint.setdefault(replica.endpoint_id, []).append(replica)
    ended: dict[str, list[str]] = {}
    for pk, of in (
        Replica.objects.present().filter(revision__is_revoked=True).values_list("pk", "endpoint_id")
    ):
        ended.setdefault(of, []).append(str(pk))
    found = [row for row in rows if row.revision or row.is_provided]
    return [_route(row, by_endpoint.get(row.pk, []), ended.get(row.pk, [])) for row in found]


def _route(endpoint: Endpoint, serving: list[Replica], ended: list[str]) -> Route:
    """What was revoked is left out; an external provider answers in place of what the endpoint serves now."""
    revision = endpoint.revision
    replicas = [one for one in serving if not _is_revoked(one.revision or revision)]
    made_of = [one for one in (revision, *(one.revision for one in replicas)) if one is not None]
    return Route(
        endpoint_id=str(endpoint.pk),
        team_id=endpoint.team_id,
        workspace_id=endpoint.workspace_id,
        names=(endpoint.slug,),
        visibility=str(endpoint.visibility),
        metering=str(endpoint.metering),
        modality=endpoint.modality,
        policy=str(endpoint.policy),
        price_slug=endpoint.price_slug,
        digest=revision.digest if revision else "",
        context_length=max((one.context_length for one in made_of), default=endpoint.context_length or 0),
        queue_limit=endpoint.queue_limit,
        state=str(endpoint.state),
        can_wake=revision is not None
        and not _is_revoked(revision)
        and all(one.is_external for one in replicas),
        created_at=endpoint.created_at.timestamp(),
        counts_one=any(one.version.format == Format.GGUF for one in made_of),
        is_revoked=_is_revoked(revision),
        revoked=tuple(ended),
        replicas=tuple(_replica(endpoint, one, weigh(endpoint, one, replicas)) for one in replicas),
    )


def _is_revoked(revision: Revision | None) -> bool:
    return revision is not None and revision.is_revoked


def weigh(endpoint: Endpoint, replica: Replica, beside: list[Replica]) -> int:
    """Its share: the canary's percentage is spread over the canary's replicas, the rest over the others that
    are more than a fallback."""
    canary = endpoint.canary_id
    sharing = [one.revision_id for one in beside if not one.is_fallback]
    trying = sharing.count(canary) if canary else 0
    if replica.is_fallback or trying in (0, len(sharing)):
        return WEIGHT
    if replica.revision_id == canary:
        return max(1, endpoint.canary_weight * 10 // trying)
    return max(1, (100 - endpoint.canary_weight) * 10 // (len(sharing) - trying))


def _replica(endpoint: Endpoint, replica: Replica, weight: int) -> RouteReplica:
    return RouteReplica(
        replica_id=str(replica.pk),
        url=replica.url,
        api_key=replica.secret,
        weight=weight,
        is_spot=replica.is_spot,
        is_last=replica.is_fallback or replica.noticed_at is not None,
        region=replica.region.slug,
        digest=replica.revision.digest if replica.revision else "",
        provider_model=replica.provider_model,
    )
