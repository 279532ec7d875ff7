"""The object that a form page is about: in the actor's scope and place, or not there at all."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import gettext as _

from apps.panels.kit import PanelView


def find(view: PanelView, rows: QuerySet[Any], *, pk: str = "") -> Any:
    """The row that the address names, of those visible to the actor and inside the place; else 404."""
    narrowed = view.place.narrow(rows) if view.panel != "admin" else rows
    try:
        found = narrowed.filter(pk=pk or view.pk).first()
    except (ValueError, ValidationError):
        found = None
    if found is None:
        raise Http404(_("There is no such page."))
    return found
