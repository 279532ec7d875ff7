"""Models in the Console: what the team may use, and its own to upload, import and share."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import Case, When
from django.http import HttpResponseBase, JsonResponse
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.actor import Actor
from apps.core.errors import DomainError, Invalid
from apps.core.permissions import Permission
from apps.panels.kit import Detail, Empty, Html, Link, PanelView, Tab
from apps.panels.kit.palette import LIMIT, SOURCES, Hit, Source
from apps.panels.kit.places import Place
from apps.panels.registry import pages, shared
from apps.registry import selectors, services
from apps.registry.models import Model
from apps.registry.states import State

ADD = Link(_("Add a model"), "model-new", Permission.MODEL_CREATE)
CHUNK = 256 * 1024
SERVABLE = Case(When(newest_state=State.SERVABLE, then=1), default=0)
# What stands in addresses that the browser fills in itself.
VERSION, FILE = "VERSION", "FILE"


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
    links = (ADD,)
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
        )


class VersionPage(pages.VersionPage):
    panel = "console"


class ModelNew(pages.ModelNew):
    panel = "console"


class ModelImport(pages.ModelImport):
    panel = "console"


class ModelShare(pages.ModelShare):
    panel = "console"


class ModelUpload(Detail):
    """Sends files from the browser; the page's script does the work, the User API decides."""

    panel = "console"
    permission = Permission.MODEL_CREATE
    model = Model
    nav = "models"
    tabs = (Tab("upload", _("Upload a version")),)

    def rows(self) -> Any:
        return self.place.narrow(Model.objects.visible_to(self.actor)).filter(deleted_at=None)

    def crumbs(self) -> list[tuple[str, str]]:
        model = self.object
        return [(str(_("Models")), self.url("models")), (model.name, self.url("model", pk=model.pk))]

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().get(request, *args, **kwargs)
        if settings.S3_BROWSER_UPLOADS:
            store = urlsplit(settings.S3_PUBLIC_ENDPOINT_URL or settings.S3_ENDPOINT_URL)
            policy = settings.CONTENT_SECURITY_POLICY
            allowed = f"connect-src 'self' {store.scheme}://{store.netloc};"
            response.headers["Content-Security-Policy"] = policy.replace("connect-src 'self';", allowed)
        return response

    def main_upload(self) -> list[Any]:
        through = self.url("model-part", pk=self.object.pk, version=VERSION, file=FILE, number=0)
        context = {
            "api": f"/api/user/v1/models/{self.object.pk}",
            "team": self.place.team.slug if self.place.team else "",
            "through": through,
            "goal": self.url("model-version", pk=VERSION),
            "direct": settings.S3_BROWSER_UPLOADS,
            "slug": self.object.slug,
        }
        return [Html("console/upload.html", context)]


class ModelPart(PanelView):
    """Takes one part and passes it on to the store as it comes; it is never whole in memory."""

    panel = "console"
    permission = Permission.MODEL_CREATE

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            if request.content_type != "application/octet-stream":
                raise Invalid(_now("Send the part as application/octet-stream."), field="body")
            services.put_part(
                actor=self.actor,
                version_id=str(kwargs["version"]),
                file_id=str(kwargs["file"]),
                number=int(kwargs["number"]),
                chunks=iter(lambda: request.read(CHUNK), b""),
            )
        except DomainError as error:
            return JsonResponse({"detail": str(error.message), "code": error.reason}, status=409)
        return JsonResponse({})


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
