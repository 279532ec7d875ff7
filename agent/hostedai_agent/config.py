"""What the agent is told: a TOML file, overridden by the command line."""

import argparse
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

DEFAULT_STATE = Path("/var/lib/hostedai-agent")


class BadConfig(Exception):
    """The configuration cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Config:
    """`gpus` is auto, none or simulated:<count>:<model>; `spot` is none, aws, gcp, azure or file:<path>.

    `fence_command` is run when the host can no longer show that it lives; `engines` are addresses of
    inference engines on this host to watch besides those that the portal names.
    """

    url: str = ""
    state: Path = DEFAULT_STATE
    token_file: Path | None = None
    ca_file: Path | None = None
    allow_http: bool = False
    gpus: str = "auto"
    spot: str = "none"
    metadata_url: str = "http://169.254.169.254"
    engines: tuple[str, ...] = ()
    fence_command: tuple[str, ...] = ()
    disk: Path = Path("/")


_PATHS = {"state", "token_file", "ca_file", "disk"}
_LISTS = {"engines", "fence_command"}


def read(path: Path | None) -> Config:
    """The configuration of a file; the defaults without one."""
    if path is None:
        return Config()
    try:
        given = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadConfig(f"{path}: {error}") from error
    unknown = sorted(set(given) - {one.name for one in fields(Config)})
    if unknown:
        raise BadConfig(f"{path}: unknown {', '.join(unknown)}")
    return replace(Config(), **{name: _typed(name, value) for name, value in given.items()})


def with_arguments(config: Config, given: argparse.Namespace) -> Config:
    """What the command line says goes before what the file says."""
    names = {one.name for one in fields(Config)}
    said = {name: value for name, value in vars(given).items() if name in names and value not in (None, [])}
    return replace(config, **{name: _typed(name, value) for name, value in said.items()})


def _typed(name: str, value: Any) -> Any:
    if name in _PATHS:
        return Path(value)
    if name in _LISTS:
        if not isinstance(value, list | tuple):
            raise BadConfig(f"{name} is a list")
        return tuple(map(str, value))
    return bool(value) if name == "allow_http" else str(value)
