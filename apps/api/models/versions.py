"""Versions: from an upload or an import to something that is served, and out again."""

from collections.abc import Mapping
from typing import ClassVar

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import ApiViewSet, Call
from apps.api.fields import Nothing
from apps.api.models.shapes import FitIn, FitOut, ImportIn, UploadIn, VersionOut, WhyIn
from apps.core.permissions import Permission
from apps.registry import selectors, services
from apps.registry.models import Model, ModelVersion
from apps.registry.specs import FileSpec, HubSource

READ, CREATE, MANAGE = Permission.MODEL_READ, Permission.MODEL_CREATE, Permission.MODEL_MANAGE


class VersionActions(ApiViewSet, abstract=True):
    """Versions of a model: uploaded or imported, verified, then never changed."""

    id_prefix = "mdv"
    parents: ClassVar[Mapping[str, str]] = {"model": "mdl"}
    calls: ClassVar[Mapping[str, Call]] = {
        "list": Call(READ, VersionOut, summary="List a model's versions"),
        "retrieve": Call(READ, VersionOut, summary="Look at a version"),
        "create": Call(CREATE, VersionOut, UploadIn, 201, "Begin an upload", own_errors=(409,)),
        "import_": Call(CREATE, VersionOut, ImportIn, 202, "Import from the hub", own_errors=(409,)),
        "complete": Call(CREATE, VersionOut, Nothing, 202, "End an upload", own_errors=(409,)),
        "cancel": Call(CREATE, VersionOut, WhyIn, 200, "Call an upload or import off", own_errors=(409,)),
        "fit": Call(READ, FitOut, FitIn, summary="Which GPUs does it fit on?"),
        "deprecate": Call(MANAGE, VersionOut, WhyIn, 200, "Offer it for nothing new", own_errors=(409,)),
        "restore": Call(MANAGE, VersionOut, Nothing, summary="Offer it again", own_errors=(409,)),
        "revoke": Call(MANAGE, VersionOut, WhyIn, summary="Stop it from being served", own_errors=(409,)),
        "destroy": Call(MANAGE, VersionOut, None, 202, "Retire a version", own_errors=(409,)),
    }  # fmt: skip

    def list(self, request: Request, model: str) -> Response:
        """Newest first, without the retired ones."""
        found = selectors.get_model(actor=self.actor, model_id=self.id_of("mdl", model))
        return self.page(selectors.list_versions(actor=self.actor).filter(model=found))

    def retrieve(self, request: Request, model: str, id: str) -> Response:
        return self.answer(self._version(model, id))

    def create(self, request: Request, model: str) -> Response:
        """Promise files; for each sign parts, PUT them, complete it; then complete the version."""
        found, given = self._its_model(model), self.body()
        files = [FileSpec(**one) for one in given.pop("files")]
        draft = self._draft(model, given.pop("draft", None))
        return self.answer(
            services.start_upload(actor=self.actor, model=found, files=files, draft=draft, **given)
        )

    @action(detail=False, methods=["post"], url_path="import", url_name="import")
    def import_(self, request: Request, model: str) -> Response:
        """The files go from the hub to the store; follow the operation."""
        found, given = self._its_model(model), self.body()
        draft = self._draft(model, given.pop("draft", None))
        given["files"] = tuple(given.get("files", ()))
        return self.answer(
            services.start_import(actor=self.actor, model=found, source=HubSource(**given), draft=draft)
        )

    @action(detail=True, methods=["post"])
    def complete(self, request: Request, model: str, id: str) -> Response:
        """All files are there: they are hashed and read; then it is servable, or a draft again."""
        self.body()
        version = self._version(model, id)
        return self.answer(services.complete_upload(actor=self.actor, version_id=str(version.pk)))

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, model: str, id: str) -> Response:
        """What was sent is removed; the draft stays."""
        version = self._version(model, id)
        return self.answer(services.give_up(actor=self.actor, version_id=str(version.pk), **self.body()))

    @action(detail=True, methods=["post"])
    def fit(self, request: Request, model: str, id: str) -> Response:
        """An estimate: weights, key-value cache and overhead against each GPU model's memory."""
        given = self.body()
        found = selectors.fit_table(
            actor=self.actor,
            version=self._version(model, id),
            context=given.get("context_length", selectors.CONTEXT),
            batch=given.get("batch", selectors.BATCH),
        )
        return self.answer({"items": found})

    @action(detail=True, methods=["post"])
    def deprecate(self, request: Request, model: str, id: str) -> Response:
        """What serves it goes on."""
        return self.answer(
            services.deprecate_version(actor=self.actor, version=self._version(model, id), **self.body())
        )

    @action(detail=True, methods=["post"])
    def restore(self, request: Request, model: str, id: str) -> Response:
        """Only a deprecated one."""
        self.body()
        return self.answer(services.restore_version(actor=self.actor, version=self._version(model, id)))

    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, model: str, id: str) -> Response:
        """Endpoints that serve it drain within seconds. There is no way back."""
        return self.answer(
            services.revoke_version(actor=self.actor, version=self._version(model, id), **self.body())
        )

    def destroy(self, request: Request, model: str, id: str) -> Response:
        """Its files are removed; refused while an endpoint serves it."""
        return self.answer(services.retire_version(actor=self.actor, version=self._version(model, id)))

    def _version(self, model: str, id: str) -> ModelVersion:
        ids = {"model_id": self.id_of("mdl", model), "version_id": self.id_of("mdv", id)}
        return selectors.version_of(actor=self.actor, **ids)

    def _its_model(self, model: str) -> Model:
        return selectors.get_model(actor=self.actor, model_id=self.id_of("mdl", model))

    def _draft(self, model: str, id: str | None) -> ModelVersion | None:
        return self._version(model, id) if id else None
