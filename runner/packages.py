"""The Debian packages that documents, real machines and the browser tests need."""

import os
import shutil
import subprocess

from runner.console import say, warn

DOCUMENTS = (  # invoices; the second font has Chinese, Japanese and Korean
    *("libpango-1.0-0", "libpangoft2-1.0-0", "libharfbuzz-subset0"),
    *("fonts-dejavu-core", "fonts-droid-fallback"),
)
BROWSER = ("chromium",)


def missing(wanted: tuple[str, ...]) -> list[str]:
    """Those of the packages that are not installed; all of them where there is no dpkg."""
    if not shutil.which("dpkg-query"):
        return list(wanted)
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    there = {line.split()[0] for line in asked.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in there]


def may_install() -> bool:
    """Whether this machine lets us install packages: we are root and there is apt."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None and not os.environ.get("HOSTEDAI_NO_APT")


def _apt(*arguments: str) -> bool:
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "NEEDRESTART_MODE": "a"}
    command = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=3", *arguments]
    ran = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, umask=0o022,
    )  # fmt: skip
    if ran.returncode:
        warn("\n".join(ran.stdout.splitlines()[-5:]))
    return ran.returncode == 0


def ensure(wanted: tuple[str, ...]) -> list[str]:
    """Install what is missing when we may; returns what is missing still."""
    lacking = missing(wanted)
    if not lacking:
        return []
    if not may_install():
        say(f"Not installed, and we may not install it: {' '.join(lacking)}")
        say(f"  as root: apt-get install --no-install-recommends {' '.join(lacking)}")
        return lacking
    say(f"Installing {len(lacking)} Debian packages (once): {' '.join(lacking)}")
    install = ("install", "--no-install-recommends", *lacking)
    _ = (_apt("update") and _apt(*install)) or (_apt("update") and _apt("--fix-broken", *install))
    lacking = missing(wanted)
    if lacking:
        warn(f"apt did not install: {' '.join(lacking)}")
    return lacking
