"""Uploads and imports are broken at every step, by an exception and by SIGKILL: afterwards the version is
servable and whole, or nothing of it is left; no upload lies about in the store."""

import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from apps.core import failpoints
from apps.core.clock import db_now
from apps.core.failpoints import FailpointError
from apps.operations.models import Operation
from apps.registry import reconcilers, selectors, services
from apps.registry.models import ModelAlias, ModelVersion
from apps.registry.specs import HubSource
from apps.teams.models import Team
from tests.apps.registry.conftest import own_bucket
from tests.factories.registry import folder, gguf, hub, make_model, sha256, specs_of
from tests.factories.teams import TeamFactory, actor_of
from tests.faults import harness

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.serial, pytest.mark.timeout(280)]

SOURCES = Path(__file__).resolve().parents[2] / "apps" / "registry"
FILES = {"small.gguf": gguf()} | {"config.json": folder()["config.json"]}


@dataclass(frozen=True)
class Case:
    """Something long that is done to a version; each call does what is left of it."""

    name: str
    work: Callable[[Team], None]
    ends: str


def _version(team: Team) -> ModelVersion | None:
    return ModelVersion.objects.filter(team=team).first()


def _reconcile(version: ModelVersion) -> None:
    """Be the worker until the version rests, whoever held it before."""
    for _pass in range(8):
        ModelVersion.objects.filter(pk=version.pk).update(lease_until=None)
        if not reconcilers.reconcile_version(version_id=version.pk):
            return


def _upload(team: Team) -> None:
    """What a client does that goes on where it stopped, and then a worker."""
    actor = actor_of(team)
    version = _version(team) or services.start_upload(
        actor=actor, model=make_model(team), files=specs_of(FILES)
    )
    if version.state == "uploading":
        for file in version.files.exclude(state__in=["stored", "verified"]):
            about = {"actor": actor, "version_id": version.pk, "file_id": file.pk}
            if not services.arrived_parts(**about):
                services.put_part(number=1, chunks=iter([FILES[file.path]]), **about)
            services.complete_file(**about)
        services.complete_upload(actor=actor, version_id=version.pk)
    _reconcile(version)


def _import(team: Team) -> None:
    version = _version(team) or services.start_import(
        actor=actor_of(team), model=make_model(team), source=HubSource("acme/small")
    )
    _reconcile(version)


def _retire(team: Team) -> None:
    version = _version(team)
    if version is None or version.state not in ("servable", "retired"):
        _upload(team)
        version = _version(team)
    assert version is not None
    if version.state == "servable":
        services.retire_version(actor=actor_of(team), version=version)
    _reconcile(version)


CASES = {
    one.name: one
    for one in (
        Case("upload", _upload, "servable"),
        Case("import", _import, "servable"),
        Case("retire", _retire, "retired"),
    )
}


@pytest.fixture
def store(settings):
    with own_bucket(settings) as opened, hub() as far:
        settings.HUB_ENDPOINT_URL = far.url
        far.files["acme/small"] = folder()
        yield opened
        failpoints.disarm()


def visited(case: Case) -> list[str]:
    """Every failpoint that an undisturbed run passes, each once."""
    names: dict[str, None] = {}
    with failpoints.watching(lambda name: names.setdefault(name)):
        case.work(TeamFactory())
    return [name for name in names if name.startswith("registry.")]


@pytest.mark.parametrize("name", CASES)
def test_an_exception_at_any_step_is_survived(store, name):
    case = CASES[name]
    for point in visited(case):
        team = TeamFactory()
        failpoints.arm(point, "raise")
        with pytest.raises(FailpointError):
            case.work(team)
        finish_and_check(store, case, team, point)


@pytest.mark.parametrize("name", CASES)
def test_sigkill_at_any_step_is_survived(store, name):
    case = CASES[name]
    for point in visited(case):
        team = TeamFactory()

        def work(team: Team = team, point: str = point) -> None:
            failpoints.arm(point, "kill")
            case.work(team)

        with harness.child(work) as pid:
            status = harness.wait_for(pid)
        assert os.WIFSIGNALED(status), (point, status)
        assert os.WTERMSIG(status) == signal.SIGKILL, (point, status)
        finish_and_check(store, case, team, point)


def finish_and_check(store, case: Case, team: Team, point: str) -> None:
    """Another worker finishes; then nothing is half there and no upload is anybody's."""
    version = _version(team)
    if version is not None and version.state not in ("servable", "retired"):
        assert (version.manifest, version.digest) == ([], ""), point
        assert not ModelAlias.objects.filter(version=version).exists(), point
    case.work(team)
    version = _version(team)
    assert version is not None
    assert version.state == case.ends, (point, version.state, version.message, version.last_error)
    assert not Operation.objects.open().filter(target_id=version.pk).exists(), point
    here = f"{selectors.root()}{version.model_id}/"
    if case.ends == "retired":
        assert version.purged_at, point
        assert store.objects(here) == [], point
    else:
        assert {item.key.rpartition("/")[2] for item in store.objects(here)} == {
            one["path"] for one in version.manifest
        }, point
        for one in version.manifest:
            key = selectors.prefix_of(version) + one["path"]
            assert sha256(b"".join(store.stream(key))) == one["sha256"], point
    reconcilers.sweep_litter(now=db_now() + timedelta(days=1))
    assert store.uploads(selectors.root()) == [], point


def test_every_failpoint_of_the_registry_is_visited(store):
    stands = {
        found
        for path in SOURCES.rglob("*.py")
        for found in re.findall(r'failpoint\("([^"]+)"\)', path.read_text())
    }
    seen = {point for case in CASES.values() for point in visited(case)}
    assert stands == seen
