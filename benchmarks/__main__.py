"""`python -m benchmarks launches|lists`: measures, prints, and writes `evidence/<name>.json`."""

import sys
from collections.abc import Callable

from benchmarks import launches, lists
from benchmarks.stage import Report

BENCHMARKS: dict[str, Callable[[], Report]] = {"launches": launches.measure, "lists": lists.measure}


def main(names: list[str]) -> int:
    for name in names or list(BENCHMARKS):
        report = BENCHMARKS[name]()
        report.write()
        print(report.text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
