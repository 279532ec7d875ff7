"""The supply's pages in the three panels."""

import html
import re
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.catalog.models import Image, InstanceType
from apps.core.actor import PLATFORM
from apps.core.clock import db_now
from apps.core.ids import new_id
from apps.core.permissions import Role
from apps.gpupools.models import GpuDevice, GpuPool
from apps.gpupools.services.reservations import reserve
from apps.nodes.models import Node, NodeAgent, NodeSample, ResourceGroup
from apps.nodes.states import Health, State
from apps.operations.models import Operation
from apps.operations.services import emit
from apps.panels import node_agent, subjects
from apps.panels.kit.places import Place
from apps.panels.subjects import page_of
from apps.policies.models import (
    Assignment,
    ImagePolicy,
    InstanceTypePolicy,
    PricingPolicy,
    ResourcePolicy,
    ServicePolicy,
)
from apps.regions.models import Cluster, Region
from tests.factories.supply import Supply, make_supply
from tests.factories.teams import TeamFactory, admin_of
from tests.factories.users import UserFactory, region_staff

pytestmark = pytest.mark.django_db

MOST_STATEMENTS = 15


def browser_of(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def admin() -> Client:
    return browser_of(UserFactory(staff=Role.FULL_ADMINISTRATOR))


@pytest.fixture
def supply() -> Supply:
    made = make_supply(nodes=3, gpus=4)
    reserve(holder_id=new_id("ins"), team_id=TeamFactory().pk, wanted=made.gpu_wanted(2), now=db_now())
    return made


def look(browser: Client, address: str) -> str:
    """The page; it shows within its budget of statements."""
    with CaptureQueriesContext(connection) as statements:
        answer = browser.get(address)
    assert answer.status_code == 200, address
    assert b"style=" not in answer.content
    assert len(statements) <= MOST_STATEMENTS, (address, [query["sql"][:150] for query in statements])
    return answer.content.decode()


ADMIN = [
    "overview", "regions", "regions/new", "clusters", "clusters/new", "nodes", "gpus", "gpu-pools",
    "gpu-pools/new", "volumes", "networks", "instance-types", "instance-types/new", "images", "images/new",
    "gpu-models", "gpu-models/new", "policies", "policies/new", "policies/teams",
]  # fmt: skip
CLUSTER = [
    "map", "map?color=health", "nodes", "gpus", "gpu-pools", "groups", "groups/new", "clusters", "volumes",
    "datastores", "networks",
]  # fmt: skip


def test_empty_pages_say_what_will_be_there(admin: Client) -> None:
    assert "No region yet" in look(admin, "/admin/overview")
    for page in ADMIN:
        look(admin, f"/admin/{page}")


def test_every_admin_page_shows_what_there_is(admin: Client, supply: Supply) -> None:
    for page in ADMIN:
        look(admin, f"/admin/{page}")
    pool, model = supply.pool, supply.model
    assert pool is not None
    pages = {
        "regions": supply.region.pk, "clusters": supply.cluster.pk, "nodes": supply.nodes[0].pk,
        "gpus": GpuDevice.objects.first().pk, "gpu-pools": pool.pk, "instance-types": supply.type.pk,
        "images": supply.image.pk, "gpu-models": model.pk, "policies/teams": Assignment.objects.first().pk,
        "policies/resource": ResourcePolicy.objects.first().pk,
        "policies/pricing": PricingPolicy.objects.first().pk,
        "policies/service": ServicePolicy.objects.first().pk,
        "policies/type": InstanceTypePolicy.objects.first().pk,
        "policies/image": ImagePolicy.objects.first().pk,
    }  # fmt: skip
    for page, pk in pages.items():
        look(admin, f"/admin/{page}/{pk}")
        assert admin.get(f"/admin/{page}/{new_id('reg')}").status_code == 404
    for tab in (f"nodes/{supply.nodes[0].pk}?tab=gpus", f"nodes/{supply.nodes[0].pk}?tab=events"):
        look(admin, f"/admin/{tab}")
    for more in ("regions/{r}/edit", "regions/{r}/zones/new", "regions/{r}?tab=pools", "clusters/{c}/edit",
                 "gpu-pools/{p}/edit", "gpu-pools/{p}/gpus", "gpu-pools/{p}/ratio",
                 "nodes/{n}/note"):  # fmt: skip
        ids = {"r": supply.region.pk, "c": supply.cluster.pk, "p": pool.pk, "n": supply.nodes[0].pk}
        look(admin, "/admin/" + more.format(**ids))
    for noun in ("nodes", "gpus", "gpu-pools", "instance-types"):
        assert b"," in b"".join(admin.get(f"/admin/{noun}?format=csv"))


@pytest.mark.parametrize("role", [Role.REGION_OPERATOR, Role.OPERATOR, Role.FULL_ADMINISTRATOR])
def test_the_panel_of_a_region_shows_it_and_no_other(supply: Supply, role: Role) -> None:
    other = make_supply(nodes=1, gpus=1)
    is_regional = role == Role.REGION_OPERATOR
    browser = browser_of(region_staff(role, supply.region if is_regional else None))
    home = f"/cluster/{supply.region.slug}"
    for page in CLUSTER:
        look(browser, f"{home}/{page}")
    shown = look(browser, f"{home}/map")
    assert supply.nodes[0].name in shown
    assert other.nodes[0].name not in look(browser, f"{home}/nodes")
    assert browser.get(f"{home}/nodes/{other.nodes[0].pk}").status_code == 404
    theirs = (f"/cluster/{other.region.slug}/map", "/admin/nodes")
    assert [browser.get(one).status_code for one in theirs] == [404 if is_regional else 200] * 2
    for page, pk in (
        ("gpus", GpuDevice.objects.filter(region=other.region).first().pk),
        ("gpu-pools", other.pool.pk if other.pool else ""),
        ("clusters", other.cluster.pk),
    ):
        assert browser.get(f"{home}/{page}/{pk}").status_code == 404
    for page, pk in (
        ("nodes", supply.nodes[0].pk),
        ("gpus", GpuDevice.objects.filter(region=supply.region).first().pk),
        ("gpu-pools", supply.pool.pk if supply.pool else ""),
        ("clusters", supply.cluster.pk),
    ):
        look(browser, f"{home}/{page}/{pk}")


def test_a_viewer_sees_no_buttons_and_presses_none(supply: Supply) -> None:
    browser = browser_of(region_staff(Role.REGION_VIEWER, supply.region))
    page = f"/cluster/{supply.region.slug}/nodes/{supply.nodes[0].pk}"
    assert "drain:" not in look(browser, page)
    assert browser.post(page, {"do": f"cordon:{supply.nodes[0].pk}"}).status_code == 404
    assert Node.objects.get(pk=supply.nodes[0].pk).state == "ready"


def test_a_node_is_cordoned_and_drained_after_its_machines_were_named(supply: Supply) -> None:
    browser = browser_of(region_staff(Role.REGION_OPERATOR, supply.region))
    node = Node.objects.get(vcpus_used__gt=0)
    page = f"/cluster/{supply.region.slug}/nodes/{node.pk}"
    browser.post(page, {"do": f"cordon:{node.pk}"})
    asked = browser.post(page, {"do": f"drain:{node.pk}"})
    assert asked.status_code == 422
    browser.post(page, {"do": f"drain:{node.pk}", "confirmed": "1"})
    node.refresh_from_db()
    assert node.state == "draining"
    assert Operation.objects.get(kind="node.drain").state == "running"


def test_the_map_pulls_and_releases_the_brake(supply: Supply) -> None:
    browser = browser_of(region_staff(Role.REGION_OPERATOR, supply.region))
    page = f"/cluster/{supply.region.slug}/map"
    browser.post(page, {"do": f"freeze:{supply.region.pk}", "confirmed": "1"})
    assert "The brake is on" in look(browser, page)
    browser.post(page, {"do": f"unfreeze:{supply.region.pk}", "confirmed": "1"})
    assert Region.objects.get(pk=supply.region.pk).frozen_at is None


def test_groups_are_made_filled_and_forgotten(supply: Supply) -> None:
    browser = browser_of(region_staff(Role.REGION_OPERATOR, supply.region))
    home = f"/cluster/{supply.region.slug}/groups"
    made = browser.post(f"{home}/new", {"name": "Fast", "slug": "fast"})
    group = ResourceGroup.objects.get()
    assert made["Location"] == f"{home}/{group.pk}/nodes"
    browser.post(f"{home}/{group.pk}/nodes", {"nodes": [supply.nodes[0].pk]})
    assert supply.nodes[0].name in look(browser, f"{home}/{group.pk}")
    browser.post(f"{home}/{group.pk}", {"do": f"forget:{group.pk}", "confirmed": "1"})
    assert not ResourceGroup.objects.exists()


def test_a_region_and_a_cluster_are_added(admin: Client) -> None:
    admin.post("/admin/regions/new", {"name": "Helsinki", "slug": "hel-1", "location": "", "country": ""})
    region = Region.objects.get()
    wrong = {"region": region.pk, "name": "C", "slug": "c", "kind": "sim", "config": '{"path": 5}'}
    refused = admin.post("/admin/clusters/new", wrong)
    assert refused.status_code == 422
    assert "The configuration is not valid" in refused.content.decode()
    empty = admin.post("/admin/clusters/new", {**wrong, "config": "{}"})
    assert "path: Field required" in empty.content.decode()  # the driver says what is missing
    right = {**wrong, "config": '{"path": "/nowhere/x"}', "credentials": '{"world": "hidden-world"}'}
    assert admin.post("/admin/clusters/new", right).status_code == 302
    cluster = Cluster.objects.get()
    assert "hidden-world" not in look(admin, f"/admin/clusters/{cluster.pk}")
    admin.post(f"/admin/clusters/{cluster.pk}/edit", {"name": "D", "config": '{"path": "/nowhere/y"}'})
    cluster.refresh_from_db()
    assert cluster.driver_config == {"path": "/nowhere/y", "world": "hidden-world"}


def test_the_ratio_changes_only_after_its_impact_was_shown(admin: Client) -> None:
    supply = make_supply(nodes=1, gpus=2, ratio=2)
    assert supply.pool is not None
    page = f"/admin/gpu-pools/{supply.pool.pk}/ratio"
    shown = admin.post(page, {"sharing_ratio": "4", "seen": ""})
    assert "4 slots become 8" in shown.content.decode()
    assert GpuPool.objects.get().sharing_ratio == 2
    admin.post(page, {"sharing_ratio": "4", "seen": "4"})
    assert GpuPool.objects.get().sharing_ratio == 4
    gpus = f"/admin/gpu-pools/{supply.pool.pk}/gpus"
    admin.post(gpus, {"gpus": [GpuDevice.objects.first().pk]})
    assert supply.pool.devices.count() == 1


def test_the_catalogue_is_written(admin: Client) -> None:
    kind = {
        "name": "Big",
        "slug": "big",
        "vcpus": 8,
        "memory_mib": 8192,
        "disk_gib": 80,
        "gpus": 0,
        "position": 1,
    }
    assert admin.post("/admin/instance-types/new", kind).status_code == 302
    made = InstanceType.objects.get()
    admin.post(f"/admin/instance-types/{made.pk}", {"name": "Bigger", "position": 2})
    admin.post("/admin/instance-types", {"do": f"retire:{made.pk}", "confirmed": "1"})
    made.refresh_from_db()
    assert (made.name, made.state) == ("Bigger", "retired")
    image = {"name": "Debian", "version": "13", "slug": "debian-13", "os": "debian", "min_disk_gib": 2,
             "min_memory_mib": 256, "default_user": "debian", "checksum": "md5:x"}  # fmt: skip
    assert admin.post("/admin/images/new", image).status_code == 422
    assert admin.post("/admin/images/new", {**image, "checksum": ""}).status_code == 302
    assert Image.objects.get().default_user == "debian"
    model = {
        "vendor": "NVIDIA",
        "name": "H100",
        "slug": "h100",
        "memory_gib": 80,
        "aliases": "NVIDIA H100\n\nH100 PCIe",
    }
    assert admin.post("/admin/gpu-models/new", model).status_code == 302
    assert "H100" in look(admin, "/admin/gpu-models")


def test_policies_are_made_narrowed_and_assigned(admin: Client) -> None:
    supply, team = make_supply(nodes=1), TeamFactory()
    made = admin.post("/admin/policies/new", {"kind": "resource", "name": "Tight", "slug": "tight"})
    policy = ResourcePolicy.objects.get(slug="tight")
    assert made["Location"] == f"/admin/policies/resource/{policy.pk}"
    words = {"name": "Tight", "description": ""}
    lines = f"everywhere instances 5\n{supply.region.slug} vcpus none"
    admin.post(made["Location"], {**words, "limits": lines})
    assert policy.limits.count() == 2
    assert f"{supply.region.slug} vcpus none" in look(admin, made["Location"])
    for wrong in ("everywhere instances", "nowhere vcpus 1", "everywhere vcpus many", "everywhere horses 1"):
        assert admin.post(made["Location"], {**words, "limits": wrong}).status_code == 422
    assert policy.limits.count() == 2
    chosen = {kind: getattr(Assignment.objects.get(team=team), f"{kind}_id") for kind in
              ("pricing", "service", "instance_type", "image")}  # fmt: skip
    admin.post(f"/admin/policies/teams/{team.pk}", {**chosen, "resource": policy.pk})
    assert Assignment.objects.get(team=team).resource == policy
    console = browser_of(admin_of(team))
    assert "0 / 5" in look(console, f"/console/{team.slug}/default/limits")
    for page in ("volumes", "snapshots"):
        look(console, f"/console/{team.slug}/default/{page}")


def test_a_host_is_added_and_its_steps_are_watched(supply: Supply) -> None:
    operator = browser_of(region_staff(Role.REGION_OPERATOR, supply.region))
    nodes = f"/cluster/{supply.region.slug}/nodes"
    look(operator, f"{nodes}/new")
    answer = operator.post(f"{nodes}/new", {"name": "gpu-77", "rack": "R1"})
    page = answer.content.decode()
    assert "hai_enrol_" in page
    assert "hostedai-agent install" in page
    assert answer.headers["Cache-Control"] == "no-store"
    node = Node.objects.get(name="gpu-77")
    for address in (f"{nodes}/{node.pk}", f"{nodes}/{node.pk}?tab=agent", f"{nodes}/{node.pk}/invite"):
        shown = look(operator, address)
        assert "hai_enrol_" not in shown
    assert 'id="enrol-steps"' in look(operator, f"{nodes}/{node.pk}")
    watched = re.search(r'hx-get="([^"]+)"[^>]*hx-select="#enrol-steps"', page)
    assert watched
    Node.objects.filter(pk=node.pk).update(state=State.TESTING)
    Node.objects.filter(pk=node.pk).update(state=State.INITIALIZING)
    Node.objects.filter(pk=node.pk).update(state=State.READY, health=Health.UNREACHABLE)
    arrived = look(operator, html.unescape(watched[1]))
    assert "Token shown, credential made" in arrived.split('id="enrol-steps"')[1]
    NodeAgent.objects.create(node=node, is_stopped=True)
    assert "Its agent was stopped there" in look(operator, f"{nodes}/{node.pk}")
    assert "What happened" in look(operator, f"{nodes}/{node.pk}?tab=events")
    assert "hai_enrol_" in operator.post(f"{nodes}/{node.pk}/invite", {}).content.decode()
    assert operator.post(f"{nodes}/new", {"name": "gpu-77"}).status_code == 422
    viewer = browser_of(region_staff(Role.REGION_VIEWER, supply.region))
    assert viewer.get(f"{nodes}/new").status_code == 404
    assert viewer.post(f"{nodes}/{node.pk}", {"action": "revoke"}).status_code in (302, 404)


def test_a_host_that_reports_much_fills_no_page(supply: Supply) -> None:
    one = {"node": supply.nodes[0], "journal": UUID(int=1), "at": db_now(), "seconds": 1, "cpu_percent": 1}
    one |= {"memory_used_mib": 1, "disk_used_gib": 1}
    NodeSample.objects.bulk_create([NodeSample(**one, seq=n) for n in range(1, 1501)])
    shown = node_agent.thinned(NodeSample.objects.order_by("at"))
    assert node_agent.MOST_POINTS <= len(shown) <= 2 * node_agent.MOST_POINTS


def test_what_is_told_of_a_thing_leads_to_it(supply: Supply, admin: Client) -> None:
    place = Place("admin", PLATFORM)
    assert all(page_of(place, new_id(kind)) for kind in subjects.ROUTES)
    assert page_of(place, "nothing") == ""
    node = supply.nodes[0]
    emit(type="node.note_set", subject=node.pk, region_id=supply.region.pk)
    assert f'href="/admin/nodes/{node.pk}"' in look(admin, "/admin/events")
