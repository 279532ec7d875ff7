"""The two places in which the contract suite runs."""

import pytest

from tests.drivers.lab import LibvirtLab, SimLab

KINDS = [
    "sim",
    pytest.param("libvirt", marks=[pytest.mark.serial, pytest.mark.timeout(600)]),
]


@pytest.fixture(scope="session")
def sim_lab(tmp_path_factory):
    lab = SimLab(tmp_path_factory.mktemp("world"))
    yield lab
    lab.close()


@pytest.fixture(scope="session")
def libvirt_lab(hypervisor, tiny_image):
    pytest.importorskip("libvirt", reason="libvirt-python is not installed")
    lab = LibvirtLab(hypervisor, tiny_image)
    yield lab
    lab.close()


@pytest.fixture(params=KINDS)
def lab(request):
    """Each question is put to each driver."""
    return request.getfixturevalue(f"{request.param}_lab")


@pytest.fixture
def driver(lab):
    return lab.driver
