"""A host that cannot show that it lives must not do what another will be asked to do instead."""

import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger("hostedai_agent")

COMMAND_SECONDS = 60


class Fence:
    """Falls `lease` seconds after the last renewal; stands again when the portal has heard of it.

    The command stops what may be started elsewhere. It must be repeatable: it is run again after a restart
    that finds the fence down and unheard of.
    """

    def __init__(self, folder: Path, command: Sequence[str], *, now: float, lease: float = 240.0) -> None:
        self._marker = folder / "fenced"
        self._command = tuple(command)
        self._renewed = now
        self._has_run = False
        self.lease = lease

    @property
    def fell_at(self) -> float | None:
        """When it fell, in seconds since 1970; None while it stands."""
        try:
            return float(self._marker.read_text())
        except (OSError, ValueError):
            return None

    def renew(self, now: float) -> None:
        """The portal has heard of this host (`now` is steady time)."""
        self._renewed = now

    def lift(self) -> None:
        """The portal knows that it had fallen."""
        self._marker.unlink(missing_ok=True)
        self._has_run = False

    def check(self, now: float, wall: float) -> bool:
        """Fall when it is time; True when the command was run just now."""
        if self.fell_at is None:
            if now - self._renewed < self.lease:
                return False
            log.error("no renewal for %.0f s: fencing this host", now - self._renewed)
            self._marker.write_text(repr(wall))
        elif self._has_run:
            return False
        self._has_run = True
        self._run()
        return True

    def _run(self) -> None:
        if not self._command:
            return
        try:
            ran = subprocess.run(
                self._command,
                stdin=subprocess.DEVNULL,
                timeout=COMMAND_SECONDS,
                check=False,
                capture_output=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            log.error("the fence command failed: %s", error)
            return
        if ran.returncode:
            log.error("the fence command ended with %s: %s", ran.returncode, ran.stderr[-300:])
