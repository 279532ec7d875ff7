"""Hosts that report themselves by the node agent: there is nothing to dial."""

from typing import ClassVar

from apps.drivers.base import Checked, Driver
from apps.drivers.configs import AgentsConfig


class AgentsDriver(Driver):
    """Knows of no endpoint; what its hosts say arrives by their heartbeats."""

    kind: ClassVar[str] = "agents"

    def __init__(self, config: AgentsConfig) -> None:
        self._config = config

    def check(self) -> Checked:
        return Checked("agents")
