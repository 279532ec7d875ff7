"""Models: whose they are and who may use them."""

from collections.abc import Mapping
from typing import ClassVar

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import ApiViewSet, Call
from apps.api.models.shapes import (
    AliasIn,
    AliasOut,
    ChangesIn,
    ModelFilters,
    RegistryModelIn,
    RegistryModelOut,
    ShareIn,
)
from apps.core.errors import NotFound
from apps.core.permissions import Permission
from apps.registry import selectors, services
from apps.registry.models import Model
from apps.registry.specs import ModelSpec
from apps.teams.models import Team

READ, CREATE, MANAGE = Permission.MODEL_READ, Permission.MODEL_CREATE, Permission.MODEL_MANAGE


class ModelActions(ApiViewSet, abstract=True):
    """Models that may be served: one's own, the provider's, and those that were shared."""

    id_prefix = "mdl"
    filters = ModelFilters
    calls: ClassVar[Mapping[str, Call]] = {
        "list": Call(READ, RegistryModelOut, summary="List models"),
        "retrieve": Call(READ, RegistryModelOut, summary="Look at a model"),
        "create": Call(CREATE, RegistryModelOut, RegistryModelIn, 201, "Add a model", own_errors=(409,)),
        "partial_update": Call(MANAGE, RegistryModelOut, ChangesIn, summary="Describe a model anew"),
        "destroy": Call(MANAGE, None, None, 204, "Delete a model", own_errors=(409,)),
        "share": Call(MANAGE, RegistryModelOut, ShareIn, summary="Say who may use a model"),
    }

    def owner(self) -> Team | None:
        """Whose a new model is; None for the provider's own."""
        raise NotImplementedError

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(selectors.list_models(actor=self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        return self.answer(self._model(id))

    def create(self, request: Request) -> Response:
        """It has no version yet: upload or import one."""
        made = services.create_model(actor=self.actor, team=self.owner(), spec=ModelSpec(**self.body()))
        return self.answer(self._model(str(made.pk)))

    def partial_update(self, request: Request, id: str) -> Response:
        model = self.unchanged(self._model(id))
        fields = ("name", "slug", "description", "licence", "modality")
        known = {name: getattr(model, name) for name in fields}
        services.update_model(actor=self.actor, model=model, spec=ModelSpec(**{**known, **self.body()}))
        return self.answer(self._model(id))

    def destroy(self, request: Request, id: str) -> Response:
        """Its versions are retired and their files removed; refused while an endpoint serves one."""
        services.delete_model(actor=self.actor, model=self._model(id))
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def share(self, request: Request, id: str) -> Response:
        """Its team, chosen teams, or (the provider's own) everybody."""
        services.share_model(actor=self.actor, model=self._model(id), **self.body())
        return self.answer(self._model(id))

    def _model(self, id: str) -> Model:
        return selectors.get_model(actor=self.actor, model_id=self.id_of("mdl", id))


class AliasActions(ApiViewSet, abstract=True):
    """Names that point at a version and may be moved; `latest` follows the newest by itself."""

    id_prefix = "mda"
    parents: ClassVar[Mapping[str, str]] = {"model": "mdl"}
    calls: ClassVar[Mapping[str, Call]] = {
        "list": Call(READ, AliasOut, summary="List a model's aliases"),
        "create": Call(MANAGE, AliasOut, AliasIn, 201, "Point an alias at a version"),
        "destroy": Call(MANAGE, None, None, 204, "Forget an alias"),
    }

    def list(self, request: Request, model: str) -> Response:
        return self.page(selectors.list_aliases(actor=self.actor, model=self._model(model)))

    def create(self, request: Request, model: str) -> Response:
        """Makes it or moves it."""
        found, given = self._model(model), self.body()
        version = selectors.version_of(actor=self.actor, model_id=str(found.pk), version_id=given["version"])
        alias = services.set_alias(actor=self.actor, model=found, name=given["name"], version=version)
        return self.answer(alias)

    def destroy(self, request: Request, model: str, id: str) -> Response:
        """What it pointed at stays."""
        found = self._model(model)
        aliases = selectors.list_aliases(actor=self.actor, model=found)
        alias = aliases.filter(pk=self.id_of("mda", id)).first()
        if alias is None:
            raise NotFound("no such alias")
        services.delete_alias(actor=self.actor, model=found, name=alias.name)
        return Response(status=204)

    def _model(self, model: str) -> Model:
        return selectors.get_model(actor=self.actor, model_id=self.id_of("mdl", model))
