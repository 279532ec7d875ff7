"""`python -m benchmarks NAME…`: measures, prints, and writes `evidence/<name>.json`."""

import sys
from collections.abc import Callable

from benchmarks import commands, launches, lists, pages
from benchmarks.stage import Report

BENCHMARKS: dict[str, Callable[[], Report]] = {
    "launches": launches.measure,
    "lists": lists.measure,
    "pages": pages.measure,
    "commands": commands.measure,
}
UNASKED = ("launches", "lists", "pages")  # the commands take half an hour: by name only


def main(names: list[str]) -> int:
    for name in names or UNASKED:
        report = BENCHMARKS[name]()
        report.write()
        print(report.text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
