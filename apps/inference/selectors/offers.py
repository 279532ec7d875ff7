"""What a new endpoint or revision asks for, looked up: model version, hardware, region, and a cluster."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.errors import Invalid
from apps.drivers.engines import SERVING_KINDS
from apps.inference.errors import BadEndpoint, NoEngines
from apps.inference.models import Hardware, Replica
from apps.inference.specs import Recipe
from apps.inference.states import Kind
from apps.nodes.states import State as NodeState
from apps.regions.models import Cluster, Region
from apps.regions.states import ClusterState
from apps.registry import selectors as registry
from apps.registry.models import ModelVersion
from apps.registry.states import Format

USUAL_CONTEXT = 4096  # per request, unless the model has less or its owner wants more
_FORMATS = {Kind.LOCAL: {Format.GGUF}, Kind.SIM: {Format.GGUF, Format.SAFETENSORS}}


@dataclass(frozen=True)
class Offer:
    """A version and hardware that exist and go together in a region."""

    region: Region
    version: ModelVersion
    hardware: Hardware
    context_length: int
    parallel: int


def find(*, actor: Actor, region: Region, recipe: Recipe, team_id: str | None) -> Offer:
    """Look the wish up, for an endpoint of this team or, without one, for everybody; raises Invalid for what
    does not exist, BadEndpoint for what does not go together."""
    version = _version(actor, recipe, team_id)
    hardware = Hardware.objects.filter(slug=recipe.hardware, is_active=True).first()
    if hardware is None:
        raise Invalid(_("There is no such hardware."), field="hardware")
    if not clusters(region=region, hardware=hardware, version=version):
        raise BadEndpoint(
            _("Nothing in %(region)s runs %(format)s models on this hardware.")
            % {"region": region.name, "format": version.get_format_display()},
            field="hardware",
        )
    own = version.context_length or USUAL_CONTEXT
    if recipe.context_length > own:
        raise BadEndpoint(
            _("This model knows contexts of up to %(most)s tokens.") % {"most": own}, field="context_length"
        )
    context = recipe.context_length or min(own, USUAL_CONTEXT)
    return Offer(region, version, hardware, context, recipe.parallel)


def _version(actor: Actor, recipe: Recipe, team_id: str | None) -> ModelVersion:
    asked = _known(recipe.version)
    version: ModelVersion | None = registry.servable_for(actor, team_id).filter(pk=asked).first()
    if version is not None:
        return version
    if registry.servable(actor).filter(pk=asked).exists():
        raise BadEndpoint(_("A team's model is served to that team only."), field="version")
    raise Invalid(_("There is no such version of a model that can be served."), field="version")


def region_called(slug: str) -> Region:
    """A region that customers may know of; raises Invalid."""
    region: Region | None = Region.objects.selling().filter(slug=slug).first()
    if region is None:
        raise Invalid(_("There is no such region."), field="region")
    return region


def clusters(*, region: Region, hardware: Hardware, version: ModelVersion) -> list[Cluster]:
    """The region's clusters that can run it, the one with the fewest engines first."""
    here = Q(region=region, state=ClusterState.ACTIVE, kind__in=_kinds_for(hardware, version))
    rows = list(Cluster.objects.filter(here).exclude(pk__in=_leaving(region)).order_by("pk"))
    if len(rows) < 2:
        return rows
    counted = Replica.objects.present().filter(cluster__in=rows).values_list("cluster_id")
    used = dict(counted.annotate(count=Count("pk")).order_by())
    return sorted(rows, key=lambda cluster: used.get(cluster.pk, 0))


def _kinds_for(hardware: Hardware, version: ModelVersion) -> set[str]:
    """The drivers that can run the version on the hardware."""
    kinds = {kind for kind in hardware.kinds if version.format in _FORMATS.get(Kind(kind), set())}
    return kinds & set(SERVING_KINDS)


def formats_on(hardware: Hardware) -> list[str]:
    """The formats of models that can be served on it somewhere."""
    return sorted({str(one) for kind in hardware.kinds for one in _FORMATS.get(Kind(kind), set())})


def is_in(region: Region, hardware: Hardware) -> bool:
    """Whether a region that was read `with_kinds` has the hardware."""
    return bool(set(hardware.kinds) & set(region.kinds) & set(SERVING_KINDS))


def hardware_for(region: Region, version: ModelVersion) -> list[Hardware]:
    """What the version can be served on in a region that was read `with_kinds`."""
    rows = Hardware.objects.filter(is_active=True).select_related("gpu_model")
    return [row for row in rows if _kinds_for(row, version) & set(region.kinds)]


def _leaving(region: Region) -> QuerySet[Any]:
    """Clusters that are one host, where that host takes no more: its engines have shown which node it is."""
    rows = Replica.objects.filter(region=region, kind=Kind.LOCAL, node__isnull=False)
    found: QuerySet[Any] = rows.exclude(node__state=NodeState.READY).values("cluster_id")
    return found


def cluster_for(*, region: Region, hardware: Hardware, version: ModelVersion) -> Cluster:
    """Where the next replica goes; raises NoEngines."""
    found = clusters(region=region, hardware=hardware, version=version)
    if not found:
        raise NoEngines(_("No cluster in %(region)s can run this just now.") % {"region": region.name})
    return found[0]


def regions_with_engines() -> Sequence[Region]:
    """Regions where an endpoint can be made, in order of their names."""
    hardware = list(Hardware.objects.filter(is_active=True))
    regions = Region.objects.selling().with_kinds().order_by("name")
    return [region for region in regions if any(is_in(region, one) for one in hardware)]


def hardware_in(region: Region) -> list[Hardware]:
    """What replicas may run on there."""
    kinds = set(
        Cluster.objects.filter(region=region, state=ClusterState.ACTIVE).values_list("kind", flat=True)
    )
    rows = Hardware.objects.filter(is_active=True).select_related("gpu_model")
    return [row for row in rows if kinds & set(row.kinds)]


def _known(version_id: str) -> str | None:
    """An id, or nothing for what cannot be one."""
    return version_id if version_id.startswith("mdv_") and len(version_id) == 30 else None
