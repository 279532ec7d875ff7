"""Clusters are configured, paused, retired, and seen or not seen."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.core.actor import Actor
from apps.core.errors import Conflict, Invalid
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.drivers import configs
from apps.drivers.errors import Rejected
from apps.operations import services as operations
from apps.regions.errors import BadClusterConfig
from apps.regions.models import Cluster, Region, Zone
from apps.regions.services.regions import valid_slug
from apps.regions.signals import cluster_retiring
from apps.regions.specs import ClusterSpec
from apps.regions.states import AGENTS, CLUSTER

# A watch with a longer gap than this begins anew: what happened in the gap was not seen.
GAP = timedelta(seconds=30)


@transaction.atomic
def create_cluster(*, actor: Actor, region: Region, spec: ClusterSpec) -> Cluster:
    """Add an endpoint; its configuration is checked by its driver's own rules, its secrets are sealed."""
    actor.require(Permission.CLUSTER_MANAGE)
    _check_config(spec.kind, spec.config, spec.credentials)
    cluster = Cluster(
        region=region,
        zone=_zone(region, spec.zone_id),
        slug=valid_slug(spec.slug),
        name=_name(spec.name),
        kind=spec.kind,
        config=dict(spec.config),
        auto_enrol=spec.auto_enrol,
    )
    cluster.seal_credentials(dict(spec.credentials))
    try:
        with transaction.atomic():
            cluster.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(
            _("The region has a cluster of that address already."), code="slug_taken", field="slug"
        ) from error
    audit.record(actor=actor, action="cluster.created", target=cluster, kind=cluster.kind)
    _tell(cluster, "cluster.created")
    enqueue("nodes.sync_cluster", cluster_id=str(cluster.pk))
    return cluster


@transaction.atomic
def configure_cluster(
    *,
    actor: Actor,
    cluster: Cluster,
    name: str,
    config: Mapping[str, Any],
    credentials: Mapping[str, Any] | None = None,
    auto_enrol: bool | None = None,
) -> Cluster:
    """Change how a cluster is reached; None keeps the credentials (or the enrolment) as they are."""
    actor.require(Permission.CLUSTER_MANAGE)
    cluster = _locked(cluster)
    _check_config(cluster.kind, config, credentials or {})
    cluster.name, cluster.config = _name(name), dict(config)
    if credentials is not None:
        cluster.seal_credentials(dict(credentials))
    if auto_enrol is not None:
        cluster.auto_enrol = auto_enrol
    cluster.due_at = Now()
    cluster.save(update_fields=["name", "config", "credentials", "auto_enrol", "due_at"])
    audit.record(
        actor=actor, action="cluster.configured", target=cluster, new_credentials=credentials is not None
    )
    _tell(cluster, "cluster.configured")
    enqueue("nodes.sync_cluster", cluster_id=str(cluster.pk))
    return cluster


@transaction.atomic
def move_cluster(*, actor: Actor, cluster: Cluster, event: str) -> Cluster:
    """Pause, resume or retire a cluster. Whoever stands above refuses while one is in use."""
    actor.require(Permission.CLUSTER_MANAGE)
    cluster = _locked(cluster)
    cluster.state = CLUSTER.target(event, cluster.state)
    if event == "retire":
        cluster_retiring.send(Cluster, cluster=cluster)
    cluster.save(update_fields=["state"])
    audit.record(actor=actor, action=f"cluster.{event}", target=cluster)
    _tell(cluster, f"cluster.{cluster.state}")
    return cluster


@transaction.atomic
def recheck_cluster(*, actor: Actor, cluster: Cluster) -> Cluster:
    """Look at the endpoint now rather than in a few seconds."""
    actor.require(Permission.CLUSTER_READ, cluster.region.scope)
    Cluster.objects.filter(pk=cluster.pk).update(due_at=Now())
    audit.record(actor=actor, action="cluster.rechecked", target=cluster)
    enqueue("nodes.sync_cluster", cluster_id=str(cluster.pk))
    return cluster


def agents_cluster(*, region: Region) -> Cluster:
    """The region's hosts that report themselves; it needs no endpoint and is there when it is wanted."""
    found, _made = Cluster.objects.get_or_create(
        region=region, slug=AGENTS, defaults={"name": _("Hosts with an agent"), "kind": AGENTS}
    )
    cluster: Cluster = found
    return cluster


def note_seen(*, cluster_id: str, now: datetime, version: str = "") -> None:
    """The endpoint answered."""
    Cluster.objects.filter(pk=cluster_id).update(
        **_watching(now), last_seen_at=now, last_error="", version=version[:120]
    )


def note_unseen(*, cluster_id: str, now: datetime, problem: str) -> None:
    """The endpoint was asked and did not answer; this is a look, not a proof of anything."""
    Cluster.objects.filter(pk=cluster_id).update(**_watching(now), last_error=problem[:500])


def _watching(now: datetime) -> dict[str, Any]:
    unbroken = Q(last_tried_at__gte=now - GAP, watched_since__isnull=False)
    return {
        "watched_since": Case(When(unbroken, then=F("watched_since")), default=Value(now)),
        "last_tried_at": now,
    }


def _check_config(kind: str, config: Mapping[str, Any], credentials: Mapping[str, Any]) -> None:
    both = sorted(set(config) & set(credentials))
    if both:
        raise Invalid(_("Given twice: %(names)s.") % {"names": ", ".join(both)}, field="credentials")
    try:
        configs.validate(kind, {**config, **credentials})
    except Rejected as error:
        raise BadClusterConfig(str(error), field="config") from error


def _zone(region: Region, zone_id: str | None) -> Zone | None:
    if not zone_id:
        return None
    zone = Zone.objects.filter(region=region, pk=zone_id).first()
    if zone is None:
        raise Invalid(_("The region has no such zone."), field="zone")
    found: Zone = zone
    return found


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise Invalid(_("A name has 1 to 80 characters."), field="name")
    return name


def _locked(cluster: Cluster) -> Cluster:
    found: Cluster = Cluster.objects.select_for_update(of=("self",), no_key=True).get(pk=cluster.pk)
    return found


def _tell(cluster: Cluster, event: str) -> None:
    operations.emit(
        type=event,
        subject=cluster.pk,
        region_id=cluster.region_id,
        data={"name": cluster.name, "state": cluster.state},
    )
