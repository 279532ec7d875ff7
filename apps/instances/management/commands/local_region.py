"""`manage.py local_region`: the region of real machines beside the portal, where a libvirt is given."""

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.billing.models import PriceVersion
from apps.billing.services.prices import set_price
from apps.catalog.specs import ImageSpec
from apps.core import tenancy
from apps.core.actor import SYSTEM
from apps.core.errors import DomainError
from apps.gpupools import plans
from apps.gpupools.reconcilers import build_local
from apps.nodes.models import Node
from apps.nodes.reconcilers import sync_cluster
from apps.nodes.states import State
from apps.regions.models import Region

PRODUCTS = {"type:tiny": plans.PRICES["type:tiny"], "disk": "0.00012"}
LOOKS = 8


class Command(BaseCommand):
    help = "Make the region `local` on the given libvirt, and the tiny image that boots there."

    def handle(self, **_options: object) -> None:
        if not settings.LIBVIRT_URI:
            raise CommandError("HOSTEDAI_LIBVIRT_URI is not set.")
        image = build_image(settings.VAR_DIR / "images" / "tiny.qcow2")
        try:
            with tenancy.everything():
                region = self._build(image)
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"  The region {region.slug} runs real machines ({settings.LIBVIRT_URI})")

    def _build(self, image: ImageSpec) -> Region:
        for product, price in PRODUCTS.items():
            if not PriceVersion.objects.filter(product=product, currency="EUR").exists():
                set_price(actor=SYSTEM, product=product, currency="EUR", unit_price=Decimal(price))
        config = {
            "uri": settings.LIBVIRT_URI,
            "network": settings.LIBVIRT_NETWORK,
            "storage_dir": settings.LIBVIRT_STORAGE,
        }
        region = build_local(actor=SYSTEM, config=config, image=image)
        for cluster in region.clusters.all():
            for _look in range(LOOKS):
                if Node.objects.filter(cluster=cluster, state=State.READY).exists():
                    break
                sync_cluster(cluster_id=cluster.pk)
        return region


def build_image(out: Path) -> ImageSpec:
    """Make the tiny image unless it is there, and say what it is."""
    script = settings.BASE_DIR / "images" / "tiny" / "build.py"
    cache = settings.VAR_DIR / "cache" / "debs"
    command = [sys.executable, str(script), "--out", str(out), "--cache", str(cache)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if ran.returncode:
        raise CommandError(ran.stderr.strip() or ran.stdout.strip())
    facts: dict[str, Any] = json.loads(out.with_suffix(".json").read_text())
    return ImageSpec(
        slug="tiny",
        name="Tiny Linux",
        version="1",
        os="linux",
        source=str(out),
        checksum=facts["checksum"],
        size_bytes=facts["bytes"],
        min_disk_gib=facts["min_disk_gib"],
        min_memory_mib=facts["min_memory_mib"],
        default_user=facts["default_user"],
        description="A few megabytes with an SSH server; boots in seconds.",
        cluster_kinds=("libvirt",),
        position=5,
    )
