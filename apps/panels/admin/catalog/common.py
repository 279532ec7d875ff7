"""What the pages of the catalogue share."""

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.catalog.states import OFFER, OfferState
from apps.core.permissions import Permission
from apps.panels.kit import Action, SavedView, cells

P = Permission
VIEWS = (
    SavedView("offered", _("On offer"), ~Q(state=OfferState.RETIRED)),
    SavedView("retired", _("Retired"), Q(state=OfferState.RETIRED)),
)


def state_of(one: Any) -> Any:
    kind = {"deprecated": "warn", "retired": "off"}.get(one.state, "")
    return cells.status(one.state, one.get_state_display(), kind=kind)


def moves_of(service: Any) -> tuple[Action, ...]:
    def move(event: str, label: Any, icon: str, confirm: Any = "", *, danger: bool = False) -> Action:
        return Action(
            event,
            label,
            P.CATALOG_MANAGE,
            lambda view, row: service(view.actor, row, event) and None,
            icon=icon,
            when=lambda row: OFFER.allows(event, row.state),
            confirm=confirm,
            danger=danger,
            done=_("The catalogue is changed."),
        )

    return (
        move("publish", _("Publish"), "circle-play"),
        move("deprecate", _("Deprecate"), "circle-pause"),
        move(
            "retire",
            _("Retire"),
            "trash-2",
            _("Nobody launches it any more; what runs goes on."),
            danger=True,
        ),
    )
