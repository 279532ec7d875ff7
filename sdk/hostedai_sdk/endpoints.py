"""Models behind names."""

import time
from collections.abc import Sequence
from typing import Any

from hostedai_sdk.errors import Failed, NotFound, TooLong
from hostedai_sdk.shapes import Endpoint
from hostedai_sdk.transport import Transport

GONE = "deleted"


class Endpoints:
    """`cloud.endpoints`."""

    def __init__(self, transport: Transport) -> None:
        self._api = transport

    def launch(
        self,
        name: str,
        *,
        region: str,
        version: str,
        hardware: str,
        scale: dict[str, Any] | None = None,
        **more: Any,
    ) -> Endpoint:
        """Put a version of a model behind a name; charged from when it answers. `scale` has `least`, `most`,
        `metric`, `target`, `idle_seconds`; `more` is what else the API knows: `parallel`, `workspace` …"""
        wish = {"name": name, "region": region, "version": version, "hardware": hardware, **more}
        made: Endpoint = self._api.post("endpoints", {**wish, "scale": scale} if scale else wish)
        return made

    def list(self) -> Sequence[Endpoint]:
        """All that have not been deleted, newest first."""
        return [*self._api.pages("endpoints")]

    def get(self, name: str) -> Endpoint:
        """One endpoint, by its id or its name."""
        if name.startswith("end_"):
            found: Endpoint = self._api.get(f"endpoints/{name}")
            return found
        for one in self._api.pages("endpoints", {"name": name}):
            if one["name"] == name:
                named: Endpoint = one
                return named
        raise NotFound(404, {"code": "not_found", "detail": f"There is no endpoint called {name}."})

    def scale(self, name: str, **rules: Any) -> Endpoint:
        """Change how it grows and shrinks; rules that are not named stay."""
        one = self.get(name)
        wish = {**one["scale"], **{rule: value for rule, value in rules.items() if value is not None}}
        scaled: Endpoint = self._api.post(f"endpoints/{one['id']}/scale", wish)
        return scaled

    def delete(self, name: str) -> Endpoint:
        """Remove it for good; open requests are finished first."""
        gone: Endpoint = self._api.delete(f"endpoints/{self.get(name)['id']}")
        return gone

    def wait(self, name: str, state: str = "ready", *, seconds: float = 1200.0) -> Endpoint:
        """Look until the endpoint is in that state. Raises Failed when what was wished did not come about,
        TooLong when time is up."""
        deadline = time.monotonic() + seconds
        pk = self.get(name)["id"]
        while True:
            one: Endpoint = self._api.get(f"endpoints/{pk}")
            if one["state"] == state:
                return one
            if one["state"] == GONE or (one["state"] == "degraded" and not one["operation_id"]):
                raise Failed(f"{one['name']} is {one['state']}. {one['message']}".strip())
            if time.monotonic() > deadline:
                raise TooLong(f"{one['name']} is still {one['state']}.")
            time.sleep(0.5)
