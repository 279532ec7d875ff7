"""Models behind names."""

import time
from collections.abc import Iterator
from typing import Any

from hostedai_sdk.errors import NotFound
from hostedai_sdk.named import Named
from hostedai_sdk.shapes import Endpoint, EngineLog

LOOK = 1.0  # seconds between two looks at what an engine writes
FETCHED_WITHIN = 15.0  # a worker brings its lines; after that what is known has to do


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

    def logs(self, name: str, *, replica: str = "", follow: bool = False) -> Iterator[str]:
        """What an engine of the endpoint writes: the newest replica's last lines, or those of the one named
        by its id; with `follow` also those to come, for as long as it lives."""
        pk = replica or self._newest(name)
        known = self._log(pk)
        until = time.monotonic() + FETCHED_WITHIN
        said = known["read_at"]
        while known["is_following"] and known["read_at"] == said and time.monotonic() < until:
            time.sleep(LOOK)
            known = self._log(pk)
        yield known["text"]
        while follow and known["is_following"]:
            time.sleep(LOOK)
            before, known = known["text"], self._log(pk)
            if more := added(before, known["text"]):
                yield more

    def _newest(self, name: str) -> str:
        one = self.get(name)
        for replica in self._api.pages("replicas", {"endpoint": one["name"]}):
            return str(replica["id"])
        raise NotFound(404, {"code": "not_found", "detail": f"{name} has no engine now."})

    def _log(self, pk: str) -> EngineLog:
        found: EngineLog = self._api.get(f"replicas/{pk}/log")
        return found

    def is_lost(self, one: Endpoint) -> bool:
        """It is gone, or degraded and nothing is under way that might mend it."""
        return one["state"] == "deleted" or (one["state"] == "degraded" and not one["operation_id"])


def added(before: str, after: str) -> str:
    """What is new at the end: both are windows on the same lines, the second perhaps further on."""
    if after.startswith(before):
        return after[len(before) :]
    last = before[-1000:]
    at = after.rfind(last)
    return after if at < 0 else after[at + len(last) :]
