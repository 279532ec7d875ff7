"""What an operator may write as the config of a cluster."""

import pytest

from apps.drivers import configs, registry
from apps.drivers.base import Driver
from apps.drivers.errors import DriverError, Rejected
from apps.drivers.registry import KINDS, driver_for


def test_every_kind_has_a_config_and_a_driver(tmp_path):
    pytest.importorskip("libvirt")
    examples = {
        "sim": {"path": str(tmp_path / "world.sqlite")},
        "libvirt": {"uri": "xen:///system"},
        "local": {"folder": str(tmp_path)},
        "agents": {},
    }
    assert set(KINDS) == set(examples)
    for kind, config in examples.items():
        driver = driver_for(kind, config)
        assert isinstance(driver, Driver)
        assert driver.kind == kind
        driver.close()


@pytest.mark.parametrize(
    ("kind", "config", "word"),
    [
        ("nothing", {}, "no driver"),
        ("sim", {}, "path"),
        ("sim", {"path": "relative.sqlite"}, "path"),
        ("sim", {"path": "/w", "nodes": [{"count": 0}]}, "nodes.0.count"),
        ("sim", {"path": "/w", "boot_seconds": -1}, "boot_seconds"),
        ("libvirt", {"uri": "http://example.org"}, "uri"),
        ("libvirt", {"virt_type": "magic"}, "virt_type"),
        ("libvirt", {"network": "a b"}, "network"),
        ("libvirt", {"storage_dir": "../x"}, "storage_dir"),
        ("libvirt", {"password": "x"}, "password"),
    ],
)
def test_what_is_wrong_is_named(kind, config, word):
    with pytest.raises(Rejected) as caught:
        configs.validate(kind, config)
    assert word in str(caught.value)


def test_a_missing_library_is_said_where_it_is_needed(monkeypatch):
    monkeypatch.setitem(registry._DRIVERS, "libvirt", "apps.drivers.absent.driver.AbsentDriver")
    with pytest.raises(Rejected, match="not installed"):
        driver_for("libvirt", {})


def test_an_error_speaks_to_two_people():
    assert DriverError("for the user").detail == "for the user"
    assert DriverError("for the user", detail="for the operator").detail == "for the operator"
