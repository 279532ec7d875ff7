"""Regions of the platform."""

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import In, Nothing
from apps.api.places import RegionOut, ZoneOut
from apps.core.permissions import Permission
from apps.regions import selectors, services
from apps.regions.models import Region

P = Permission


class RegionIn(In):
    """A new region; its slug stands in addresses and stays."""

    slug = serializers.CharField(max_length=40)
    name = serializers.CharField(max_length=80)
    location = serializers.CharField(max_length=120, required=False, allow_blank=True)
    country = serializers.CharField(max_length=2, required=False, allow_blank=True)


class RegionChangeIn(In):
    """What may be changed."""

    name = serializers.CharField(max_length=80, required=False)
    location = serializers.CharField(max_length=120, required=False, allow_blank=True)
    country = serializers.CharField(max_length=2, required=False, allow_blank=True)
    brake_percent = serializers.IntegerField(min_value=1, max_value=100, required=False)


class RegionMoveIn(In):
    """Which way."""

    event = serializers.ChoiceField(choices=("open", "limit", "maintain", "close"))


class FreezeIn(In):
    """Why."""

    reason = serializers.CharField(max_length=200, required=False, allow_blank=True)


class ZoneIn(In):
    """A new failure domain."""

    slug = serializers.CharField(max_length=40)
    name = serializers.CharField(max_length=80)


class RegionDetailOut(RegionOut):
    """A region with its zones."""

    zones = ZoneOut(many=True, read_only=True)

    class Meta(RegionOut.Meta):
        fields = (*RegionOut.Meta.fields, "zones")


class RegionViewSet(PlatformViewSet):
    """Places with clusters and staff of their own."""

    id_prefix = "reg"
    calls = {
        "list": Call(P.REGION_READ, RegionOut, summary="List regions"),
        "create": Call(P.REGION_MANAGE, RegionDetailOut, RegionIn, 201, summary="Make a region"),
        "retrieve": Call(P.REGION_READ, RegionDetailOut, summary="Look at a region"),
        "partial_update": Call(P.REGION_MANAGE, RegionDetailOut, RegionChangeIn, summary="Change a region"),
        "move": Call(P.REGION_MANAGE, RegionDetailOut, RegionMoveIn, summary="Open, limit or close a region"),
        "freeze": Call(P.REGION_FREEZE, RegionDetailOut, FreezeIn, summary="Pull the brake"),
        "unfreeze": Call(P.REGION_FREEZE, RegionDetailOut, Nothing, summary="Release the brake"),
        "zones": Call(P.REGION_MANAGE, RegionDetailOut, ZoneIn, 201, summary="Add a zone"),
    }

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(selectors.list_regions(actor=self.actor))

    def create(self, request: Request) -> Response:
        """It is open at once and has no clusters."""
        return self.answer(services.create_region(actor=self.actor, **self.body()))

    def retrieve(self, request: Request, id: str) -> Response:
        """With its zones."""
        return self.answer(self._region(id))

    def partial_update(self, request: Request, id: str) -> Response:
        """Name, place, country, and when the brake is pulled."""
        region = self.unchanged(self._region(id))
        return self.answer(services.update_region(actor=self.actor, region=region, changes=self.body()))

    @action(detail=True, methods=["post"])
    def move(self, request: Request, id: str) -> Response:
        """What runs goes on in any state; only an open region takes something new."""
        return self.answer(services.move_region(actor=self.actor, region=self._region(id), **self.body()))

    @action(detail=True, methods=["post"])
    def freeze(self, request: Request, id: str) -> Response:
        """Nothing is placed, moved or given up until it is released."""
        return self.answer(services.freeze_region(actor=self.actor, region=self._region(id), **self.body()))

    @action(detail=True, methods=["post"])
    def unfreeze(self, request: Request, id: str) -> Response:
        """Somebody has looked."""
        self.body()
        return self.answer(services.unfreeze_region(actor=self.actor, region=self._region(id)))

    @action(detail=True, methods=["post"])
    def zones(self, request: Request, id: str) -> Response:
        """A zone is never removed."""
        region = self._region(id)
        services.create_zone(actor=self.actor, region=region, **self.body())
        return self.answer(self._region(id))

    def _region(self, id: str) -> Region:
        return selectors.find_region(actor=self.actor, region_id=self.id_of("reg", id))
