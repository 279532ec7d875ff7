"""Things that the API lists, and that people call by name."""

import time
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from hostedai_sdk.errors import Failed, NotFound, TooLong
from hostedai_sdk.shapes import Endpoint, Instance
from hostedai_sdk.transport import Transport

One = TypeVar("One", Endpoint, Instance)


class Named(Generic[One]):
    """Things of one kind, under `path`, whose ids begin with `prefix`; `noun` is what a person calls one."""

    path: ClassVar[str]
    prefix: ClassVar[str]
    noun: ClassVar[str]

    def __init__(self, transport: Transport) -> None:
        self._api = transport

    def list(self) -> Sequence[One]:
        """All that have not been deleted, newest first."""
        return [*self._api.pages(self.path)]

    def get(self, name: str) -> One:
        """One of them, by its id or its name."""
        if name.startswith(self.prefix):
            return self._look(name)
        for one in self._api.pages(self.path, {"name": name}):
            if one["name"] == name:
                named: One = one
                return named
        raise NotFound(404, {"code": "not_found", "detail": f"There is no {self.noun} called {name}."})

    def delete(self, name: str) -> One:
        """Remove it and what it keeps for good."""
        gone: One = self._api.delete(self._address(name))
        return gone

    def _ask(self, name: str, verb: str, wish: dict[str, Any] | None = None) -> One:
        asked: One = self._api.post(f"{self._address(name)}/{verb}", wish)
        return asked

    def _wait(self, name: str, state: str, seconds: float) -> One:
        deadline = time.monotonic() + seconds
        pk = self.get(name)["id"]  # what is deleted has its name no longer
        while (one := self._look(pk))["state"] != state:
            if self.is_lost(one):
                raise Failed(f"{one['name']} is {one['state']}. {one['message']}".strip())
            if time.monotonic() > deadline:
                raise TooLong(f"{one['name']} is still {one['state']}.")
            time.sleep(0.5)
        return one

    def is_lost(self, one: One) -> bool:
        """Whether it stays as it is, so that waiting is in vain."""
        raise NotImplementedError

    def _look(self, pk: str) -> One:
        found: One = self._api.get(f"{self.path}/{pk}")
        return found

    def _address(self, name: str) -> str:
        pk = name if name.startswith(self.prefix) else self.get(name)["id"]
        return f"{self.path}/{pk}"
