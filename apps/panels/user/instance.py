"""The page of one machine, and the small forms on it."""

from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.selectors import usage
from apps.core.ids import new_id
from apps.core.permissions import Permission
from apps.instances import selectors, services
from apps.instances.models import Instance
from apps.instances.states import State
from apps.operations.models import Event, Operation
from apps.operations.selectors import operations_of
from apps.operations.states import State as OperationState
from apps.panels import instances, metrics, operations, words
from apps.panels.kit import (
    Action,
    Column,
    Copies,
    Detail,
    Empty,
    Events,
    Facts,
    Happened,
    Html,
    InlineForm,
    Kpi,
    Kpis,
    Note,
    Steps,
    Tab,
    Table,
    actions,
    cells,
)
from apps.panels.kit.forms import dress
from apps.panels.user.instance_forms import RenameFields, ResizeFields, SnapshotFields
from apps.storage.models import Snapshot
from apps.storage.states import SnapshotState

EVENTS_SHOWN = 60


def _restore(view: Any, snapshot: Snapshot) -> None:
    services.restore_snapshot(actor=view.actor, instance_id=view.pk, snapshot_id=snapshot.pk)


def _unsnapshot(view: Any, snapshot: Snapshot) -> None:
    services.delete_snapshot(actor=view.actor, instance_id=view.pk, snapshot_id=snapshot.pk)


SNAPSHOT_ACTIONS = (
    Action(
        "restore",
        _("Restore"),
        Permission.INSTANCE_OPERATE,
        _restore,
        when=lambda one: one.state == SnapshotState.AVAILABLE,
        confirm=_("The disk goes back to this snapshot. What was written since is lost."),
        done=_("The disk is being put back."),
    ),
    Action(
        "unsnapshot",
        _("Delete"),
        Permission.INSTANCE_OPERATE,
        _unsnapshot,
        when=lambda one: one.state in (SnapshotState.AVAILABLE, SnapshotState.FAILED, SnapshotState.DELETING),
        confirm=_("The snapshot is removed for good."),
        danger=True,
        done=_("The snapshot is being deleted."),
    ),
)
SNAPSHOT_NAMES = frozenset(one.name for one in SNAPSHOT_ACTIONS)

SNAPSHOT_COLUMNS = (
    Column("name", _("Name"), main=True),
    Column("state", _("State"), lambda one: cells.status(one.state, one.get_state_display())),
    Column("size", _("Size"), lambda one: cells.size(one.size_bytes), num=True, priority=2),
    Column("disk", _("Disk"), lambda one: cells.size(one.disk_gib, "GiB"), num=True, priority=3),
    Column("by", _("Taken by"), lambda one: one.created_by, priority=3),
    Column("at", _("Taken"), lambda one: cells.when(one.created_at), num=True),
)


class InstancePage(Detail):
    panel = "console"
    permission = Permission.INSTANCE_READ
    model = Instance
    live = "instance. operation. snapshot."
    tabs: ClassVar = (
        Tab("overview", _("Overview")),
        Tab("terminal", _("Terminal"), Permission.INSTANCE_ACCESS, url="instance-terminal"),
        Tab("console", _("Serial console"), Permission.INSTANCE_ACCESS, url="instance-console"),
        Tab("metrics", _("Metrics")),
        Tab("events", _("Events")),
        Tab("snapshots", _("Snapshots")),
        Tab("settings", _("Settings"), Permission.INSTANCE_UPDATE),
    )
    actions = (instances.START, instances.STOP, instances.REBOOT, instances.DELETE_BY_NAME)

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.select_related("region", "node", "type__gpu_model", "image", "workspace")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Instances")), self.url("instances"))]

    def home(self) -> str:
        return self.url("instance", pk=self.pk)

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        name = str(request.POST.get("do", "")).partition(":")[0]
        return actions.perform(self, SNAPSHOT_ACTIONS if name in SNAPSHOT_NAMES else self.actions)

    def targets(self, ids: Any) -> list[Any]:
        name = str(self.request.POST.get("do", "")).partition(":")[0]
        if name not in SNAPSHOT_NAMES:
            return super().targets(ids)
        rows = selectors.list_snapshots(actor=self.actor, instance_id=self.object.pk)
        return [one for one in rows if one.pk in ids]

    # ------------------------------------------------------------ header

    def status(self) -> Any:
        return instances.state_of(self.object)

    def meta(self) -> list[Any]:
        one = self.object
        return [
            instances.gpus_of(one),
            one.type.name,
            cells.mono(one.region.slug),
            str(one.image),
            _now("%(price)s per hour") % {"price": cells.price(one.hourly, one.currency)},
        ]

    def top(self) -> list[Any]:
        one = self.object
        if one.message:
            tone = "bad" if one.state in (State.FAILED, State.INTERRUPTED) else "info"
            return [Note(one.message, tone)]
        return []

    @cached_property
    def latest(self) -> Operation | None:
        found: Operation | None = operations_of(actor=self.actor, target_id=self.object.pk).first()
        return found

    # ------------------------------------------------------------ overview

    def main_overview(self) -> list[Any]:
        blocks: list[Any] = []
        if self.latest is not None and (self.latest.is_open or self.latest.state == OperationState.FAILED):
            blocks.append(self._progress(self.latest))
        if self.object.state == State.RUNNING:
            blocks.append(self._figures())
            blocks += self._charts(timedelta(hours=1), ())[: 2 if self.object.gpus else 1]
        return [*blocks, self._events(8)]

    def aside_overview(self) -> list[Any]:
        blocks: list[Any] = []
        if self.object.address and self.object.state == State.RUNNING:
            blocks.append(self._connect())
        return [*blocks, self._costs(), self._details()]

    def again(self) -> str:
        """The launch page filled in as this machine was."""
        one = self.object
        said = {
            "type": one.type.slug,
            "region": one.region.slug,
            "image": one.image.slug,
            "disk_gib": one.disk_gib,
        }
        return f"{self.url('launch')}?{urlencode(said)}"

    def _progress(self, operation: Operation) -> Steps:
        failed = operation.state == OperationState.FAILED
        note = (
            _now("Not charged before it runs. You can leave this page.")
            if operation.kind == "instance.create"
            else ""
        )
        if failed:
            note = " ".join(part for part in (operation.error_message, operation.undone) if part)
        return Steps(
            words.kind(operation.kind),
            operations.steps_of(list(operation.steps.all())),
            note=note,
            elapsed=None if failed else operations.seconds_of(operation),
            progress=None if failed else operation.progress,
        )

    def _figures(self) -> Kpis:
        one = self.object
        since = one.started_at
        items = [
            Kpi(_("Running for"), cells.ago(since) if since else "–"),
            Kpi(_("Cost so far"), cells.money(self.spent, one.currency)),
            Kpi(_("Per hour"), cells.price(one.hourly, one.currency)),
        ]
        return Kpis(items)

    @cached_property
    def spent_rows(self) -> list[usage.UsageRow]:
        return usage.rows_of(self.actor, str(self.object.pk))

    @property
    def spent(self) -> Decimal:
        return sum((row.amount for row in self.spent_rows), Decimal(0))

    def _connect(self) -> Copies:
        one = self.object
        port = f" -p {one.ssh_port}" if one.ssh_port != 22 else ""
        lines = [(_("SSH"), f"ssh{port} {one.user}@{one.address}"), (_("Address"), one.address)]
        note = (
            ""
            if one.ssh_keys
            else _now("No SSH key of yours was put on it; the terminal works all the same.")
        )
        return Copies(_("Connect"), lines, note=note)

    def _costs(self) -> Facts:
        one = self.object
        lines = [(_product(row.label), cells.price(row.amount, one.currency)) for row in self.spent_rows]
        total = cells.price(self.spent, one.currency)
        rest = _now("Exact to the second, as of the last cut (at most a minute ago).")
        return Facts(_("Cost so far"), [*lines, (_("Together"), total)], sub="" if lines else rest)

    def _details(self) -> Facts:
        one = self.object
        may = self.can(Permission.INSTANCE_CREATE)
        memory = cells.size(one.memory_mib, "MiB")
        return Facts(
            _("Details"),
            [
                (_("Processors"), _now("%(n)s vCPU, %(memory)s") % {"n": one.vcpus, "memory": memory}),
                (_("Disk"), cells.size(one.disk_gib, "GiB")),
                (_("Image"), str(one.image)),
                (_("Signs in as"), cells.mono(one.user)),
                (_("Host key"), cells.mono(_fingerprint(one.host_key)) if one.host_key else None),
                (_("Launched by"), one.created_by_label),
                (_("Once more"), cells.link(_now("Launch another like this"), self.again()) if may else None),
                (_("Created"), cells.exact(one.created_at)),
                (_("Id"), cells.mono(one.pk)),
            ],
        )

    # ------------------------------------------------------------ other tabs

    def main_metrics(self) -> list[Any]:
        asked = self.request.GET.get("range", "1h")
        chosen = asked if asked in metrics.RANGES else "1h"
        links = [
            (label, f"{self.home()}?tab=metrics&range={name}", name == chosen)
            for name, (label, _span) in metrics.RANGES.items()
        ]
        return list(self._charts(metrics.RANGES[chosen][1], links))

    def _charts(self, span: timedelta, links: Any) -> list[Any]:
        found = selectors.samples(actor=self.actor, instance_id=self.object.pk, span=span)
        load, *others = metrics.charts(metrics.rates(found, self.object.vcpus), links)
        gpus = [metrics.gpu_chart(metrics.cards(found))] if self.object.gpus else []
        return [load, *gpus, *others]

    def main_events(self) -> list[Any]:
        return [self._events(EVENTS_SHOWN)]

    def _events(self, most: int) -> Events:
        rows = Event.objects.visible_to(self.actor).filter(subject=self.object.pk).order_by("-seq")[:most]
        return Events(_("What happened"), [happened(one) for one in rows])

    def main_snapshots(self) -> list[Any]:
        rows = list(selectors.list_snapshots(actor=self.actor, instance_id=self.object.pk))
        empty = Empty(
            _("No snapshot yet"),
            _("A snapshot keeps the disk as it is now. Restore it later, on the stopped machine."),
            icon="camera",
        )
        return [
            Table(
                _("Snapshots"),
                SNAPSHOT_COLUMNS,
                rows,
                empty,
                buttons=lambda one: actions.buttons(self, SNAPSHOT_ACTIONS, one),
            )
        ]

    def aside_snapshots(self) -> list[Any]:
        if not self.can(Permission.INSTANCE_OPERATE):
            return []
        name = f"{self.object.name}-{timezone.now():%Y%m%d-%H%M}"[:63]
        form = dress(SnapshotFields(initial={"name": name}))
        url = self.url("instance-snapshot", pk=self.pk)
        return [InlineForm(_("Take a snapshot"), form, url, _("Take a snapshot"), new_id("form"))]

    def main_settings(self) -> list[Any]:
        one = self.object
        rename = dress(RenameFields(initial={"name": one.name}))
        resize = dress(ResizeFields(one, initial={"type": one.type.slug, "disk_gib": one.disk_gib}))
        hint = _now(
            "A disk can only grow. To change the type, stop the machine first; its GPUs stay as they are."
        )
        return [
            InlineForm(
                _("Name"), rename, self.url("instance-rename", pk=self.pk), _("Rename"), new_id("form")
            ),
            InlineForm(
                _("Size"), resize, self.url("instance-resize", pk=self.pk), _("Resize"), new_id("form"), hint
            ),
            Html(
                "console/delete.html",
                {"buttons": actions.buttons(self, [instances.DELETE_BY_NAME], one), "name": one.name},
            ),
        ]


def happened(one: Event) -> Happened:
    """An event as a line of a timeline."""
    state = one.type.rpartition(".")[2]
    tone = {"failed": "bad", "interrupted": "bad", "running": "ok", "succeeded": "ok", "stopped": ""}.get(
        state, ""
    )
    return Happened(words.event(one.type), one.at, operations.reason_of(one.data), tone)


def _product(label: str) -> str:
    kind, _colon, name = label.partition(":")
    names = {"type": _now("Machine"), "gpu": _now("GPU"), "disk": _now("Disk"), "ip": _now("Address")}
    return f"{names.get(kind, kind)} {name}".strip()


def _fingerprint(host_key: str) -> str:
    return (
        " ".join(host_key.split()[:1]) + " …" + host_key.split()[1][-12:]
        if len(host_key.split()) > 1
        else host_key
    )
