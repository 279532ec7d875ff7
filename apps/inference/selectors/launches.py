"""What a caller who knows only names means."""

from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.errors import Invalid
from apps.registry import selectors as registry
from apps.registry.models import ModelVersion


def version_named(*, actor: Actor, text: str) -> ModelVersion:
    """A servable version by its id, or the newest of the model of that short name; raises Invalid."""
    rows = registry.servable(actor)
    if text.startswith("mdv_") and len(text) == 30:
        found = rows.filter(pk=text).first()
    else:
        found = rows.filter(model__slug=text).order_by("-number").first()
    if found is None:
        raise Invalid(_("There is no such model that can be served."), field="model")
    version: ModelVersion = found
    return version
