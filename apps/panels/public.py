"""What stands before the door: a landing page with live prices, and how the platform is."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.generic import View

from apps.core.money import DEFAULT_CURRENCY
from apps.gpupools.selectors import public
from apps.panels.kit import cells
from apps.panels.kit.shell import theme

SAYS: dict[str, tuple[str, Any]] = {
    "up": ("ok", _("Works")),
    "partly": ("warn", _("Some hosts do not answer")),
    "limited": ("warn", _("Works; nothing new is launched there")),
    "maintenance": ("off", _("Maintenance")),
    "down": ("bad", _("No host answers")),
}


def landing(request: Any) -> HttpResponse:
    """For visitors: what there is, for how much, and the way in."""
    prices = public.gpu_prices(currency=DEFAULT_CURRENCY, at=timezone.now())
    context = {"theme": theme(request), "prices": [(one, _availability(one)) for one in prices]}
    return render(request, "public/landing.html", context)


def _availability(price: public.GpuPrice) -> Any:
    if not price.free:
        return cells.status("off", _("None free now"))
    return cells.status("warn", _("Few free")) if price.is_scarce else cells.status("ok", _("Free now"))


class Status(View):
    """How each region is, for everybody; nothing that is somebody's shows here."""

    def get(self, request: Any) -> HttpResponse:
        regions = public.region_status()
        words = [(one, cells.status(SAYS[one.says][0], SAYS[one.says][1])) for one in regions]
        context = {
            "theme": theme(request),
            "regions": words,
            "troubled": sum(not one.is_up for one in regions),
            "now": timezone.now(),
        }
        return render(request, "public/status.html", context)
