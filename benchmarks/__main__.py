"""`python -m benchmarks launches|lists|pages`: measures, prints, and writes `evidence/<name>.json`."""

import sys
from collections.abc import Callable

from benchmarks import launches, lists, pages
from benchmarks.stage import Report

BENCHMARKS: dict[str, Callable[[], Report]] = {
    "launches": launches.measure,
    "lists": lists.measure,
    "pages": pages.measure,
}


def main(names: list[str]) -> int:
    for name in names or list(BENCHMARKS):
        report = BENCHMARKS[name]()
        report.write()
        print(report.text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
