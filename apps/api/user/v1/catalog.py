"""What can be launched, and where."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, TeamViewSet
from apps.api.catalog import ImageOut, OfferFilters, TypeOut
from apps.api.fields import Out, RowOut
from apps.catalog import selectors
from apps.core.permissions import Permission
from apps.gpupools.selectors import offers
from apps.regions.models import Region
from apps.regions.selectors import regions_for_customers

P = Permission


class RegionOut(RowOut):
    """A place to launch in."""

    class Meta:
        model = Region
        fields = ("id", "slug", "name", "location", "country", "state")


class RegionViewSet(TeamViewSet):
    """Places to launch in."""

    calls = {"list": Call(P.CATALOG_READ, RegionOut, summary="List regions")}

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(regions_for_customers(actor=self.actor))


class TypeViewSet(TeamViewSet):
    """Shapes of machines."""

    id_prefix = "typ"
    filters = OfferFilters
    calls = {
        "list": Call(P.CATALOG_READ, TypeOut, summary="List instance types"),
        "retrieve": Call(P.CATALOG_READ, TypeOut, summary="Look at an instance type"),
    }

    def list(self, request: Request) -> Response:
        """All that are on offer, newest first."""
        return self.page(selectors.list_types(actor=self.actor, for_sale=True))

    def retrieve(self, request: Request, id: str) -> Response:
        """One shape."""
        rows = selectors.list_types(actor=self.actor, for_sale=True)
        return self.answer(selectors.find(rows, self.id_of("typ", id)))


class ImageViewSet(TeamViewSet):
    """What machines start from."""

    id_prefix = "img"
    filters = OfferFilters
    calls = {
        "list": Call(P.CATALOG_READ, ImageOut, summary="List images"),
        "retrieve": Call(P.CATALOG_READ, ImageOut, summary="Look at an image"),
    }

    def list(self, request: Request) -> Response:
        """All that are on offer, newest first."""
        return self.page(selectors.list_images(actor=self.actor, for_sale=True))

    def retrieve(self, request: Request, id: str) -> Response:
        """One image."""
        rows = selectors.list_images(actor=self.actor, for_sale=True)
        return self.answer(selectors.find(rows, self.id_of("img", id)))


class RoomOut(Out):
    """How many machines of a type a region has room for now, and why none."""

    region = serializers.CharField()
    room = serializers.IntegerField()
    why_not = serializers.CharField()


class ObstacleOut(Out):
    """A limit that stands in the way: what is asked, and what is left."""

    code = serializers.CharField()
    asked = serializers.CharField()
    left = serializers.CharField()
    message = serializers.CharField()


class OfferOut(Out):
    """A type that the team's policy allows, and where it fits now."""

    type = TypeOut()
    product = serializers.CharField()
    room = serializers.IntegerField()
    is_launchable = serializers.BooleanField()
    regions = RoomOut(many=True)
    gates = ObstacleOut(many=True)


class OfferViewSet(TeamViewSet):
    """What the team can launch now."""

    calls = {"list": Call(P.CATALOG_READ, OfferOut, summary="See what can be launched now")}

    def list(self, request: Request) -> Response:
        """Every type the policy allows, with the room in each region, all on one page."""
        self.filtered(Region.objects.none())
        places = list(regions_for_customers(actor=self.actor))
        names = {str(region.pk): region.slug for region in places}
        found = offers(actor=self.actor, team=self.team, regions=places)
        items = OfferOut([_offer(one, names) for one in found], many=True).data
        return Response({"items": items, "next_cursor": None})


def _offer(offer: Any, names: dict[str, str]) -> dict[str, Any]:
    rooms = [
        {"region": names[one.region_id], "room": one.room, "why_not": one.why_not} for one in offer.regions
    ]
    return {
        "type": offer.type,
        "product": offer.product,
        "room": offer.room,
        "is_launchable": offer.is_launchable,
        "regions": rooms,
        "gates": offer.gates,
    }
