"""From the kind of a cluster to its driver."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from apps.drivers import configs
from apps.drivers.base import Driver
from apps.drivers.errors import Rejected
from apps.drivers.payments import PaymentDriver

# Paths, not classes: an SDK is imported only where its driver is in use.
_DRIVERS = {
    "sim": "apps.drivers.sim.driver.SimDriver",
    "libvirt": "apps.drivers.libvirt.driver.LibvirtDriver",
    "local": "apps.drivers.local.driver.LocalDriver",
    "agents": "apps.drivers.agents.driver.AgentsDriver",
}
KINDS = tuple(_DRIVERS)
_PAYMENTS = {
    "stripe": ("apps.drivers.stripe.driver.StripeDriver", "apps.drivers.stripe.config.StripeConfig"),
    "fake": ("apps.drivers.fakepay.driver.FakePayDriver", "builtins.dict"),
}


def driver_for(kind: str, config: Mapping[str, object]) -> Driver:
    """A driver for one cluster; raises `Rejected` when kind or config cannot be used.

    Drivers are cheap to make and connect on first use; keep one per cluster and process.
    """
    settings = configs.validate(kind, config)
    module, _, name = _DRIVERS[kind].rpartition(".")
    try:
        driver: Driver = getattr(import_module(module), name)(settings)
    except ImportError as error:
        message = f"What the driver “{kind}” needs is not installed where this region's worker runs."
        raise Rejected(message, detail=str(error)) from error
    return driver


def payments_for(kind: str, config: Mapping[str, object]) -> PaymentDriver:
    """A driver for one payment provider."""
    driver, settings = (_find(path) for path in _PAYMENTS[kind])
    made: PaymentDriver = driver(settings(**config))
    return made


def _find(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)
