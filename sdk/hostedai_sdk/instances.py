"""Machines."""

from collections.abc import Sequence
from typing import Any

from hostedai_sdk.named import Named
from hostedai_sdk.shapes import Instance


class Instances(Named[Instance]):
    """`cloud.instances`."""

    path, prefix, noun = "instances", "ins_", "instance"

    def launch(
        self,
        name: str,
        *,
        region: str,
        type: str,
        image: str,
        disk_gib: int | None = None,
        ssh_keys: Sequence[str] = (),
    ) -> Instance:
        """Ask for a machine; it is charged from when it runs. `ssh_keys` are public keys, one line each."""
        wish: dict[str, Any] = {"name": name, "region": region, "type": type, "image": image}
        wish |= {"disk_gib": disk_gib} if disk_gib else {}
        wish |= {"ssh_keys": list(ssh_keys)} if ssh_keys else {}
        made: Instance = self._api.post("instances", wish)
        return made

    def start(self, name: str) -> Instance:
        """Start a stopped machine."""
        return self._ask(name, "start")

    def stop(self, name: str) -> Instance:
        """Stop it; only its disk is charged then."""
        return self._ask(name, "stop")

    def wait(self, name: str, state: str, *, seconds: float = 600.0) -> Instance:
        """Look until the machine is in that state. Raises Failed when it never will be, TooLong when time is
        up."""
        return self._wait(name, state, seconds)

    def is_lost(self, one: Instance) -> bool:
        """It has come to an end, by itself or by somebody's wish."""
        return one["state"] in {"failed", "deleted", "interrupted"}
