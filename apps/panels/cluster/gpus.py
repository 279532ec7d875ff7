"""GPUs and pools of the region."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.gpupools.models import GpuPool
from apps.gpupools.selectors.cards import list_gpus, list_pools
from apps.panels import gpus
from apps.panels.kit import Detail, Empty, Facts, Kpi, Kpis, Table, cells


class GpuList(gpus.GpuList):
    panel = "cluster"


class GpuPage(gpus.GpuPage):
    panel = "cluster"


class PoolList(gpus.PoolList):
    panel = "cluster"


class PoolPage(Detail):
    panel = "cluster"
    permission = Permission.POOL_READ
    nav = "gpu-pools"
    model = GpuPool
    live = "pool."

    def rows(self) -> Any:
        return self.place.narrow(list_pools(actor=self.actor))

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("GPU pools")), self.url("gpu-pools"))]

    def status(self) -> Any:
        return gpus.pool_state(self.object)

    def main_overview(self) -> list[Any]:
        pool = self.object
        found = list_gpus(actor=self.actor).filter(pool=pool).order_by("node__name", "pci_address")[:200]
        empty = Empty(_("No GPU in it"), _("The platform's staff puts GPUs into pools."), icon="cpu")
        share = pool.held / pool.slots if pool.slots else None
        held = Kpi(_("Slots in use"), cells.number(pool.held), unit=f"/ {pool.slots}", share=share)
        return [
            Kpis([Kpi(_("GPUs"), pool.cards), held, Kpi(_("Free slots"), max(pool.slots - pool.held, 0))]),
            Table(_("GPUs"), gpus.COLUMNS, list(found), empty, view=self),
        ]

    def aside_overview(self) -> list[Any]:
        return [Facts(_("Details"), gpus.pool_facts(self.object))]
