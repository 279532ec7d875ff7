"""GPUs and pools as the Admin and Cluster panels show them; each subclasses with its own name."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.gpupools.models import GpuDevice, GpuPool
from apps.gpupools.selectors.cards import list_gpus, list_pools
from apps.gpupools.services import devices
from apps.gpupools.states import HONESTY, DeviceHealth, Isolation, PoolState
from apps.panels.kit import (
    Action,
    Column,
    Detail,
    Empty,
    Facts,
    Filter,
    Note,
    Resource,
    SavedView,
    cells,
    moment,
)

P = Permission

ISOLATE = Action(
    "isolate",
    _("Isolate"),
    P.GPU_MANAGE,
    lambda view, gpu: devices.isolate_device(actor=view.actor, device=gpu, isolated=True) and None,
    icon="shield-off",
    when=lambda gpu: not gpu.is_isolated,
    confirm=_("Nobody new gets this GPU. Whoever has it keeps it."),
    bulk=True,
    done=_("The GPU is given to nobody new."),
)
TAKE_BACK = Action(
    "take-back",
    _("Take back"),
    P.GPU_MANAGE,
    lambda view, gpu: devices.isolate_device(actor=view.actor, device=gpu, isolated=False) and None,
    icon="circle-play",
    when=lambda gpu: gpu.is_isolated,
    bulk=True,
    done=_("The GPU is given out again."),
)


def health_of(gpu: GpuDevice) -> Any:
    if gpu.is_isolated:
        return cells.join(
            cells.status(gpu.health, gpu.get_health_display()), cells.status("held", _("Isolated"))
        )
    kind = "bad" if gpu.health == DeviceHealth.MISSING else ""
    return cells.status(gpu.health, gpu.get_health_display(), kind=kind)


def use_of(gpu: Any) -> Any:
    if not gpu.slots:
        return cells.muted(_("not for sale"))
    if gpu.slots == 1:
        return cells.status("in_use", _("In use")) if gpu.held else cells.muted(_("Free"))
    return cells.used(gpu.held, gpu.slots)


COLUMNS = (
    Column("uuid", _("Serial"), lambda gpu: cells.mono(gpu.uuid), sort="uuid", main=True, to="gpu"),
    Column(
        "model", _("Model"), lambda gpu: gpu.model.name, sort="model__name", text=lambda gpu: gpu.model.slug
    ),
    Column("node", _("Node"), lambda gpu: gpu.node.name, sort="node__name"),
    Column(
        "pci",
        _("PCI address"),
        lambda gpu: cells.mono(gpu.pci_address),
        priority=3,
        text=lambda gpu: gpu.pci_address,
    ),
    Column("health", _("Health"), health_of, sort="health"),
    Column("use", _("Use"), use_of, sort="held", text=lambda gpu: gpu.held),
    Column(
        "pool",
        _("Pool"),
        lambda gpu: gpu.pool.name if gpu.pool else cells.NONE,
        sort="pool__name",
        priority=2,
        text=lambda gpu: gpu.pool.slug if gpu.pool else "",
    ),
    moment("seen", _("Last seen"), "last_seen_at", sort=(), num=True, priority=3),
)


def _models(view: Any) -> list[tuple[str, str]]:
    known = view.rows().order_by("model__name").values_list("model__slug", "model__name").distinct()
    return [(slug, name) for slug, name in known]


class GpuList(Resource):
    permission = P.GPU_READ
    title = _("GPUs")
    model = GpuDevice
    live = "gpu. node."
    order = "uuid"
    columns = COLUMNS
    search = ("uuid", "node__name", "pci_address")
    search_hint = _("Search by serial, node or PCI address")
    filters: ClassVar = (
        Filter("model", _("Model"), _models, field="model__slug"),
        Filter("health", _("Health"), DeviceHealth.choices),
    )
    views = (
        SavedView("all", _("All")),
        SavedView("held", _("In use"), Q(held__gt=0)),
        SavedView("free", _("Free"), Q(held=0, slots__gt=0)),
        SavedView("attention", _("Need attention"), ~Q(health=DeviceHealth.HEALTHY) | Q(is_isolated=True)),
        SavedView("loose", _("In no pool"), Q(pool=None)),
    )
    actions = (ISOLATE, TAKE_BACK)
    empty = Empty(_("No GPU here"), _("GPUs appear with the nodes that report them."), icon="cpu")

    def rows(self) -> QuerySet[Any]:
        return self.place.narrow(list_gpus(actor=self.actor))


class GpuPage(Detail):
    permission = P.GPU_READ
    nav = "gpus"
    model = GpuDevice
    live = "gpu."
    actions = (ISOLATE, TAKE_BACK)

    def rows(self) -> QuerySet[Any]:
        return self.place.narrow(list_gpus(actor=self.actor))

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("GPUs")), self.url("gpus"))]

    def status(self) -> Any:
        return health_of(self.object)

    def top(self) -> list[Any]:
        if self.object.health == DeviceHealth.MISSING:
            text = _("Its node no longer reports it. Nobody new gets it; whoever holds it keeps it.")
            return [Note(text, "bad")]
        return []

    def main_overview(self) -> list[Any]:
        gpu = self.object
        pool = cells.link(gpu.pool.name, self.url("gpu-pool", pk=gpu.pool_id)) if gpu.pool else None
        rows = [
            (_("Model"), str(gpu.model)),
            (_("Node"), cells.link(gpu.node.name, self.url("node", pk=gpu.node_id))),
            (_("PCI address"), cells.mono(gpu.pci_address)),
            (_("NUMA node"), gpu.numa_node),
            (_("Memory"), cells.size(gpu.memory_mib, "MiB")),
            (_("Pool"), pool),
            (_("Use"), use_of(gpu)),
            (_("Last seen"), cells.when(gpu.last_seen_at)),
            (_("Added"), cells.exact(gpu.created_at)),
        ]
        return [Facts(_("Details"), rows)]


def pool_state(pool: GpuPool) -> Any:
    return cells.status(
        pool.state, pool.get_state_display(), kind="off" if pool.state == PoolState.RETIRED else ""
    )


def sharing(pool: GpuPool) -> Any:
    if not pool.is_shared:
        return pool.get_isolation_display()
    return cells.join(pool.get_isolation_display(), cells.tag(f"1 : {pool.sharing_ratio}"))


POOL_COLUMNS = (
    Column("name", _("Name"), lambda pool: pool.name, sort="name", main=True, to="gpu-pool"),
    Column(
        "model",
        _("GPU model"),
        lambda pool: str(pool.gpu_model),
        sort="gpu_model__name",
        text=lambda pool: pool.gpu_model.slug,
    ),
    Column("state", _("State"), pool_state, sort="state"),
    Column("isolation", _("Isolation"), sharing, sort="isolation", priority=2),
    Column("cards", _("GPUs"), lambda pool: pool.cards, sort="cards", num=True, text=lambda pool: pool.cards),
    Column(
        "use",
        _("Slots in use"),
        lambda pool: cells.used(pool.held, pool.slots),
        sort="held",
        text=lambda pool: pool.held,
    ),
    Column(
        "team",
        _("For"),
        lambda pool: pool.team.name if pool.team else _("everybody"),
        priority=3,
        text=lambda pool: pool.team_id or "",
    ),
)


class PoolList(Resource):
    permission = P.POOL_READ
    title = _("GPU pools")
    model = GpuPool
    live = "pool."
    order = "name"
    columns: ClassVar[Sequence[Column]] = POOL_COLUMNS
    search = ("name", "slug", "gpu_model__name")
    search_hint = _("Search by name or GPU model")
    filters: ClassVar = (Filter("isolation", _("Isolation"), Isolation.choices),)
    views = (
        SavedView("live", _("In use"), ~Q(state=PoolState.RETIRED)),
        SavedView("scarce", _("Sold out"), Q(slots__gt=0, held__gte=F("slots"))),
        SavedView("private", _("Private"), Q(team__isnull=False)),
        SavedView("retired", _("Retired"), Q(state=PoolState.RETIRED)),
    )
    empty = Empty(_("No GPU pool yet"), _("A pool sells GPUs of one model together."), icon="layers")

    def rows(self) -> QuerySet[Any]:
        return self.place.narrow(list_pools(actor=self.actor))


def pool_facts(pool: Any) -> list[tuple[Any, Any]]:
    """What there is to know of a pool."""
    return [
        (_("Address"), cells.mono(pool.slug)),
        (_("Region"), cells.mono(pool.region.slug)),
        (_("GPU model"), str(pool.gpu_model)),
        (_("Isolation"), pool.get_isolation_display()),
        (_("What that means"), HONESTY[Isolation(pool.isolation)]),
        (_("Sharing ratio"), f"1 : {pool.sharing_ratio}"),
        (_("Time quantum"), cells.duration(pool.time_quantum_s) if pool.is_shared else None),
        (_("Security level"), pool.get_security_level_display()),
        (_("Placement"), pool.get_placement_display()),
        (_("For"), pool.team.name if pool.team else _("everybody")),
        (_("Made"), cells.exact(pool.created_at)),
    ]
