"""Where addresses that somebody wrote down may lead."""

import pytest

from apps.drivers.egress import may_reach, networks_of


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "2606:2800:21f::1", "64:ff9b::5db8:d70e", "::ffff:8.8.8.8"]
)
def test_the_public_internet_may_be_spoken_to_over_tls(address):
    assert may_reach(address)
    assert not may_reach(address, has_tls=False)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1%eth0", "fd00::1"),
        *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "64:ff9b:1::1"),
    ],
)
def test_what_is_private_may_not_however_it_is_spelled(address):
    assert not may_reach(address)


def test_a_known_network_may_without_tls():
    known = networks_of(["10.0.0.0/8"])
    assert may_reach("10.1.2.3", known, has_tls=False)
    assert may_reach("::ffff:10.1.2.3", known, has_tls=False)
    assert not may_reach("11.1.2.3", known, has_tls=False)
