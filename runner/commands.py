"""The runner's command line."""

import os
import subprocess
import sys
from collections.abc import Callable

from runner import bootstrap, checks, fuzzing, paths, services, suite, supervise, vllm
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


def bench(arguments: list[str]) -> int:
    """Measure, in an installation that the benchmarks make for themselves."""
    bootstrap.python_packages(development=True)
    command = [str(paths.python()), "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=paths.ROOT, stdin=subprocess.DEVNULL, check=False).returncode


def faults(arguments: list[str]) -> int:
    """The fault suite alone; the whole of it is evidence."""
    return suite.run(arguments) if arguments else suite.run(["tests/faults"], evidence="faults")


def evidence(_: list[str]) -> int:
    """Faults, then benchmarks; each writes its figures into evidence/, whatever the other comes to."""
    failed = faults([])
    return bench([]) or failed


def manage(arguments: list[str]) -> int:
    """A management command against the services of `make services`."""
    bootstrap.python_packages(development=True)
    env = os.environ | services.start_profile(_profile()) | {"DB_SCOPE": "*"}
    env.setdefault("DJANGO_SETTINGS_MODULE", "hostedai.settings.dev")
    command = [str(paths.python()), "manage.py", *arguments]
    return subprocess.run(command, cwd=paths.ROOT, env=env, check=False).returncode


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
    "faults": faults,
    "bench": bench,
    "evidence": evidence,
    "fuzz": fuzzing.run,
    "vllm": vllm.run,
    "manage": manage,
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
