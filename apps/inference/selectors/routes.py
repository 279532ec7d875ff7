"""What the gateway loads: every endpoint that can be called, with the replicas that answer for it now."""

from dataclasses import dataclass

from apps.inference.models import Endpoint, Replica, Revision
from apps.inference.states import ROUTABLE, Desired

# The weight of a replica where there is no canary; with one, weights are shares of a thousand.
WEIGHT = 100


@dataclass(frozen=True, slots=True)
class RouteReplica:
    """One engine. `url` has scheme, host and port; the engine's own `/v1/…` paths follow it.

    `weight` is relative to the endpoint's other replicas; `is_leaving` says that its provider has given
    notice: use it last.
    """

    replica_id: str
    url: str
    api_key: str
    weight: int
    is_spot: bool
    is_leaving: bool
    region: str
    state: str
    version_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint. `team_id` None: the provider's own, for everybody.

    `names` are what callers may write as `model`; `price_slug` stands in the products of its tokens
    (`tokens:<price_slug>:input`). Without replicas it sleeps or cannot serve just now: `can_wake` says
    whether `services.endpoints.wake` helps.
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
    parallel: int
    queue_limit: int
    state: str
    can_wake: bool
    created_at: float
    replicas: tuple[RouteReplica, ...]


def table() -> list[Route]:
    """Every endpoint that callers may name, in order of creation; the caller sees everything."""
    endpoints = Endpoint.objects.live().filter(desired=Desired.RUNNING).order_by("pk")
    rows = list(endpoints.select_related("revision"))
    serving = Replica.objects.filter(state__in=ROUTABLE, desired=Desired.RUNNING).exclude(url="")
    by_endpoint: dict[str, list[Replica]] = {}
    for replica in serving.select_related("revision", "region").order_by("pk"):
        if not replica.revision.is_revoked:
            by_endpoint.setdefault(replica.endpoint_id, []).append(replica)
    return [_route(row, row.revision, by_endpoint.get(row.pk, [])) for row in rows if row.revision]


def _route(endpoint: Endpoint, revision: Revision, replicas: list[Replica]) -> Route:
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
        digest=revision.digest,
        context_length=revision.context_length,
        parallel=revision.parallel,
        queue_limit=endpoint.queue_limit,
        state=str(endpoint.state),
        can_wake=not replicas and not revision.is_revoked,
        created_at=endpoint.created_at.timestamp(),
        replicas=tuple(_replica(endpoint, one, weigh(endpoint, one, replicas)) for one in replicas),
    )


def weigh(endpoint: Endpoint, replica: Replica, beside: list[Replica]) -> int:
    """Its share: the canary's percentage is spread over the canary's replicas, the rest over the others."""
    trying = [one for one in beside if one.revision_id == endpoint.canary_id]
    if not trying or len(trying) == len(beside):
        return WEIGHT
    if replica.revision_id == endpoint.canary_id:
        return max(1, endpoint.canary_weight * 10 // len(trying))
    return max(1, (100 - endpoint.canary_weight) * 10 // (len(beside) - len(trying)))


def _replica(endpoint: Endpoint, replica: Replica, weight: int) -> RouteReplica:
    return RouteReplica(
        replica_id=str(replica.pk),
        url=replica.url,
        api_key=replica.secret,
        weight=weight,
        is_spot=replica.is_spot,
        is_leaving=replica.noticed_at is not None,
        region=replica.region.slug,
        state=str(replica.state),
        version_id=str(replica.revision.version_id),
        digest=replica.revision.digest,
    )
