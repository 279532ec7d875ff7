"""The Console's machines: launch with the price first, the page of one machine, its buttons and forms."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.core.clock import db_now
from apps.core.permissions import Role
from apps.instances.models import Instance, Sample
from apps.users.services import add_ssh_key
from tests.factories.instances import Stage, bring_about, make_stage
from tests.factories.teams import TeamFactory, actor_of, admin_of, member_of

pytestmark = pytest.mark.django_db

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Vhr4yUQ4N2K0bTjVn3m8r8Hn2l7J2tqkX0l3f9f3a laptop"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return make_stage(tmp_path)


@pytest.fixture
def browser(stage: Stage) -> Client:
    client = Client()
    client.force_login(admin_of(stage.team))
    return client


def at(stage: Stage, rest: str) -> str:
    return f"/console/{stage.team.slug}/{stage.workspace.slug}/{rest}"


def text_of(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_a_new_team_is_led_to_its_first_machine(stage: Stage, browser: Client) -> None:
    page = text_of(browser.get(at(stage, "overview")))
    assert "Your first machine is a minute away" in page
    assert "Add an SSH key" in page


def test_the_price_stands_there_before_the_launch(stage: Stage, browser: Client) -> None:
    page = text_of(browser.get(at(stage, "launch?type=h100-1")))
    assert "€2.50 per hour" in page
    assert "€60.00 a day" in page
    assert "€1,800.00 for 30 days" in page
    assert "Your balance of €1,000.00 lasts" in page
    more_disk = text_of(browser.get(at(stage, "launch?type=h100-1&disk_gib=1100")))
    assert "€2.70 per hour" in more_disk


def test_who_may_launch_and_not_see_the_balance_is_not_told_that_it_is_empty(stage: Stage) -> None:
    client = Client()
    client.force_login(member_of(stage.team, Role.TEAM_MEMBER))
    page = text_of(client.get(at(stage, "launch?type=cpu-2")))
    assert "Launch instance" in page
    assert "Why not?" not in page
    assert "1,000.00" not in page


def test_another_type_brings_its_own_disk_unless_one_was_chosen(stage: Stage, browser: Client) -> None:
    kept = browser.get(at(stage, "launch?type=cpu-2&disk_gib=100&included=100"))
    assert b'value="20"' in kept.content
    chosen = browser.get(at(stage, "launch?type=cpu-2&disk_gib=300&included=100"))
    assert b'value="300"' in chosen.content


def test_a_launch_leads_to_the_page_of_the_machine(stage: Stage, browser: Client) -> None:
    page = browser.get(at(stage, "launch")).content.decode()
    token = re.search(r'name="form_token" value="([^"]+)"', page)
    assert token
    wanted = stage.spec(name="first").model_dump(include={"name", "region", "type", "image"})
    said = {**wanted, "disk_gib": "20", "form_token": token[1]}
    answers = [browser.post(at(stage, "launch"), said) for _twice in range(2)]
    instance = Instance.objects.get()
    for answer in answers:
        assert answer.status_code == 302
        assert answer.headers["Location"] == at(stage, f"instances/{instance.pk}")
    shown = browser.get(at(stage, f"instances/{instance.pk}"))
    assert "Not charged before it runs" in text_of(shown)
    assert shown.content.count(b'class="step ') == 4


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "Not A Name", "begins with a letter"),
        ("name", "", "required"),
        ("region", "nowhere", "no such region"),
        ("image", "windows-95", "no such image"),
        ("disk_gib", "1", "at least 20 GiB"),
        ("disk_gib", "x", "whole number"),
    ],
)
def test_a_bad_launch_is_refused_at_its_field(
    stage: Stage, browser: Client, field: str, value: str, message: str
) -> None:
    wanted = stage.spec().model_dump(include={"name", "region", "type", "image"})
    answer = browser.post(at(stage, "launch"), {**wanted, "disk_gib": "20", field: value})
    assert answer.status_code == 422
    assert message in text_of(answer)
    assert not Instance.objects.exists()


def test_a_launch_without_money_is_told_why(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, balance="0.01")
    client = Client()
    client.force_login(admin_of(stage.team))
    page = text_of(client.get(at(stage, "launch?type=h100-1")))
    assert "Why not?" in page
    assert "EUR are needed to start" in page
    wanted = stage.spec(type="h100-1").model_dump(include={"name", "region", "type", "image"})
    answer = client.post(at(stage, "launch"), {**wanted, "disk_gib": "100"})
    assert answer.status_code == 422
    assert not Instance.objects.exists()


def test_only_ones_own_ssh_keys_are_put_on_a_machine(stage: Stage, browser: Client) -> None:
    mine = add_ssh_key(actor=stage.actor, name="laptop", public_key=KEY)
    stranger = TeamFactory()
    theirs = add_ssh_key(actor=actor_of(stranger), name="other", public_key=KEY)
    wanted = stage.spec(name="keyed").model_dump(include={"name", "region", "type", "image"})
    said = {**wanted, "disk_gib": "20", "ssh_key": [mine.pk, theirs.pk]}
    assert browser.post(at(stage, "launch"), said).status_code == 422
    browser.post(at(stage, "launch"), {**said, "ssh_key": [mine.pk]})
    assert len(Instance.objects.get().ssh_keys) == 1


def test_the_page_of_a_running_machine(stage: Stage, browser: Client) -> None:
    instance = stage.running(name="alive")
    for tab in ("overview", "metrics", "events", "snapshots", "settings"):
        assert browser.get(at(stage, f"instances/{instance.pk}?tab={tab}")).status_code == 200, tab
    page = text_of(browser.get(at(stage, f"instances/{instance.pk}")))
    assert f"{instance.user}@{instance.address}" in page
    assert "Cost so far" in page
    for screen in ("terminal", "console"):
        shown = browser.get(at(stage, f"instances/{instance.pk}/{screen}"))
        assert "style-src 'self' 'unsafe-inline'" in shown.headers["Content-Security-Policy"]
        assert "script-src 'self';" in shown.headers["Content-Security-Policy"]
        assert b"<ui-terminal" in shown.content


def test_the_cards_of_a_machine_are_charted_where_they_are_measured(stage: Stage, browser: Client) -> None:
    instance = stage.running(name="alive")
    page = at(stage, f"instances/{instance.pk}?tab=metrics")
    assert "GPUs" not in text_of(browser.get(page))
    Instance.objects.filter(pk=instance.pk).update(gpus=2)
    assert "not every hypervisor can look into the cards" in text_of(browser.get(page))
    now = db_now()
    for minutes, busy in ((2, [10.0, 50.0]), (1, [30.0, 90.0])):
        Sample.objects.create(
            instance=instance, team_id=instance.team_id, region_id=instance.region_id,
            at=now - timedelta(minutes=minutes), cpu_ns=0, net_rx_bytes=0, net_tx_bytes=0,
            disk_read_bytes=0, disk_write_bytes=0, memory_used_mib=1, memory_total_mib=2,
            gpu_busy=busy, gpu_memory=[20.0, 40.0],
        )  # fmt: skip
    shown = browser.get(page).content.decode()
    assert "The GPUs were 45 % busy and their memory 30 % full on average." in shown
    assert "Busiest card" in shown
    assert "45 % busy" in browser.get(at(stage, f"instances/{instance.pk}")).content.decode()


def test_a_page_takes_at_most_15_statements(stage: Stage, browser: Client) -> None:
    for number in range(4):
        stage.launch(name=f"vm-{number}")
    for path, most in (("instances", 15), ("overview", 15), ("launch", 15), ("endpoints/new", 15)):
        browser.get(at(stage, path))
        with CaptureQueriesContext(connection) as seen:
            assert browser.get(at(stage, path)).status_code == 200
        assert len(seen) <= most, "\n".join(query["sql"][:160] for query in seen)


def test_stop_asks_first_and_then_stops(stage: Stage, browser: Client) -> None:
    instance = stage.running(name="alive")
    page = at(stage, f"instances/{instance.pk}")
    assert browser.post(page, {"do": f"stop:{instance.pk}"}).status_code == 422
    browser.post(page, {"do": f"stop:{instance.pk}", "confirmed": "1"})
    assert bring_about(instance, passes=2).state == "stopped"
    browser.post(page, {"do": f"start:{instance.pk}"})
    assert bring_about(instance, passes=2).state == "running"


def test_deleting_takes_the_name(stage: Stage, browser: Client) -> None:
    instance = stage.running(name="alive")
    page = at(stage, f"instances/{instance.pk}")
    said = {"do": f"delete-for-good:{instance.pk}", "confirmed": "1"}
    assert browser.post(page, {**said, "typed": "something"}).status_code == 422
    assert browser.post(page, {**said, "typed": "alive"}).status_code == 302
    assert bring_about(instance, passes=3).state == "deleted"


def test_rename_resize_and_snapshot_forms(stage: Stage, browser: Client) -> None:
    instance = stage.running(name="alive")
    base = f"instances/{instance.pk}"
    assert browser.post(at(stage, f"{base}/rename"), {"name": "No!"}).status_code == 422
    assert browser.post(at(stage, f"{base}/rename"), {"name": "renamed"}).status_code == 302
    smaller = {"type": instance.type.slug, "disk_gib": "5"}
    assert "only grow" in text_of(browser.post(at(stage, f"{base}/resize"), smaller))
    assert browser.post(at(stage, f"{base}/snapshots"), {"name": "before"}).status_code == 302
    bring_about(instance, passes=2)
    assert instance.name == "renamed"
    shown = text_of(browser.get(at(stage, f"{base}?tab=snapshots")))
    assert "before" in shown


def test_a_viewer_sees_and_does_nothing(stage: Stage) -> None:
    instance = stage.running(name="alive")
    viewer = Client()
    viewer.force_login(member_of(stage.team, Role.TEAM_VIEWER))
    page = at(stage, f"instances/{instance.pk}")
    shown = viewer.get(page)
    assert shown.status_code == 200
    assert b"Stop" not in shown.content
    assert viewer.post(page, {"do": f"stop:{instance.pk}", "confirmed": "1"}).status_code == 404
    for rest in ("/terminal", "/console", "/rename", "/resize", "/terminal/ticket"):
        assert viewer.get(page + rest).status_code == 404
    assert viewer.post(page + "/terminal/ticket").status_code == 404
    assert viewer.get(at(stage, "launch")).status_code == 404
    instance.refresh_from_db()
    assert instance.desired == "running"


def test_the_machine_of_another_team_does_not_exist(stage: Stage) -> None:
    instance = stage.running(name="alive")
    other = TeamFactory()
    stranger = Client()
    stranger.force_login(admin_of(other))
    for rest in ("", "/terminal", "/rename", "/terminal/ticket"):
        path = f"/console/{other.slug}/default/instances/{instance.pk}{rest}"
        assert stranger.post(path, {"name": "mine", "do": f"stop:{instance.pk}"}).status_code in (
            404,
            405,
            409,
        )
        assert stranger.get(path).status_code in (404, 405)
    assert stranger.get(at(stage, f"instances/{instance.pk}")).status_code == 404
    instance.refresh_from_db()
    assert (instance.name, instance.desired) == ("alive", "running")


def test_a_ticket_is_given_to_the_page_s_own_origin(stage: Stage, browser: Client) -> None:
    instance = stage.running(name="alive")
    path = at(stage, f"instances/{instance.pk}/terminal/ticket")
    given = browser.post(path, headers={"Origin": "http://testserver"})
    assert given.status_code == 200
    assert given.headers["Cache-Control"] == "no-store"
    assert len(given.json()["ticket"]) > 30
    assert browser.post(path).status_code == 409
    assert browser.get(path).status_code == 405
