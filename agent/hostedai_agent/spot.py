"""Whether the provider is about to take this host away."""

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from hostedai_agent import web

PATIENCE = 2.0


class NoSuchSource(Exception):
    """The configuration names a provider that is not known."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What will happen, and when (seconds since 1970; None means at once)."""

    action: str
    at: float | None = None
    source: str = ""


class SpotSource(ABC):
    """Where notices are announced. A source that does not answer announces nothing."""

    @abstractmethod
    def look(self) -> Notice | None: ...


class NoSpot(SpotSource):
    """A host that stays."""

    def look(self) -> Notice | None:
        return None


class FileSpot(SpotSource):
    """A file that appears: for schedulers that announce by script. It may hold {"action", "at"}."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def look(self) -> Notice | None:
        try:
            text = self._path.read_text()
        except OSError:
            return None
        try:
            given = json.loads(text)
            return Notice(str(given.get("action", "terminate")), _seconds(given.get("at")), "file")
        except (ValueError, AttributeError):
            return Notice("terminate", None, "file")


class AwsSpot(SpotSource):
    """EC2's instance metadata, version 2; the document exists from two minutes before."""

    def __init__(self, base: str) -> None:
        self._base, self._token = base, ""

    def look(self) -> Notice | None:
        answer = self._ask()
        if answer is not None and answer.status == 401:
            self._token = ""
            answer = self._ask()
        if answer is None or not answer.is_good:
            return None
        try:
            given = json.loads(answer.body)
            return Notice(str(given["action"]), _seconds(given.get("time")), "aws")
        except (ValueError, KeyError, TypeError):
            return None

    def _ask(self) -> web.Answer | None:
        try:
            if not self._token:
                headers = {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}
                got = web.request("PUT", f"{self._base}/latest/api/token", headers=headers, patience=PATIENCE)
                self._token = got.body.decode("ascii", "ignore") if got.is_good else ""
            url = f"{self._base}/latest/meta-data/spot/instance-action"
            return web.request(
                "GET", url, headers={"X-aws-ec2-metadata-token": self._token}, patience=PATIENCE
            )
        except web.Unreachable:
            return None


class GcpSpot(SpotSource):
    """Compute Engine says TRUE thirty seconds before."""

    def __init__(self, base: str) -> None:
        self._url = f"{base}/computeMetadata/v1/instance/preempted"

    def look(self) -> Notice | None:
        try:
            answer = web.request("GET", self._url, headers={"Metadata-Flavor": "Google"}, patience=PATIENCE)
        except web.Unreachable:
            return None
        return Notice("terminate", None, "gcp") if answer.is_good and answer.body.strip() == b"TRUE" else None


class AzureSpot(SpotSource):
    """Azure's scheduled events: `Preempt` for spot machines, `Terminate` for those of a scale set."""

    def __init__(self, base: str) -> None:
        self._url = f"{base}/metadata/scheduledevents?api-version=2020-07-01"

    def look(self) -> Notice | None:
        try:
            answer = web.request("GET", self._url, headers={"Metadata": "true"}, patience=PATIENCE)
            events = json.loads(answer.body)["Events"] if answer.is_good else []
        except (web.Unreachable, ValueError, KeyError, TypeError):
            return None
        for event in events if isinstance(events, list) else ():
            kind = str(event.get("EventType", "")) if isinstance(event, dict) else ""
            if kind in {"Preempt", "Terminate"}:
                return Notice(kind.lower(), _seconds(event.get("NotBefore")), "azure")
        return None


def choose(text: str, base: str) -> SpotSource:
    """The source that the configuration names."""
    base = base.rstrip("/")
    match text:
        case "none":
            return NoSpot()
        case "aws":
            return AwsSpot(base)
        case "gcp":
            return GcpSpot(base)
        case "azure":
            return AzureSpot(base)
    kind, _colon, path = text.partition(":")
    if kind == "file" and path:
        return FileSpot(Path(path))
    raise NoSuchSource(f"spot is none, aws, gcp, azure or file:<path>, not {text!r}")


def _seconds(value: object) -> float | None:
    """A moment as any provider writes it."""
    if isinstance(value, int | float):
        return float(value)
    text = str(value or "")
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
        except ValueError:
            continue
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None
