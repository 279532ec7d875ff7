"""`python -m benchmarks NAME…`: measures, prints, and writes `evidence/<name>.json`."""

import subprocess
import sys
from collections.abc import Callable

from benchmarks import billing, commands, engines, invoices, launches, lists, pages
from benchmarks.gateway import bench as gateway
from benchmarks.stage import Report

BENCHMARKS: dict[str, Callable[[], Report]] = {
    "launches": launches.measure,
    "engines": engines.measure,
    "lists": lists.measure,
    "pages": pages.measure,
    "commands": commands.measure,
    "billing": billing.measure,
    "gateway": gateway.measure,
    "invoices": invoices.measure,
}
UNASKED = ("launches", "engines", "lists", "pages")  # the others take long: by name only


def main(names: list[str]) -> int:
    """One benchmark here; several each in a process of their own, for Django is set up but once in each."""
    chosen = names or list(UNASKED)
    if len(chosen) > 1:
        each = [[sys.executable, "-m", "benchmarks", one] for one in chosen]
        ended = [subprocess.run(command, check=False).returncode for command in each]
        return int(any(ended))
    report = BENCHMARKS[chosen[0]]()
    report.write()
    print(report.text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
