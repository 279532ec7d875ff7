"""`manage.py demo_endpoints`: engines on this machine, and the bundled model behind a public endpoint.

May be run again: what exists is left alone. The first worker that runs starts the engine.
"""

from datetime import timedelta
from decimal import Decimal

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.billing.models import PriceVersion
from apps.billing.services.prices import set_price
from apps.core import tenancy
from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.errors import DomainError
from apps.inference.models import Endpoint, Hardware
from apps.inference.services.making import create_endpoint
from apps.inference.specs import EndpointSpec, Recipe
from apps.nodes.reconcilers import sync_cluster
from apps.regions import services as regions
from apps.regions.models import Cluster, Region
from apps.regions.specs import ClusterSpec
from apps.registry.models import ModelVersion
from apps.registry.states import Format, Modality, Origin, State

REGION = "local"
HARDWARE = (
    ("cpu-small", "CPU, 2 cores", 2, 2048, "0.020"),
    ("cpu-medium", "CPU, 4 cores", 4, 8192, "0.060"),
)
# The bundled models by what they do: endpoint, words for people, and prices per million tokens.
NAMES = {
    Modality.CHAT: ("demo-chat", "Demo chat", {"input": "0.10", "cached": "0.05", "output": "0.30"}),
    Modality.EMBEDDING: ("demo-embed", "Demo embeddings", {"embedding": "0.02"}),
}
PAST = timedelta(days=40)


class Command(BaseCommand):
    help = "Run engines on this machine and serve the bundled models."

    def handle(self, **_options: object) -> None:
        try:
            with tenancy.everything():
                names = self._build()
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"  Engines run on this machine; everybody may call {', '.join(names)}")

    def _build(self) -> list[str]:
        region = _region()
        _cluster(region)
        for position, (slug, name, vcpus, memory, price) in enumerate(HARDWARE):
            facts = {"name": name, "kinds": ["local"], "vcpus": vcpus, "memory_mib": memory}
            facts["position"] = position
            Hardware.objects.get_or_create(slug=slug, defaults=facts)
            _price(f"engine:{slug}", price)
        return [_serve(version) for version in _bundled()]


def _region() -> Region:
    known: Region | None = Region.objects.filter(slug=REGION).first()
    return known or regions.create_region(actor=SYSTEM, slug=REGION, name="This machine", location="Here")


def _cluster(region: Region) -> None:
    if Cluster.objects.filter(region=region, slug="engines").exists():
        return
    config = {"folder": str(settings.VAR_DIR / "engines")}
    spec = ClusterSpec(slug="engines", name="Engines", kind="local", config=config)
    made = regions.create_cluster(actor=SYSTEM, region=region, spec=spec)
    sync_cluster(cluster_id=str(made.pk))


def _bundled() -> list[ModelVersion]:
    served = ModelVersion.objects.filter(origin=Origin.BUNDLED, state=State.SERVABLE, format=Format.GGUF)
    return list(served.select_related("model").order_by("pk"))


def _serve(version: ModelVersion) -> str:
    """Put it behind a public endpoint of the provider's."""
    slug, name, prices = NAMES[Modality(version.model.modality)]
    for kind, price in prices.items():
        _price(f"tokens:{slug}:{kind}", price)
    if not Endpoint.objects.live().filter(team=None, slug=slug).exists():
        recipe = Recipe(version=str(version.pk), hardware=HARDWARE[0][0])
        spec = EndpointSpec(slug=slug, name=name, region=REGION, recipe=recipe)
        create_endpoint(actor=SYSTEM, team=None, workspace=None, spec=spec)
    return slug


def _price(product: str, amount: str) -> None:
    if not PriceVersion.objects.filter(product=product, currency="EUR").exists():
        since = db_now() - PAST
        set_price(
            actor=SYSTEM, product=product, currency="EUR", unit_price=Decimal(amount), valid_from=since,
            note="Opening price list",
        )  # fmt: skip
