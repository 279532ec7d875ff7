"""Models behind names."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hostedai_sdk.errors import Failed, NotFound, TooLong
from hostedai_sdk.named import Named
from hostedai_sdk.shapes import Endpoint, EngineLog, Hardware, Revision

LOOK = 1.0  # seconds between two looks at what an engine writes
FETCHED_WITHIN = 15.0  # a worker brings its lines; after that what is known has to do
ENDED = frozenset({"failed", "cancelled"})


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

    def hardware(self, region: str = "") -> Sequence[Hardware]:
        """What endpoints can be launched on, and what an hour of one replica costs; in that region, or
        anywhere."""
        found: list[Hardware] = [*self._api.pages("engine-hardware")]
        return [one for one in found if not region or region in one["regions"]]

    def deploy(self, name: str, **recipe: Any) -> Endpoint:
        """Serve something else: `version`, `hardware`, `parallel`, `context_length`; what is not named stays.
        New replicas serve before old ones go; follow it with `settled`."""
        one = self.get(name)
        return self._ask(one["id"], "deploy", recipe_of(one, recipe))

    def canary(self, name: str, *, weight: int, **recipe: Any) -> Endpoint:
        """Try something else out on `weight` percent of the requests; words as in `deploy`. Without any, give
        the canary that is there another share."""
        one = self.get(name)
        if not recipe:
            return self._ask(one["id"], "weigh", {"weight": weight})
        return self._ask(one["id"], "canary", {**recipe_of(one, recipe), "weight": weight})

    def promote(self, name: str) -> Endpoint:
        """Let the canary take over; follow it with `settled`."""
        return self._ask(name, "promote")

    def drop(self, name: str) -> Endpoint:
        """Take the canary away."""
        return self._ask(name, "drop")

    def rollback(self, name: str) -> Endpoint:
        """Serve again what was served before the last update; follow it with `settled`."""
        return self._ask(name, "rollback")

    def revisions(self, name: str) -> Sequence[Revision]:
        """What it has been made of, newest first."""
        return [*self._api.pages(f"{self._address(name)}/revisions")]

    def settled(self, one: Endpoint, *, seconds: float = 1200.0) -> Endpoint:
        """Look until the change that answered with this endpoint has come about. Raises Failed when it has
        not, TooLong when time is up."""
        deadline = time.monotonic() + seconds
        while one["operation_id"]:
            work = self._api.get(f"operations/{one['operation_id']}")
            if work["state"] == "succeeded":
                break
            if work["state"] in ENDED:
                said = (work["error"] or {}).get("message", "")
                raise Failed(f"{one['name']} was not changed. {said}".strip())
            if time.monotonic() > deadline:
                raise TooLong(f"{one['name']} is still being changed.")
            time.sleep(0.5)
        return self._look(one["id"])

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


def recipe_of(one: Endpoint, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What is served now, changed."""
    now = one["revision"]
    kept = {name: now[name] for name in ("hardware", "parallel", "context_length")} if now else {}
    kept |= {"version": now["version_id"]} if now else {}
    return {**kept, **changes}


def added(before: str, after: str) -> str:
    """What is new at the end: both are windows on the same lines, the second perhaps further on."""
    if after.startswith(before):
        return after[len(before) :]
    last = before[-1000:]
    at = after.rfind(last)
    return after if at < 0 else after[at + len(last) :]
