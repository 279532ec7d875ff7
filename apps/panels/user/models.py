"""Models in the Console: what the team may use, and its own to upload, import and share."""

from typing import Any

from django.db.models import Case, When
from django.utils.translation import gettext_lazy as _

from apps.core.actor import Actor
from apps.core.permissions import Permission
from apps.panels.kit import Empty, Link
from apps.panels.kit.palette import LIMIT, SOURCES, Hit, Source
from apps.panels.kit.places import Place
from apps.panels.registry import aliases, forms, pages, shared, uploads
from apps.panels.user.endpoints import SHARED
from apps.registry import selectors
from apps.registry.states import State

ADD = Link(_("Add a model"), "model-new", Permission.MODEL_CREATE)
SERVABLE = Case(When(newest_state=State.SERVABLE, then=1), default=0)


class ModelList(pages.ModelList):
    panel = "console"
    columns = (
        shared.NAME,
        shared.STATE,
        shared.PARAMETERS,
        shared.SIZE,
        shared.CONTEXT_LENGTH,
        shared.LICENCE,
        shared.OWNER,
        shared.SLUG,
    )
    card = "console/model_card.html"
    links = (SHARED, ADD)
    empty = Empty(
        _("No model yet"),
        _("Add one, then upload its files or import them from the hub."),
        ADD,
        icon="package",
    )

    def sorted(self, rows: Any) -> Any:
        """What can be launched comes first, until somebody chooses an order."""
        found = super().sorted(rows)
        return found if self.asked.sort else found.order_by(SERVABLE.desc(), "name", "pk")

    def complete(self, rows: Any) -> None:
        if not self.is_cards or self.request.GET.get("format"):
            return
        named = [str(one.newest_pk) for one in rows if one.newest_pk]
        fits = selectors.smallest_gpus(actor=shared.here(self.actor, self.place), version_ids=named)
        launch = self.url("endpoint-new") if self.can(Permission.ENDPOINT_CREATE) else ""
        for one in rows:
            one.card = shared.card_of(one, fits.get(str(one.newest_pk)))
            one.url = self.url("model", pk=one.pk)
            is_servable = launch and one.newest_state == State.SERVABLE
            one.launch = f"{launch}?version={one.newest_pk}" if is_servable else ""


class ModelPage(pages.ModelPage):
    panel = "console"

    @property
    def links(self) -> Any:  # type: ignore[override]
        if not shared.is_own(self, self.object):
            return ()
        return (
            Link(_("Upload"), "model-upload", Permission.MODEL_CREATE, icon="upload"),
            Link(_("Import"), "model-import", Permission.MODEL_CREATE, icon="download", primary=False),
            Link(_("Share"), "model-share", Permission.MODEL_MANAGE, icon="share-2", primary=False),
            Link(_("Edit"), "model-edit", Permission.MODEL_MANAGE, icon="pencil", primary=False),
        )


class VersionPage(pages.VersionPage):
    panel = "console"


class ModelNew(forms.ModelNew):
    panel = "console"


class ModelEdit(forms.ModelEdit):
    panel = "console"


class ModelImport(forms.ModelImport):
    panel = "console"


class ModelAlias(aliases.ModelAlias):
    panel = "console"


class ModelShare(forms.ModelShare):
    panel = "console"


class ModelUpload(uploads.ModelUpload):
    panel = "console"
    api = "/api/user/v1/models"


class ModelPart(uploads.ModelPart):
    panel = "console"


def find(actor: Actor, place: Place, text: str) -> list[Hit]:
    """Models by name, for the palette."""
    found = shared.models_of(actor, place).filter(name__icontains=text).order_by("name")[:LIMIT]
    return [
        Hit(
            one.name,
            place.url("model", pk=one.pk),
            "package",
            State(one.newest_state).label if one.newest_state else "",
        )
        for one in found
    ]


for _panel in ("console", "admin"):
    SOURCES[_panel].append(Source(_("Models"), Permission.MODEL_READ, find))
