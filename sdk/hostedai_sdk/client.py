"""The client: one object per installation and key."""

from types import TracebackType
from typing import Self

from hostedai_sdk.endpoints import Endpoints
from hostedai_sdk.instances import Instances
from hostedai_sdk.models import Models
from hostedai_sdk.transport import Transport


class Client:
    """`url` is the portal's address, `key` an API key of the team. May be used by several threads."""

    def __init__(self, url: str, key: str, *, timeout: float = 60.0) -> None:
        self._transport = Transport(url, key, timeout=timeout)
        self.endpoints = Endpoints(self._transport)
        self.instances = Instances(self._transport)
        self.models = Models(self._transport)

    def close(self) -> None:
        """Let go of the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
