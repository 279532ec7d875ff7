"""The client and the command against a live portal and a real object store."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections

from apps.billing.services import wallets
from apps.core.actor import SYSTEM
from apps.inference import reconcilers as serving
from apps.registry import reconcilers, selectors
from apps.registry.models import Model, ModelVersion
from apps.registry.specs import MIB
from hostedai_sdk import ApiError, BadKey, Client, Failed, HostedaiError, Invalid, NotFound, PaymentNeeded
from hostedai_sdk.cli import main
from hostedai_sdk.endpoints import added
from tests.apps.registry.conftest import own_bucket
from tests.factories.billing import make_price
from tests.factories.inference import make_stage, make_version
from tests.factories.registry import folder, gguf, hub, sha256
from tests.factories.registry import make_model as make_registered
from tests.factories.supply import make_supply
from tests.factories.teams import TeamFactory, key_of

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def store(settings):
    with own_bucket(settings) as opened:
        yield opened


@pytest.fixture
def team(transactional_db):
    return TeamFactory()


@pytest.fixture
def key(team):
    return key_of(team).secret


@pytest.fixture
def cloud(live_server, key) -> Iterator[Client]:
    with Client(live_server.url, key) as made:
        yield made


@contextmanager
def worker() -> Iterator[None]:
    """Somebody who reconciles while the client waits."""
    ended = threading.Event()

    def work() -> None:
        try:
            while not ended.wait(0.05):
                for pk in ModelVersion.objects.all().due().values_list("pk", flat=True):
                    reconcilers.reconcile_version(version_id=str(pk))
                serving.reconcile_due()
                serving.steer_due()
                serving.read_asked()
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


FORMATS = ["gguf", "safetensors"]


class Interrupt(Exception):
    """As a process that dies: nothing of the client runs after it."""


def test_a_push_that_dies_goes_on_with_the_parts_that_are_missing(store, cloud, tmp_path):
    file = tmp_path / "small.gguf"
    file.write_bytes(gguf(padding=40 * MIB // 128))
    seen: list[int] = []

    def die(name: str, done: int, total: int) -> None:
        if not name.startswith("hashing"):
            seen.append(done)
        if len(seen) == 3:
            raise Interrupt

    with pytest.raises(Interrupt):
        cloud.models.push(file, slug="small", parallel=1, progress=die)
    version = ModelVersion.objects.get()
    row = version.files.get()
    arrived = store.parts(selectors.key_of(version, row), row.upload_id)
    assert sorted(arrived) == [1, 2]
    begun: list[int] = []
    with worker():
        done = cloud.models.push(
            file, slug="small", progress=lambda name, n, _all: name.startswith("hash") or begun.append(n)
        )
    assert begun[0] == sum(part.size for part in arrived.values())
    assert (done["state"], done["id"]) == ("servable", version.pk)
    assert done["manifest"][0]["sha256"] == sha256(file.read_bytes())
    assert ModelVersion.objects.count() == 1
    assert store.uploads(selectors.root()) == []


def test_a_folder_is_pushed_without_what_has_no_business_there(store, cloud, tmp_path):
    for path, body in (folder() | {"pytorch_model.bin": b"pickle", ".git/config": b"x"}).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(body)
    with worker():
        version = cloud.models.push(tmp_path, slug="small", about={"licence": "mit"})
    assert sorted(one["path"] for one in version["manifest"]) == sorted(folder())
    (model,) = cloud.models.list()
    assert (model["slug"], model["licence"]) == ("small", "mit")


def test_what_is_refused_is_said(store, cloud, tmp_path):
    file = tmp_path / "small.gguf"
    file.write_bytes(b"GGUF and nothing else of it, alas")
    with worker(), pytest.raises(HostedaiError, match=r"small\.gguf"):
        cloud.models.push(file, slug="small")
    with pytest.raises(ApiError) as caught:
        cloud.models.ensure("No Such Slug")
    assert (caught.value.status, caught.value.code) == (422, "invalid")
    with pytest.raises(HostedaiError, match="no weights"):
        cloud.models.push(_empty(tmp_path), slug="small")


def _empty(tmp_path):
    place = tmp_path / "empty"
    place.mkdir()
    return place


def test_the_command_imports_and_lists(store, settings, live_server, key, capsys, monkeypatch):
    monkeypatch.setenv("HOSTEDAI_URL", live_server.url)
    monkeypatch.setenv("HOSTEDAI_KEY", key)
    with hub() as far, worker():
        settings.HUB_ENDPOINT_URL = far.url
        far.files["acme/small"] = {"pytorch_model.bin": b"x" * 100}
        assert main(["models", "import", "hf:acme/small", "--slug", "small"]) == 1
        assert "no weights" in capsys.readouterr().err
        far.files["acme/small"] = folder()
        assert main(["models", "import", "hf:acme/small", "--slug", "small"]) == 0
    assert "servable" in capsys.readouterr().out
    assert main(["models", "list", "--json"]) == 0
    newest = json.loads(capsys.readouterr().out)[0]["newest"]
    assert (newest["state"], newest["number"]) == ("servable", 1)
    assert main(["models", "list"]) == 0
    assert "small" in capsys.readouterr().out
    assert Model.objects.count() == 1


def test_the_command_keeps_its_key_to_itself(live_server, key, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("HOSTEDAI_URL", "HOSTEDAI_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["models", "list"]) == 1
    assert "login" in capsys.readouterr().err
    assert main(["login", "--url", live_server.url, "--key", key]) == 0
    kept = tmp_path / "hostedai" / "credentials.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert main(["models", "list"]) == 0
    assert main(["login", "--url", live_server.url, "--key", "hai_live_wrong"]) == 1


def test_the_command_launches_and_deletes(live_server, team, key, capsys, monkeypatch):
    supply = make_supply()
    make_price(supply.type.product, "0.10")
    make_price("disk", "0.0001")
    wallets.top_up(actor=SYSTEM, team=team, amount=Decimal(100), reason="test")
    monkeypatch.setenv("HOSTEDAI_URL", live_server.url)
    monkeypatch.setenv("HOSTEDAI_KEY", key)
    words = ["--region", supply.region.slug, "--type", supply.type.slug, "--image", supply.image.slug]
    assert main(["instances", "launch", "first", *words]) == 0
    assert "first" in capsys.readouterr().out
    assert main(["instances", "list"]) == 0
    assert "first" in capsys.readouterr().out
    assert main(["instances", "delete", "first"]) == 0
    assert main(["instances", "stop", "second"]) == 1


def test_endpoints_are_launched_scaled_and_deleted(live_server, tmp_path, capsys, monkeypatch):
    stage = make_stage(tmp_path)
    monkeypatch.setenv("HOSTEDAI_URL", live_server.url)
    monkeypatch.setenv("HOSTEDAI_KEY", key_of(stage.team).secret)
    words = ["--region", stage.region.slug, "--hardware", stage.hardware.slug, "--workspace", "default"]
    with worker():
        launch = ["endpoints", "launch", "chat", "--model", stage.version.model.slug, *words, "--wait"]
        assert main([*launch, "--most", "2"]) == 0
        assert "ready" in capsys.readouterr().out
        assert main(["--json", "endpoints", "scale", "chat", "--most", "3"]) == 0
        scale = json.loads(capsys.readouterr().out)["scale"]
        assert (scale["least"], scale["most"]) == (1, 3)
        assert main(["endpoints", "logs", "chat"]) == 0
        assert "engine" in capsys.readouterr().out
        assert main(["endpoints", "list"]) == 0
        assert stage.version.model.name in capsys.readouterr().out
        assert main(["endpoints", "delete", "chat", "--wait"]) == 0
        assert "deleted" in capsys.readouterr().out


def test_an_endpoint_is_updated_without_the_console(live_server, tmp_path, capsys, monkeypatch):
    stage = make_stage(tmp_path)
    model = stage.version.model
    newer = make_version(stage.team, model=model)
    monkeypatch.setenv("HOSTEDAI_URL", live_server.url)
    monkeypatch.setenv("HOSTEDAI_KEY", key_of(stage.team).secret)

    def run(*words: str) -> Any:
        assert main(["--json", "endpoints", *words]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    (small,) = run("hardware", "--region", stage.region.slug)
    assert (small["slug"], small["hourly"], small["formats"]) == (stage.hardware.slug, "0.6", FORMATS)
    assert run("hardware", "--region", "atlantis") == []
    first = ("--model", f"{model.slug}@1", "--region", stage.region.slug, "--hardware", small["slug"])
    newest = ("--model", model.slug, "--wait")
    with worker():
        run("launch", "chat", *first, "--workspace", "default", "--context", "1024", "--wait")
        tried = run("canary", "chat", "--percent", "10", *newest)
        assert (tried["canary_weight"], tried["revision"]["number"]) == (10, 1)
        assert run("canary", "chat", "--percent", "40")["canary_weight"] == 40
        assert run("drop", "chat")["canary_weight"] == 0
        run("canary", "chat", "--percent", "10", *newest)
        assert run("promote", "chat", "--wait")["revision"]["version_id"] == newer.pk
        assert run("rollback", "chat", "--wait")["revision"]["version_id"] == stage.version.pk
        served = run("deploy", "chat", *newest)["revision"]
    kept = (served["version_id"], served["hardware"], served["context_length"])
    assert kept == (newer.pk, small["slug"], 1024)
    assert [one["number"] for one in run("revisions", "chat")] == [4, 3, 2, 1]
    assert main(["endpoints", "promote", "chat"]) == 1
    assert "no canary" in capsys.readouterr().err


def test_an_update_that_does_not_come_about_is_said(live_server, tmp_path, capsys, monkeypatch):
    stage = make_stage(tmp_path)
    monkeypatch.setenv("HOSTEDAI_URL", live_server.url)
    with Client(live_server.url, key_of(stage.team).secret) as cloud:
        wish = {"region": stage.region.slug, "version": str(stage.version.pk), "workspace": "default"}
        with worker():
            cloud.endpoints.wait(cloud.endpoints.launch("chat", hardware=stage.hardware.slug, **wish)["id"])
        begun = cloud.endpoints.deploy("chat", parallel=8)
        undone = cloud.endpoints.rollback("chat")
        with worker(), pytest.raises(Failed, match="rolled back"):
            cloud.endpoints.settled(begun)
        with worker():
            assert cloud.endpoints.settled(undone)["revision"]["parallel"] == 4


def test_the_life_of_a_version_without_the_console(live_server, team, key, capsys, monkeypatch):
    model = make_registered(team, slug="small")
    other = TeamFactory()
    versions = [make_version(team, model=model) for _one in range(2)]
    monkeypatch.setenv("HOSTEDAI_URL", live_server.url)
    monkeypatch.setenv("HOSTEDAI_KEY", key)

    def run(*words: str, fails: bool = False) -> str:
        assert main(["models", *words]) == fails
        said = capsys.readouterr()
        return said.err if fails else said.out

    assert run("versions", "small").count("servable") == 2
    assert "stable" in run("alias", "small@1", "stable")
    assert "deprecated" in run("deprecate", "small@stable", "--reason", "old")
    assert "servable" in run("restore", "small@1")
    assert "revoked" in run("revoke", "small@1")
    assert "small@1" in run("revoke", "small", fails=True)
    assert "no version 7" in run("retire", "small@7", fails=True)
    assert "GiB" not in run("fit", "small@2", "--context", "512")
    assert "by its id" in run("share", "small", "--with", other.slug, fails=True)
    assert "teams" in run("share", "small", "--with", str(other.pk))
    with Client(live_server.url, key_of(other).secret) as neighbour:
        assert neighbour.models.version_named("small") == versions[1].pk
        own = neighbour.models.ensure("small")
        assert (own["is_own"], neighbour.models.get("small")["id"]) == (True, own["id"])
    assert "team" in run("share", "small")
    assert "retired" in run("retire", "small@1")
    run("delete", "small")
    assert "no model" in run("versions", "small", fails=True)


def test_errors_tell_apart_what_one_would_do_about_them(live_server, cloud, tmp_path):
    stage = make_stage(tmp_path, balance="0.01")
    wish = {"region": stage.region.slug, "version": str(stage.version.pk), "hardware": stage.hardware.slug}
    with Client(live_server.url, key_of(stage.team).secret) as poor:
        with pytest.raises(PaymentNeeded):
            poor.endpoints.launch("chat", workspace="default", **wish)
        with pytest.raises(Invalid) as caught:
            poor.endpoints.launch("chat", workspace="default", **{**wish, "region": "atlantis"})
        assert "region" in str(caught.value)
        with pytest.raises(NotFound):
            poor.endpoints.get("nobody")
    with Client(live_server.url, "hai_live_wrong") as nobody, pytest.raises(BadKey):
        nobody.endpoints.list()


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [
        ("", "a\n", "a\n"),
        ("a\n", "a\nb\n", "b\n"),
        ("a\na\n", "a\na\na\n", "a\n"),
        ("a\nb\n" + "c" * 2000, "b\n" + "c" * 2000 + "d", "d"),
        ("a\n", "entirely other", "entirely other"),
        ("a\n", "a\n", ""),
    ],
)
def test_what_is_new_of_a_log_is_found(before, after, more):
    assert added(before, after) == more
