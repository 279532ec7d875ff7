"""Sending a model's files from the browser; the page's script does the work, the panel's own API decides."""

from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpResponseBase, JsonResponse
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.errors import DomainError, Invalid
from apps.core.permissions import Permission
from apps.panels.kit import Detail, Html, PanelView, Tab
from apps.registry import services
from apps.registry.models import Model

CHUNK = 256 * 1024
# What stands in addresses that the browser fills in itself.
VERSION, FILE = "VERSION", "FILE"


class ModelUpload(Detail):
    permission = Permission.MODEL_CREATE
    model = Model
    nav = "models"
    tabs = (Tab("upload", _("Upload a version")),)
    api: ClassVar[str]  # where the API has models

    def rows(self) -> Any:
        return self.place.narrow(Model.objects.visible_to(self.actor)).filter(deleted_at=None)

    def heading(self) -> Any:
        return _("Upload a version")

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
            "api": f"{self.api}/{self.object.pk}",
            "team": self.place.team.slug if self.place.team else "",
            "through": through,
            "goal": self.url("model-version", pk=VERSION),
            "direct": settings.S3_BROWSER_UPLOADS,
            "slug": self.object.slug,
        }
        return [Html("kit/upload.html", context)]


class ModelPart(PanelView):
    """Takes one part and passes it on to the store as it comes; it is never whole in memory."""

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
