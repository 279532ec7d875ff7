"""Regions and clusters: names, states, sealed credentials."""

import pytest

from apps.core.actor import SYSTEM, Actor
from apps.core.errors import Conflict, Invalid, NotPermitted
from apps.core.states import IllegalTransition
from apps.regions import services
from apps.regions.errors import BadClusterConfig, ClusterInUse
from apps.regions.models import Cluster
from apps.regions.specs import ClusterSpec
from tests.factories.supply import make_region, make_supply

pytestmark = pytest.mark.django_db
CONFIG = {"path": "/nowhere/sim.sqlite", "world": "w"}


def test_a_region_has_one_address_and_moves_along_its_states() -> None:
    region = services.create_region(actor=SYSTEM, slug="hel-1", name=" Helsinki  1 ")
    assert region.name == "Helsinki 1"
    with pytest.raises(Conflict):
        services.create_region(actor=SYSTEM, slug="hel-1", name="Twin")
    for slug in ("", "Hel_1", "-x", "a" * 41):
        with pytest.raises(Invalid):
            services.create_region(actor=SYSTEM, slug=slug, name="X")
    assert services.move_region(actor=SYSTEM, region=region, event="limit").state == "limited"
    with pytest.raises(IllegalTransition):
        services.move_region(actor=SYSTEM, region=region, event="limit")
    services.update_region(actor=SYSTEM, region=region, changes={"brake_percent": 50})
    with pytest.raises(Invalid):
        services.update_region(actor=SYSTEM, region=region, changes={"brake_percent": 0})
    with pytest.raises(NotPermitted):
        services.create_region(actor=Actor("nobody"), slug="x", name="X")


@pytest.mark.parametrize(
    ("kind", "config"),
    [("sim", {}), ("sim", {**CONFIG, "horses": 1}), ("wishful", {}), ("libvirt", {"uri": "telnet"})],
)
def test_a_cluster_is_configured_as_its_driver_wants(kind: str, config: dict[str, object]) -> None:
    spec = ClusterSpec("c", "C", kind, config)
    with pytest.raises(BadClusterConfig):
        services.create_cluster(actor=SYSTEM, region=make_region(), spec=spec)
    assert not Cluster.objects.exists()


def test_credentials_are_sealed_and_kept() -> None:
    secret = {"world": "secret-world"}
    spec = ClusterSpec("c", "C", "sim", {"path": "/nowhere/x"}, credentials=secret)
    cluster = services.create_cluster(actor=SYSTEM, region=make_region(), spec=spec)
    cluster.refresh_from_db()
    assert "secret-world" not in f"{cluster.config} {cluster.credentials}"
    assert cluster.driver_config == {"path": "/nowhere/x", **secret}
    services.configure_cluster(actor=SYSTEM, cluster=cluster, name="D", config={"path": "/nowhere/y"})
    cluster.refresh_from_db()
    assert cluster.driver_config == {"path": "/nowhere/y", **secret}
    with pytest.raises(Invalid):
        services.configure_cluster(actor=SYSTEM, cluster=cluster, name="D", config=CONFIG, credentials=secret)


def test_a_cluster_in_use_is_not_retired() -> None:
    supply = make_supply(nodes=1, gpus=0)
    supply.cluster.nodes.update(vcpus_used=1)
    with pytest.raises(ClusterInUse):
        services.move_cluster(actor=SYSTEM, cluster=supply.cluster, event="retire")
    supply.cluster.nodes.update(vcpus_used=0)
    assert services.move_cluster(actor=SYSTEM, cluster=supply.cluster, event="retire").state == "retired"
