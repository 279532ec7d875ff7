"""Models behind names."""

from typing import Any

from hostedai_sdk.named import Named
from hostedai_sdk.shapes import Endpoint


class Endpoints(Named[Endpoint]):
    """`cloud.endpoints`."""

    path, prefix, noun = "endpoints", "end_", "endpoint"

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

    def scale(self, name: str, **rules: Any) -> Endpoint:
        """Change how it grows and shrinks; rules that are not named stay."""
        one = self.get(name)
        given = {rule: value for rule, value in rules.items() if value is not None}
        return self._ask(one["id"], "scale", {**one["scale"], **given})

    def wait(self, name: str, state: str = "ready", *, seconds: float = 1200.0) -> Endpoint:
        """Look until the endpoint is in that state. Raises Failed when what was wished did not come about,
        TooLong when time is up."""
        return self._wait(name, state, seconds)

    def is_lost(self, one: Endpoint) -> bool:
        """It is gone, or degraded and nothing is under way that might mend it."""
        return one["state"] == "deleted" or (one["state"] == "degraded" and not one["operation_id"])
