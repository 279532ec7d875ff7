"""The client and the command against a live portal and a real object store."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest
from django.db import connections

from apps.billing.services import wallets
from apps.core.actor import SYSTEM
from apps.inference import reconcilers as serving
from apps.registry import reconcilers, selectors
from apps.registry.models import Model, ModelVersion
from apps.registry.specs import MIB
from hostedai_sdk import ApiError, BadKey, Client, HostedaiError, Invalid, NotFound, PaymentNeeded
from hostedai_sdk.cli import main
from hostedai_sdk.endpoints import added
from tests.apps.registry.conftest import own_bucket
from tests.factories.billing import make_price
from tests.factories.inference import make_stage
from tests.factories.registry import folder, gguf, hub, sha256
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
        far.files["acme/small"] = folder()
        assert main(["models", "import", "hf:acme/small", "--slug", "small"]) == 0
    assert "servable" in capsys.readouterr().out
    assert main(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["newest"]["state"] == "servable"
    assert main(["models", "list"]) == 0
    assert "small" in capsys.readouterr().out
    assert Model.objects.count() == 1


def test_the_command_keeps_its_key_to_itself(live_server, key, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("HOSTEDAI_KEY", raising=False)
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
