"""The runner's command line."""

import os
import sys
from collections.abc import Callable

from runner import bootstrap, checks, services, suite, supervise
from runner.console import Stopped, show, warn

PROFILE = "HOSTEDAI_TEST_PROFILE"


def _profile() -> str:
    return f"test-{os.environ.get(PROFILE, 'default')}"


def setup(_: list[str]) -> int:
    """Make the checkout ready for work."""
    bootstrap.everything(development=True, browser=True)
    return 0


def start_services(_: list[str]) -> int:
    """Start long-lived services for tests run by hand."""
    bootstrap.python_packages(development=True)
    for name, value in services.start_profile(_profile()).items():
        show(f"{name}={value}")
    return 0


def stop_services(_: list[str]) -> int:
    """Stop them."""
    services.stop_profile(_profile())
    return 0


def lock(_: list[str]) -> int:
    """Write the locked requirements anew."""
    bootstrap.python_packages(development=True)
    return bootstrap.lock()


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "setup": setup,
    "services": start_services,
    "services-stop": stop_services,
    "run": supervise.run,
    "test": suite.run,
    "check": checks.run,
    "assets": checks.assets,
    "stamp-assets": checks.stamp,
    "lock": lock,
}


def main(arguments: list[str]) -> int:
    """Run one command; what cannot be done is said in one sentence."""
    if not arguments or arguments[0] not in COMMANDS:
        warn(f"one of: {' '.join(COMMANDS)}")
        return 2
    try:
        return COMMANDS[arguments[0]](arguments[1:])
    except Stopped as stopped:
        warn(str(stopped))
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        sys.stdout.flush()
