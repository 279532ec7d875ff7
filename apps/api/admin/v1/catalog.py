"""The catalogue: instance types, images and GPU models."""

from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.catalog import ModelOut, OfferFilters, StaffImageOut, StaffTypeOut
from apps.api.fields import In, TypedIdField
from apps.catalog import selectors, services
from apps.catalog.specs import ImageSpec, ModelSpec, TypeSpec
from apps.core.permissions import Permission

P = Permission


class TypeIn(In):
    """A new shape; its size never changes."""

    slug = serializers.CharField(max_length=60)
    name = serializers.CharField(max_length=80)
    description = serializers.CharField(max_length=300, required=False, allow_blank=True)
    vcpus = serializers.IntegerField(min_value=1)
    memory_mib = serializers.IntegerField(min_value=1)
    disk_gib = serializers.IntegerField(min_value=1)
    gpu_model_id = TypedIdField("gpm", required=False)
    gpus = serializers.IntegerField(min_value=0, required=False)
    cluster_kinds = serializers.ListField(child=serializers.CharField(max_length=20), required=False)
    position = serializers.IntegerField(min_value=0, max_value=30000, required=False)


class WordsIn(In):
    """What is said of it, and where it stands in lists."""

    name = serializers.CharField(max_length=80)
    description = serializers.CharField(max_length=300, required=False, allow_blank=True)
    position = serializers.IntegerField(min_value=0, max_value=30000, required=False)


class OfferMoveIn(In):
    """Which way."""

    event = serializers.ChoiceField(choices=("publish", "deprecate", "retire"))


class TypeViewSet(PlatformViewSet):
    """Shapes of machines on offer; each is sold once it has a price."""

    id_prefix = "typ"
    filters = OfferFilters
    calls = {
        "list": Call(P.CATALOG_READ, StaffTypeOut, summary="List instance types"),
        "create": Call(P.CATALOG_MANAGE, StaffTypeOut, TypeIn, 201, summary="Offer an instance type"),
        "retrieve": Call(P.CATALOG_READ, StaffTypeOut, summary="Look at an instance type"),
        "partial_update": Call(P.CATALOG_MANAGE, StaffTypeOut, WordsIn, summary="Describe an instance type"),
        "move": Call(
            P.CATALOG_MANAGE, StaffTypeOut, OfferMoveIn, summary="Publish or retire an instance type"
        ),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(selectors.list_types(actor=self.actor))

    def create(self, request: Request) -> Response:
        """Published at once."""
        body = self.body()
        kinds = tuple(body.pop("cluster_kinds", ()))
        spec = TypeSpec(**body, cluster_kinds=kinds)
        return self.answer(services.create_instance_type(actor=self.actor, spec=spec))

    def retrieve(self, request: Request, id: str) -> Response:
        """One shape."""
        return self.answer(self._type(id))

    def partial_update(self, request: Request, id: str) -> Response:
        """Its size stays."""
        kind = self.unchanged(self._type(id))
        return self.answer(services.describe_instance_type(actor=self.actor, kind=kind, **self.body()))

    @action(detail=True, methods=["post"])
    def move(self, request: Request, id: str) -> Response:
        """What runs of it goes on."""
        kind = self._type(id)
        return self.answer(services.move_instance_type(actor=self.actor, kind=kind, **self.body()))

    def _type(self, id: str) -> Any:
        return selectors.find(selectors.list_types(actor=self.actor), self.id_of("typ", id))


class ImageIn(In):
    """A version of a system."""

    slug = serializers.CharField(max_length=60)
    name = serializers.CharField(max_length=80)
    version = serializers.CharField(max_length=40)
    os = serializers.CharField(max_length=40)
    description = serializers.CharField(max_length=300, required=False, allow_blank=True)
    source = serializers.CharField(  # type: ignore[assignment]
        max_length=500, required=False, allow_blank=True
    )
    checksum = serializers.CharField(max_length=80, required=False, allow_blank=True)
    size_bytes = serializers.IntegerField(min_value=0, max_value=2**62, required=False)
    min_disk_gib = serializers.IntegerField(min_value=1, max_value=100_000, required=False)
    min_memory_mib = serializers.IntegerField(min_value=1, max_value=10_000_000, required=False)
    default_user = serializers.CharField(max_length=32, required=False)
    cluster_kinds = serializers.ListField(child=serializers.CharField(max_length=20), required=False)
    position = serializers.IntegerField(min_value=0, max_value=30000, required=False)


class ImageViewSet(PlatformViewSet):
    """What machines start from."""

    id_prefix = "img"
    filters = OfferFilters
    calls = {
        "list": Call(P.CATALOG_READ, StaffImageOut, summary="List images"),
        "create": Call(P.CATALOG_MANAGE, StaffImageOut, ImageIn, 201, summary="Offer an image"),
        "retrieve": Call(P.CATALOG_READ, StaffImageOut, summary="Look at an image"),
        "partial_update": Call(P.CATALOG_MANAGE, StaffImageOut, WordsIn, summary="Describe an image"),
        "move": Call(P.CATALOG_MANAGE, StaffImageOut, OfferMoveIn, summary="Publish or retire an image"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(selectors.list_images(actor=self.actor))

    def create(self, request: Request) -> Response:
        """Published at once."""
        body = self.body()
        kinds = tuple(body.pop("cluster_kinds", ()))
        spec = ImageSpec(**body, cluster_kinds=kinds)
        return self.answer(services.create_image(actor=self.actor, spec=spec))

    def retrieve(self, request: Request, id: str) -> Response:
        """One image."""
        return self.answer(self._image(id))

    def partial_update(self, request: Request, id: str) -> Response:
        """Its bytes stay."""
        image = self.unchanged(self._image(id))
        return self.answer(services.describe_image(actor=self.actor, image=image, **self.body()))

    @action(detail=True, methods=["post"])
    def move(self, request: Request, id: str) -> Response:
        """Machines made of it stay."""
        return self.answer(services.move_image(actor=self.actor, image=self._image(id), **self.body()))

    def _image(self, id: str) -> Any:
        return selectors.find(selectors.list_images(actor=self.actor), self.id_of("img", id))


class ModelIn(In):
    """A kind of GPU."""

    slug = serializers.CharField(max_length=60)
    vendor = serializers.CharField(max_length=40)
    name = serializers.CharField(max_length=80)
    memory_gib = serializers.IntegerField(min_value=1, max_value=100_000)
    tflops = serializers.IntegerField(min_value=0, max_value=10_000_000, required=False)
    has_mig = serializers.BooleanField(required=False)
    aliases = serializers.ListField(child=serializers.CharField(max_length=80), required=False, max_length=50)


class ModelViewSet(PlatformViewSet):
    """Kinds of GPUs."""

    id_prefix = "gpm"
    calls = {
        "list": Call(P.CATALOG_READ, ModelOut, summary="List GPU models"),
        "create": Call(P.CATALOG_MANAGE, ModelOut, ModelIn, 201, summary="Name a GPU model"),
        "retrieve": Call(P.CATALOG_READ, ModelOut, summary="Look at a GPU model"),
        "update": Call(P.CATALOG_MANAGE, ModelOut, ModelIn, summary="Say something else of a GPU model"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(selectors.list_models(actor=self.actor))

    def create(self, request: Request) -> Response:
        """Cards that report this slug or an alias are of this model."""
        return self.answer(services.create_model(actor=self.actor, spec=self._spec()))

    def retrieve(self, request: Request, id: str) -> Response:
        """One kind."""
        return self.answer(self._model(id))

    def update(self, request: Request, id: str) -> Response:
        """Its slug stays, whatever is sent."""
        model = self.unchanged(self._model(id))
        return self.answer(services.update_model(actor=self.actor, model=model, spec=self._spec()))

    def _model(self, id: str) -> Any:
        return selectors.find(selectors.list_models(actor=self.actor), self.id_of("gpm", id))

    def _spec(self) -> ModelSpec:
        body = self.body()
        return ModelSpec(**{**body, "aliases": tuple(body.get("aliases", ()))})
