"""Endpoints and replicas as the actor may see them."""

from typing import Any, TypeVar

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.core import tenancy
from apps.core.actor import Actor
from apps.core.errors import Invalid, NotFound
from apps.inference.models import Endpoint, EndpointQuerySet, Hardware, Replica, ReplicaQuerySet, Revision
from apps.inference.states import Desired, ReplicaState, Visibility
from apps.nodes.models import Node
from apps.nodes.specs import EngineAt, Occupant

Rows = TypeVar("Rows", bound=QuerySet[Any])

MOST_WATCHED = 64  # as many as an agent looks at


def list_endpoints(*, actor: Actor) -> EndpointQuerySet:
    """All that the actor may see and that have not been deleted, newest first, with `ready_count`."""
    visible: EndpointQuerySet = Endpoint.objects.visible_to(actor)
    return counted(visible.live().with_names())


def list_callable(*, actor: Actor) -> EndpointQuerySet:
    """The actor's own and the provider's public ones."""
    return counted(Endpoint.objects.callable_by(actor).select_related("region"))


def list_shared(*, actor: Actor) -> EndpointQuerySet:
    """The provider's own, which everybody may call and pays by the token."""
    shared: EndpointQuerySet = Endpoint.objects.callable_by(actor).filter(visibility=Visibility.PUBLIC)
    return shared


def counted(rows: Rows) -> Rows:
    """Each with how many replicas of its own are ready; where there are none, how many providers."""
    ours = Q(replicas__cluster__isnull=False) | Q(context_length__isnull=False)
    ready = Q(replicas__state=ReplicaState.READY) & ours
    annotated: Rows = rows.annotate(ready_count=Count("replicas", filter=ready))
    return annotated


def get_endpoint(*, actor: Actor, endpoint_id: str) -> Endpoint:
    """One endpoint, deleted ones included, or NotFound."""
    rows = counted(Endpoint.objects.visible_to(actor).with_names())
    found = rows.select_related("canary__hardware", "previous").filter(pk=endpoint_id).first()
    if found is None:
        raise NotFound(_("There is no such endpoint."))
    endpoint: Endpoint = found
    return endpoint


def list_replicas(*, actor: Actor, endpoint_id: str | None = None) -> ReplicaQuerySet:
    """Replicas whose engine is there or coming, newest first; of one endpoint or of all one may see."""
    visible: ReplicaQuerySet = Replica.objects.visible_to(actor)
    rows = visible.with_names().shown()
    return rows.filter(endpoint_id=endpoint_id) if endpoint_id else rows


def get_replica(*, actor: Actor, replica_id: str) -> Replica:
    """One replica, or NotFound."""
    found = Replica.objects.visible_to(actor).with_names().filter(pk=replica_id).first()
    if found is None:
        raise NotFound(_("There is no such replica."))
    replica: Replica = found
    return replica


def list_revisions(*, actor: Actor, endpoint_id: str) -> QuerySet[Revision]:
    """What the endpoint has been made of, newest first."""
    rows: QuerySet[Revision] = Revision.objects.visible_to(actor).filter(endpoint_id=endpoint_id)
    return rows.select_related("hardware")


def list_hardware(*, actor: Actor) -> QuerySet[Hardware]:
    """What replicas may run on anywhere."""
    rows: QuerySet[Hardware] = Hardware.objects.visible_to(actor).filter(is_active=True)
    return rows.select_related("gpu_model")


def names_serving(*, version_id: str) -> list[str]:
    """The names of endpoints that serve a version, or may go back to it from an update that is under way: for
    whoever wants to retire it. Those of teams that it is lent to are counted only."""
    rows = Endpoint.objects.live().filter(desired=Desired.RUNNING)
    served = Q(revision__version_id=version_id) | Q(canary__version_id=version_id)
    until_updated = Q(previous__version_id=version_id, operation_id__isnull=False)
    using = rows.filter(served | until_updated)
    names = list(using.order_by("slug").values_list("slug", flat=True))
    with tenancy.everything():
        foreign = using.count() - len(names)
    if foreign:
        words = ngettext("%(count)d endpoint of another team", "%(count)d endpoints of other teams", foreign)
        names.append(words % {"count": foreign})
    return names


def hardware_named(name: str, *, kind: str | None = None) -> Hardware:
    """Hardware by its short name or its provider's own; raises Invalid."""
    rows = Hardware.objects.filter(Q(slug=name) | Q(provider_type=name), is_active=True)
    found: Hardware | None = (rows.filter(kinds__contains=[kind]) if kind else rows).first()
    if found is None:
        raise Invalid(_("There is no such hardware."), field="instance_type")
    return found


def occupants(*, node: Node) -> list[Occupant]:
    """The engines on a node, and what draining does to each."""
    rows = Replica.objects.present().filter(node=node).select_related("endpoint").order_by("pk")
    going = _("finishes its open requests and goes; another takes its place")
    return [
        Occupant(
            id=str(row.pk),
            name=row.endpoint.slug,
            team=row.endpoint.team_name,
            state=str(row.state),
            consequence=going,
        )
        for row in rows
    ]


def engines_on(*, node: Node) -> list[EngineAt]:
    """What the node's agent shall watch."""
    rows = Replica.objects.filter(node=node, state__in=(ReplicaState.READY, ReplicaState.UNHEALTHY))
    found = rows.exclude(url="").order_by("pk")[:MOST_WATCHED]
    return [EngineAt(str(row.pk), row.url, row.secret) for row in found]
