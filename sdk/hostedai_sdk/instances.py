"""Machines."""

import time
from collections.abc import Sequence
from typing import Any

from hostedai_sdk.errors import Failed, NotFound, TooLong
from hostedai_sdk.shapes import Instance
from hostedai_sdk.transport import Transport

ENDED = {"failed", "deleted", "interrupted"}


class Instances:
    """`cloud.instances`."""

    def __init__(self, transport: Transport) -> None:
        self._api = transport

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

    def list(self) -> Sequence[Instance]:
        """All that have not been deleted, newest first."""
        return [*self._api.pages("instances")]

    def get(self, name: str) -> Instance:
        """One machine, by its id or its name."""
        if name.startswith("ins_"):
            found: Instance = self._api.get(f"instances/{name}")
            return found
        for one in self._api.pages("instances", {"name": name}):
            if one["name"] == name:
                named: Instance = one
                return named
        raise NotFound(404, {"code": "not_found", "detail": f"There is no instance called {name}."})

    def start(self, name: str) -> Instance:
        """Start a stopped machine."""
        return self._ask(name, "start")

    def stop(self, name: str) -> Instance:
        """Stop it; only its disk is charged then."""
        return self._ask(name, "stop")

    def delete(self, name: str) -> Instance:
        """Remove it and its disk for good."""
        gone: Instance = self._api.delete(f"instances/{self.get(name)['id']}")
        return gone

    def wait(self, name: str, state: str, *, seconds: float = 600.0) -> Instance:
        """Look until the machine is in that state; HostedaiError when it never will be or time is up."""
        deadline = time.monotonic() + seconds
        while True:
            one = self.get(name)
            if one["state"] == state:
                return one
            if one["state"] in ENDED:
                raise Failed(f"{one['name']} is {one['state']}. {one['message']}".strip())
            if time.monotonic() > deadline:
                raise TooLong(f"{one['name']} is still {one['state']}.")
            time.sleep(1)

    def _ask(self, name: str, verb: str) -> Instance:
        asked: Instance = self._api.post(f"instances/{self.get(name)['id']}/{verb}")
        return asked
