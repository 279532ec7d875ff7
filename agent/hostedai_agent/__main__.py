"""`hostedai-agent run`, `hostedai-agent enrol` and `hostedai-agent install`."""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from hostedai_agent import __version__, config, gpus, install, spot
from hostedai_agent.agent import Agent, enrol_patiently
from hostedai_agent.config import BadConfig, Config
from hostedai_agent.portal import NotTaken, Refused

log = logging.getLogger("hostedai_agent")

REFUSED = 77  # EX_NOPERM: starting again would not help
UNUSABLE = 78  # EX_CONFIG
TOKEN_VARIABLE = "HOSTEDAI_ENROLMENT_TOKEN"  # noqa: S105 (a name)

_HELP = "run: enrol when needed, then report for ever; install: enrol and become a service of systemd"


def main(arguments: list[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        settings = config.with_arguments(config.read(given.config), given)
        if not settings.url:
            raise BadConfig("say where the portal is: --url https://…")
        agent = Agent(settings)
    except (BadConfig, gpus.NoSuchSource, spot.NoSuchSource, NotTaken) as error:
        log.error("%s", error)
        return UNUSABLE
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    try:
        return _act(agent, given.command, settings)
    except (Refused, NotTaken) as error:
        log.error("refused: %s", error)
        return REFUSED
    except BadConfig as error:
        log.error("%s", error)
        return UNUSABLE


def _act(agent: Agent, command: str, settings: Config) -> int:
    if command != "run" or not agent.is_enrolled:
        enrol_patiently(agent, _token(settings))
    if command == "install" and agent.is_enrolled:
        install.install(settings)
        install.start()
    if command == "run" and not agent.clock.is_stopped:
        agent.run()
    return 0


def _token(settings: Config) -> str:
    """From a file, from the environment, or from standard input when that is none."""
    if settings.token_file == Path("-"):
        return sys.stdin.readline().strip()
    if settings.token_file is not None:
        try:
            return settings.token_file.read_text().strip()
        except OSError as error:
            raise BadConfig(str(error)) from error
    if token := os.environ.pop(TOKEN_VARIABLE, ""):
        return token.strip()
    raise BadConfig(f"not enrolled: give a token by --token-file or {TOKEN_VARIABLE}")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hostedai-agent", description="Reports this host to hostedai.")
    parser.add_argument("command", choices=("run", "enrol", "install"), help=_HELP)
    parser.add_argument("--config", type=Path, help="TOML file")
    parser.add_argument("--url", help="address of the portal")
    parser.add_argument("--state", type=Path, help="folder for the credential and the journal")
    parser.add_argument(
        "--token-file", type=Path, dest="token_file", help="file with the token; - is standard input"
    )
    parser.add_argument(
        "--ca-file", type=Path, dest="ca_file", help="certificates to trust instead of the system's"
    )
    parser.add_argument(
        "--allow-http", action="store_true", default=None, help="allow http:// beyond this host"
    )
    parser.add_argument("--gpus", help="auto, none or simulated:<count>:<model>")
    parser.add_argument("--spot", help="none, aws, gcp, azure or file:<path>")
    parser.add_argument("--metadata-url", dest="metadata_url", help=argparse.SUPPRESS)
    parser.add_argument(
        "--engine", action="append", dest="engines", default=[], help="address of an engine here"
    )
    parser.add_argument("--disk", type=Path, help="folder whose disk is reported")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def entry() -> None:
    """Where the packed program begins."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
