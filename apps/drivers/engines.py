"""The contract between the portal and whatever runs engines: programs that answer for a model.

As with machines: every method returns at once, may be called again with the same arguments, and raises
nothing but `DriverError`. Names are ours (`hai-<replica>`), so that launching twice is launching once.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from apps.drivers.base import Listing

# The kinds of clusters whose driver can.
SERVING_KINDS = ("local", "sim")
LOG_MOST = 64 * 1024  # characters of an engine's log that are ever shown


class Phase(StrEnum):
    """What an engine is doing, in our words."""

    FETCHING = "fetching"  # it waits for the model's files
    LOADING = "loading"
    SERVING = "serving"
    SILENT = "silent"  # it runs and does not answer
    EXITED = "exited"  # leftovers of an engine that ended: launch completes, delete removes
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model. `source` is a path on the engine's host or an address that needs no key."""

    path: str
    size: int  # bytes
    sha256: str
    source: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine as wanted. `model` is the name it answers to; `parallel` how many requests at once, each with
    `context_length` tokens."""

    name: str  # "hai-<replica>"
    installation: str
    resource_id: str
    fence: int
    model: str
    modality: str  # chat, completion, embedding
    digest: str
    files: tuple[ModelFile, ...]
    context_length: int
    parallel: int
    api_key: str = field(repr=False)
    vcpus: int = 1
    memory_mib: int = 1024
    gpus: int = 0
    is_spot: bool = False


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine as it is now. `progress` is the share of the model's bytes that it has."""

    phase: Phase
    installation: str = ""
    resource_id: str = ""
    fence: int = 0
    url: str = ""  # scheme, host and port; "" before it serves
    progress: float = 0.0
    is_noticed: bool = False  # its provider will take it away soon (spot)
    is_reclaimed: bool = False  # its provider has taken it away
    failure: str = ""  # why it ended, in words for the user
    host: str = ""  # the node it runs on, where the driver knows


class CanServe(ABC):
    """Runs engines. One may be ready within `quick_seconds`: so long it pays to look again at once."""

    quick_seconds: ClassVar[float] = 0.0

    @abstractmethod
    def observe_engine(self, name: str) -> Engine | None:
        """The engine as it is now, asked how it is; None is proof that it and its files are gone."""

    @abstractmethod
    def launch_engine(self, spec: EngineSpec) -> None:
        """Begin to start it; one that runs is left alone, except that a higher fence is noted."""

    @abstractmethod
    def delete_engine(self, name: str, *, force: bool = False) -> None:
        """Begin to end and remove it; `force` does not ask it first. One already gone is not an error."""

    @abstractmethod
    def count_open(self, name: str) -> int | None:
        """How many requests it answers or keeps waiting; None when it cannot say."""

    @abstractmethod
    def read_log(self, name: str) -> str:
        """The last lines it wrote, oldest first, at most `LOG_MOST` characters: plain text without secrets;
        "" when it has said nothing or is gone."""

    @abstractmethod
    def list_engines(self) -> Listing:
        """Every engine that carries a tag of ours."""
