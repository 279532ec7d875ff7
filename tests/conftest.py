"""What all tests share: one migrated database per test process, and a libvirt when a test asks for it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from images.tiny import build as tiny
from runner import libvirt, paths, services
from tests import plugin
from tests.database import migrated_rows, own_database, put_back


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: Any) -> Iterator[None]:
    """Instead of pytest-django's: copy a template, which takes a fraction of a second."""
    known = plugin.services()
    if known is None:
        pytest.exit(plugin.NO_SERVICES, returncode=4)
    with django_db_blocker.unblock(), own_database(known["environment"]["DATABASE_SUPER_URL"]):
        connection._test_serialized_contents = migrated_rows()
        connection.creation.deserialize_db_from_string = put_back
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that commits finds what the migrations wrote, whatever was flushed before it."""
    for item in items:
        mark = item.get_closest_marker("django_db")
        if mark and mark.kwargs.get("transaction"):
            keeping = pytest.mark.django_db(transaction=True, serialized_rollback=True)
            item.add_marker(keeping, append=False)


@pytest.fixture(scope="session")
def hypervisor() -> Iterator[libvirt.Hypervisor]:
    """A private libvirt with a guest network, in namespaces that leave the machine as it was."""
    if reason := libvirt.why_not():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="libvirt-", dir=paths.scratch()))
    services.mark_as_mine(folder)
    host = libvirt.Hypervisor(folder)
    before = {name: os.environ.get(name) for name in libvirt.environment(host)}
    try:
        host.start(dies_by_us=True)
        os.environ.update(libvirt.environment(host))
        yield host
    finally:
        host.stop()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def tiny_image() -> dict[str, Any]:
    """A small image that boots to SSH: `path`, `checksum` and what else its note says."""
    path = paths.open_folder(paths.VAR / "images") / "tiny.qcow2"
    try:
        with services.locked(path.parent):
            return {"path": str(path), **tiny.build(path, paths.VAR / "cache" / "debs")}
    except tiny.CannotBuild as error:
        pytest.skip(str(error))
