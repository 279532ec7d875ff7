"""The supply's nouns in the three APIs."""

import pytest

from apps.core.permissions import Role
from apps.gpupools.models import GpuDevice
from tests.api.world import staff_caller, team_caller
from tests.factories.supply import make_supply
from tests.factories.teams import TeamFactory
from tests.factories.users import UserFactory, region_staff

pytestmark = pytest.mark.django_db


def admin():
    return staff_caller(UserFactory(staff=Role.FULL_ADMINISTRATOR))


def test_customers_see_what_they_can_launch() -> None:
    supply = make_supply()
    caller = team_caller(TeamFactory())
    assert [one["slug"] for one in caller.get("/api/user/v1/regions").json()["items"]] == [supply.region.slug]
    types = caller.get("/api/user/v1/instance-types").json()["items"]
    assert {one["product"] for one in types} == {"type:cpu-2", "type:h100-1"}
    assert caller.get(f"/api/user/v1/instance-types/{supply.type.pk}").status_code == 200
    assert caller.get("/api/user/v1/images").json()["items"][0]["default_user"] == "user"
    offers = {one["type"]["slug"]: one for one in caller.get("/api/user/v1/offers").json()["items"]}
    assert offers["h100-1"]["room"] == 8
    assert offers["h100-1"]["regions"][0]["region"] == supply.region.slug
    limits = caller.get("/api/user/v1/limits").json()["items"]
    assert {"level": "global", "target": "", "metric": "instances", "maximum": 100, "used": 0} in limits
    assert caller.get("/api/user/v1/volumes").json()["items"] == []


def test_staff_of_the_platform_does_in_every_region_what_it_may_everywhere() -> None:
    supply = make_supply(nodes=1, gpus=0)
    home = f"/api/cluster/v1/regions/{supply.region.slug}"
    operator, auditor = (staff_caller(UserFactory(staff=one)) for one in (Role.OPERATOR, Role.AUDITOR))
    (node,) = operator.get(f"{home}/nodes").json()["items"]
    assert operator.post(f"{home}/nodes/{node['id']}/cordon", {}).json()["state"] == "cordoned"
    assert auditor.get(f"{home}/nodes").status_code == 200
    assert auditor.post(f"{home}/nodes/{node['id']}/uncordon", {}).status_code == 403
    assert operator.get("/api/cluster/v1/regions/nowhere/nodes").status_code == 404


def test_staff_of_a_region_runs_its_nodes_and_no_others() -> None:
    mine, other = make_supply(nodes=1, gpus=2), make_supply(nodes=1, gpus=0)
    caller = staff_caller(region_staff(Role.REGION_OPERATOR, mine.region))
    home = f"/api/cluster/v1/regions/{mine.region.slug}"
    (node,) = caller.get(f"{home}/nodes").json()["items"]
    assert (node["gpus"], node["gpus_used"], node["state"]) == (2, 0, "ready")
    assert caller.get(f"{home}/nodes/{other.nodes[0].pk}").status_code == 404
    assert caller.get(f"/api/cluster/v1/regions/{other.region.slug}/nodes").status_code == 404
    cordoned = caller.post(f"{home}/nodes/{node['id']}/cordon", {"reason": "Fans"})
    assert (cordoned.status_code, cordoned.json()["state"], cordoned.json()["note"]) == (
        200,
        "cordoned",
        "Fans",
    )
    assert caller.post(f"{home}/nodes/{node['id']}/cordon", {}).status_code == 409
    assert caller.get(f"{home}/nodes/{node['id']}/occupants").json()["occupants"] == []
    drained = caller.post(f"{home}/nodes/{node['id']}/drain", {})
    assert (drained.status_code, drained.json()["kind"]) == (202, "node.drain")
    assert caller.post(f"{home}/nodes/{node['id']}/uncordon", {}).json()["state"] == "ready"
    gpu = caller.get(f"{home}/gpus").json()["items"][0]
    assert caller.post(f"{home}/gpus/{gpu['id']}/isolate", {}).json()["is_isolated"] is True
    made = caller.post(f"{home}/resource-groups", {"slug": "fast", "name": "Fast"}).json()
    filled = caller.post(f"{home}/resource-groups/{made['id']}/nodes", {"nodes": [node["id"]]})
    assert filled.json()["nodes"] == [node["id"]]
    for noun in ("clusters", "gpu-pools", "volumes", "datastores", "networks"):
        assert caller.get(f"{home}/{noun}").status_code == 200
    assert "config" not in caller.get(f"{home}/clusters").json()["items"][0]


def test_the_platform_builds_a_region_up() -> None:
    caller = admin()
    region = caller.post("/api/admin/v1/regions", {"slug": "hel-1", "name": "Helsinki"}).json()
    zone = caller.post(f"/api/admin/v1/regions/{region['id']}/zones", {"slug": "a", "name": "A"})
    assert [one["slug"] for one in zone.json()["zones"]] == ["a"]
    bad = caller.post(
        "/api/admin/v1/clusters",
        {"region_id": region["id"], "slug": "c", "name": "C", "kind": "sim", "config": {}},
    )
    assert (bad.status_code, bad.json()["code"]) == (422, "bad_cluster_config")
    config = {"path": "/nowhere/x.sqlite"}
    made = caller.post(
        "/api/admin/v1/clusters",
        {
            "region_id": region["id"],
            "slug": "c",
            "name": "C",
            "kind": "sim",
            "config": config,
            "credentials": {"world": "secret"},
        },
    )
    assert made.status_code == 201
    assert made.json()["has_credentials"] is True
    assert "secret" not in made.content.decode()
    frozen = caller.post(f"/api/admin/v1/regions/{region['id']}/freeze", {"reason": "Drill"})
    assert frozen.json()["frozen_because"] == "Drill"
    assert caller.post(f"/api/admin/v1/regions/{region['id']}/unfreeze", {}).json()["frozen_at"] is None
    limited = caller.post(f"/api/admin/v1/regions/{region['id']}/move", {"event": "limit"})
    assert limited.json()["state"] == "limited"
    changed = caller.patch(f"/api/admin/v1/regions/{region['id']}", {"brake_percent": 40})
    assert changed.json()["brake_percent"] == 40


def test_the_platform_fills_and_shares_a_pool() -> None:
    supply, caller = make_supply(nodes=1, gpus=2, ratio=2), admin()
    pool = f"/api/admin/v1/gpu-pools/{supply.pool.pk}"
    impact = caller.post(f"{pool}/impact", {"sharing_ratio": 4}).json()
    assert (impact["slots_before"], impact["slots_after"]) == (4, 8)
    assert caller.post(f"{pool}/ratio", {"sharing_ratio": 4}).json()["slots"] == 8
    cards = [str(pk) for pk in GpuDevice.objects.values_list("pk", flat=True)]
    assert caller.post(f"{pool}/remove-gpus", {"gpus": cards}).json()["cards"] == 0
    made = caller.post(
        "/api/admin/v1/gpu-pools",
        {
            "region_id": supply.region.pk,
            "gpu_model_id": supply.model.pk,
            "slug": "whole",
            "name": "Whole",
        },
    )
    assert made.status_code == 201
    added = caller.post(f"/api/admin/v1/gpu-pools/{made.json()['id']}/add-gpus", {"gpus": cards})
    assert (added.json()["cards"], added.json()["slots"]) == (2, 2)


def test_the_platform_writes_catalogue_and_policies() -> None:
    supply, caller, team = make_supply(nodes=1), admin(), TeamFactory()
    kind = caller.post(
        "/api/admin/v1/instance-types",
        {"slug": "big", "name": "Big", "vcpus": 8, "memory_mib": 8192, "disk_gib": 80},
    )
    assert kind.status_code == 201
    address = f"/api/admin/v1/instance-types/{kind.json()['id']}"
    assert caller.patch(address, {"name": "Bigger"}).json()["name"] == "Bigger"
    assert caller.post(f"{address}/move", {"event": "retire"}).json()["state"] == "retired"
    policy = caller.post("/api/admin/v1/resource-policies", {"slug": "tight", "name": "Tight"}).json()
    line = {"level": "global", "metric": "instances", "access": "restricted", "maximum": 1}
    limited = caller.post(f"/api/admin/v1/resource-policies/{policy['id']}/limits", {"limits": [line]})
    assert limited.json()["limits"][0]["maximum"] == 1
    given = caller.post(
        f"/api/admin/v1/policies/{team.pk}/assign", {"kind": "resource", "policy_id": policy["id"]}
    )
    assert given.json()["resource"] == "tight"
    assert caller.delete(f"/api/admin/v1/resource-policies/{policy['id']}").status_code == 409
    only = caller.post("/api/admin/v1/image-policies", {"slug": "one", "name": "One"}).json()
    chosen = caller.post(
        f"/api/admin/v1/image-policies/{only['id']}/choice",
        {"is_open": False, "slugs": [supply.image.slug]},
    )
    assert chosen.json()["slugs"] == [supply.image.slug]
    for noun in ("pricing-policies", "service-policies", "instance-type-policies", "gpu-models", "images"):
        assert caller.get(f"/api/admin/v1/{noun}").json()["items"]
    for noun in ("nodes", "gpus", "networks", "volumes", "clusters", "regions", "policies"):
        assert caller.get(f"/api/admin/v1/{noun}").status_code == 200
