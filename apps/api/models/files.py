"""Files of an upload: where their parts go, which have arrived, and when one is whole."""

from collections.abc import Mapping
from typing import ClassVar

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import ApiViewSet, Call
from apps.api.fields import Nothing
from apps.api.models.shapes import AddressesOut, FileOut, PartsIn, PartsOut
from apps.core.permissions import Permission
from apps.registry import selectors, services

READ, CREATE = Permission.MODEL_READ, Permission.MODEL_CREATE
REFUSALS = (409, 503)


class FileActions(ApiViewSet, abstract=True):
    """Files go straight to the object store: sign some parts, PUT them, ask which arrived, complete."""

    id_prefix = "mdf"
    parents: ClassVar[Mapping[str, str]] = {"model": "mdl", "version": "mdv"}
    calls: ClassVar[Mapping[str, Call]] = {
        "list": Call(READ, FileOut, summary="List an upload's files"),
        "sign": Call(CREATE, AddressesOut, PartsIn, summary="Sign parts", own_errors=REFUSALS),
        "parts": Call(CREATE, PartsOut, summary="Which parts arrived?", own_errors=REFUSALS),
        "complete": Call(CREATE, FileOut, Nothing, summary="Complete a file", own_errors=REFUSALS),
    }

    def list(self, request: Request, model: str, version: str) -> Response:
        """Once the version is servable its manifest tells the same."""
        ids = self._ids(model, version)
        found = selectors.version_of(actor=self.actor, **ids)
        return self.page(selectors.list_files(actor=self.actor, version=found))

    @action(detail=True, methods=["post"])
    def sign(self, request: Request, model: str, version: str, id: str) -> Response:
        """Addresses for up to 1,000 parts; ask again when they have run out."""
        found = services.sign_parts(
            actor=self.actor, **self._which(model, version, id), numbers=self.body()["numbers"]
        )
        return self.answer({"parts": found})

    @action(detail=True)
    def parts(self, request: Request, model: str, version: str, id: str) -> Response:
        """To resume, send the others."""
        found = services.arrived_parts(actor=self.actor, **self._which(model, version, id))
        return self.answer({"parts": found})

    @action(detail=True, methods=["post"])
    def complete(self, request: Request, model: str, version: str, id: str) -> Response:
        """Makes the file of its parts; 409 names the parts that are missing."""
        self.body()
        return self.answer(services.complete_file(actor=self.actor, **self._which(model, version, id)))

    def _ids(self, model: str, version: str) -> dict[str, str]:
        return {"model_id": self.id_of("mdl", model), "version_id": self.id_of("mdv", version)}

    def _which(self, model: str, version: str, id: str) -> dict[str, str]:
        found = selectors.version_of(actor=self.actor, **self._ids(model, version))
        return {"version_id": str(found.pk), "file_id": self.id_of("mdf", id)}
