"""The launch page: what there is, where it fits, what it costs, and why something would be refused."""

import secrets
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from django import forms
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from pydantic import ValidationError

from apps.billing.errors import NoPrice
from apps.billing.models import PriceVersion
from apps.billing.selectors import prices
from apps.billing.specs import Quote
from apps.catalog.models import Image
from apps.core.errors import DomainError, Invalid
from apps.core.permissions import Permission
from apps.gpupools.selectors.offering import Market, Offer, market
from apps.instances import services
from apps.instances.selectors import Known, explain
from apps.instances.selectors.offers import rates_of
from apps.instances.specs import Explanation, InstanceSpec
from apps.panels import snippets
from apps.panels.kit import FormPage, cells, shell
from apps.panels.user.costs import cost_of
from apps.regions.models import Region
from apps.users.models import SshKey
from apps.users.selectors import ssh_keys

_FIRST = [
    "amber",
    "brisk",
    "calm",
    "clear",
    "early",
    "keen",
    "light",
    "lucid",
    "merry",
    "quiet",
    "rapid",
    "silver",
    "solid",
    "steady",
    "swift",
    "vivid",
]
_SECOND = [
    "acorn",
    "birch",
    "cedar",
    "comet",
    "delta",
    "ember",
    "fjord",
    "harbor",
    "lattice",
    "maple",
    "orchid",
    "quartz",
    "river",
    "spruce",
    "tundra",
    "zephyr",
]


class LaunchFields(forms.Form):
    type = forms.CharField(label=_("Type"), max_length=60)
    region = forms.CharField(label=_("Region"), max_length=40)
    image = forms.CharField(label=_("Image"), max_length=60)
    disk_gib = forms.IntegerField(label=_("Disk, GiB"), min_value=1, max_value=16_384)
    name = forms.CharField(label=_("Name"), max_length=63)
    ssh_key = forms.MultipleChoiceField(
        label=_("SSH keys"), required=False, widget=forms.CheckboxSelectMultiple
    )


@dataclass(frozen=True)
class Chosen:
    """What is selected now; each part exists, or is empty when there is nothing to choose from."""

    offer: Offer | None
    region: str
    image: Image | None
    disk_gib: int
    name: str
    keys: tuple[str, ...]


class Launch(FormPage):
    panel = "console"
    permission = Permission.INSTANCE_CREATE
    title = _("Launch instance")
    form_class = LaunchFields
    template_name = "console/launch.html"
    done = _("Accepted: the machine is being prepared.")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Instances")), self.url("instances"))]

    # ------------------------------------------------------------ the request

    def form(self, data: Any = None) -> forms.Form:
        form = LaunchFields(data, initial={"name": self.chosen.name, "disk_gib": self.chosen.disk_gib})
        form.fields["ssh_key"].choices = [(key.pk, key.name) for key in self.keys]  # type: ignore[attr-defined]
        form.initial["ssh_key"] = list(self.chosen.keys)
        return form

    def save(self, data: dict[str, Any]) -> str:
        instance = services.create_instance(
            actor=self.actor, team=self.team, workspace=self.workspace, spec=self._spec(data)
        )
        return self.url("instance", pk=instance.pk)

    def _spec(self, data: dict[str, Any]) -> InstanceSpec:
        known = {key.pk: key.public_key for key in self.keys}
        keys = tuple(known[pk] for pk in data.pop("ssh_key", ()) if pk in known)
        try:
            return InstanceSpec(**data, ssh_keys=keys)
        except ValidationError as wrong:
            raise _refusal(wrong) from wrong

    # ------------------------------------------------------------ what there is

    @cached_property
    def keys(self) -> list[SshKey]:
        return list(ssh_keys(self.actor))

    @cached_property
    def regions(self) -> dict[str, Region]:
        return {region.pk: region for region in Region.objects.selling().with_kinds()}

    @cached_property
    def market(self) -> Market:
        return market(actor=self.actor, team=self.team, regions=list(self.regions.values()))

    @cached_property
    def images(self) -> list[Image]:
        return list(Image.objects.launchable())

    @cached_property
    def book(self) -> dict[str, PriceVersion]:
        """The team's price of each product."""
        return prices.book_of(self.team.pk)

    @cached_property
    def chosen(self) -> Chosen:
        asked = self.request.POST if self.request.method == "POST" else self.request.GET
        offer = _pick(self.market.offers, asked.get("type"))
        region = self._region(offer, asked.get("region", ""))
        images = self.images_for(offer, region)
        image = next((one for one in images if one.slug == asked.get("image")), images[0] if images else None)
        least = self._least(offer, image)
        disk = asked.get("disk_gib", "")
        if disk == asked.get("included"):  # nobody has chosen it: another type brings its own
            disk = ""
        wanted = int(disk) if disk.isdecimal() and len(disk) < 6 else 0
        keys = asked.getlist("ssh_key") if "type" in asked else [key.pk for key in self.keys]
        name = asked.get("name", "")[:63] or f"{secrets.choice(_FIRST)}-{secrets.choice(_SECOND)}"
        return Chosen(offer, region, image, max(wanted, least), name, tuple(keys))

    def _least(self, offer: Offer | None, image: Image | None) -> int:
        return max(offer.type.disk_gib if offer else 1, image.min_disk_gib if image else 1)

    def _region(self, offer: Offer | None, asked: str) -> str:
        if offer is None:
            return ""
        rooms = {
            self.regions[one.region_id].slug: one.room
            for one in offer.regions
            if one.region_id in self.regions
        }
        if rooms.get(asked):
            return asked
        return max(rooms, key=lambda slug: rooms[slug], default="")

    def images_for(self, offer: Offer | None, region: str) -> list[Image]:
        """The images that policy allows and machines of the type can start in the region."""
        kinds = next((set(one.kinds) for one in self.regions.values() if one.slug == region), set())
        if offer and offer.type.cluster_kinds:
            kinds &= set(offer.type.cluster_kinds)
        return [
            image
            for image in self.images
            if self.market.rules.images.allows(image.slug)
            and (not image.cluster_kinds or kinds & set(image.cluster_kinds))
            and (offer is None or image.min_memory_mib <= offer.type.memory_mib)
        ]

    @cached_property
    def quote(self) -> Quote | None:
        offer = self.chosen.offer
        if offer is None:
            return None
        try:
            rates = rates_of(offer.type, self.chosen.disk_gib)
            return prices.quote_by(self.book, rates, currency=self.team.currency)
        except NoPrice:
            return None

    @cached_property
    def why(self) -> Explanation | None:
        """Each gate the selected launch must pass."""
        one = self.chosen
        region = next((region for region in self.regions.values() if region.slug == one.region), None)
        if one.offer is None or one.image is None or region is None:
            return None
        wanted = {"region": one.region, "type": one.offer.type.slug, "image": one.image.slug}
        spec = InstanceSpec(name="a", **wanted, disk_gib=one.disk_gib)
        known = Known(
            region=region,
            type=one.offer.type,
            image=one.image,
            rules=self.market.rules,
            book=self.book,
            wallet=self.wallet,
            snapshot=self.market.in_region(region.pk),
        )
        return explain(actor=self.actor, team=self.team, spec=spec, known=known)

    # ------------------------------------------------------------ what the template shows

    def context(self) -> dict[str, Any]:
        one = self.chosen
        return {
            "chosen": one,
            "groups": self._groups(),
            "places": self._places(),
            "images": self.images_for(one.offer, one.region),
            "least_disk": self._least(one.offer, one.image),
            "cost": self._cost(),
            "why": self.why,
            "snippets": self._snippets(),
            "keys_url": shell.link(self.place, "ssh-keys"),
        }

    def _groups(self) -> list[tuple[Any, list[dict[str, Any]]]]:
        cards: list[dict[str, Any]] = [
            {
                "type": offer.type,
                "room": offer.room,
                "pips": cells.pips(min(offer.room, 10), 10, label=_now("%(n)s free") % {"n": offer.room}),
                "memory": cells.size(offer.type.memory_mib, "MiB"),
                "price": cells.price(self._price(offer), self.team.currency),
                "is_open": offer.is_launchable and offer.product in self.book,
                "gate": offer.gates[0].message if offer.gates else "",
            }
            for offer in self.market.offers
        ]
        with_gpu = [card for card in cards if card["type"].gpus]
        without = [card for card in cards if not card["type"].gpus]
        groups = [(_now("GPU machines"), with_gpu), (_now("Machines without GPU"), without)]
        return [group for group in groups if group[1]]

    def _price(self, offer: Offer) -> Decimal | None:
        version = self.book.get(offer.product)
        return version.unit_price if version else None

    def _places(self) -> list[dict[str, Any]]:
        offer = self.chosen.offer
        rooms = {one.region_id: one for one in offer.regions} if offer else {}
        return [
            {"region": region, "room": rooms[pk].room, "why": _reason(rooms[pk].why_not)}
            for pk, region in self.regions.items()
            if pk in rooms
        ]

    def _cost(self) -> dict[str, Any] | None:
        if self.quote is None:
            return None
        hourly, currency = self.quote.hourly, self.quote.currency
        lines = [
            (_line(one.product, one.quantity), cells.price(one.hourly, currency)) for one in self.quote.lines
        ]
        return {
            "lines": lines,
            **cost_of(self.wallet, hourly, currency),
        }

    def _snippets(self) -> list[tuple[str, str]]:
        one = self.chosen
        if one.offer is None or one.image is None or self.place.workspace is None:
            return []
        said = {
            "name": one.name,
            "region": one.region,
            "type": one.offer.type.slug,
            "image": one.image.slug,
            "disk_gib": one.disk_gib,
        }
        return snippets.of_launch(f"{self.request.scheme}://{self.request.get_host()}", said)


def _pick(found: list[Offer], asked: str | None) -> Offer | None:
    named = next((one for one in found if one.type.slug == asked), None)
    shown = sorted(found, key=lambda one: one.type.gpus == 0)  # as on the page: those with GPUs first
    return named or next((one for one in shown if one.is_launchable), shown[0] if shown else None)


def _reason(code: str) -> str:
    words = {
        "region_closed": _now("closed"),
        "too_few_gpus": _now("sold out"),
        "no_such_gpu": _now("not offered"),
        "pool_not_open": _now("not offered"),
        "wrong_kind": _now("not offered"),
        "not_ready": _now("maintenance"),
        "not_healthy": _now("out of sight"),
    }
    return words.get(code, _now("no room") if code else "")


def _line(product: str, quantity: Decimal) -> str:
    kind, _colon, name = product.partition(":")
    if kind == "disk":
        return _now("Disk, %(n)s GiB more") % {"n": cells.number(quantity)}
    return name or kind


def _refusal(wrong: ValidationError) -> DomainError:
    """The first of pydantic's complaints as a refusal at its field."""
    first = wrong.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else None
    if field == "name":
        text = _now("A name has up to 63 lower-case letters, digits and dashes and begins with a letter.")
    else:
        text = str(first["msg"])
    return Invalid(text, field=field)
