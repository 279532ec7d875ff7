"""Tables and progress for people at a terminal."""

import time
from collections.abc import Sequence
from typing import Any, TextIO

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
EVERY_SECONDS = 0.2


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side."""
    everything = [list(head), *map(list, rows)]
    widths = [max(len(row[at]) for row in everything) for at in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in everything
    ]
    return "\n".join(line.rstrip() for line in lines)


def cell(value: Any) -> str:
    """A value as it stands in a table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def size(count: float) -> str:
    """Bytes in a unit that is read at a glance."""
    unit = 0
    while count >= 1024 and unit < len(UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.1f} {UNITS[unit]}" if unit else f"{count:.0f} B"


class Meter:
    """One line that is written over at a terminal, and one line per file elsewhere."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        self._next = 0.0
        self._told = ""

    def __call__(self, name: str, done: int, total: int) -> None:
        if self._is_terminal:
            if done < total and time.monotonic() < self._next:
                return
            self._next = time.monotonic() + EVERY_SECONDS
            line = f"{name}  {size(done)} of {size(total)}  {100 * done // max(total, 1)} %"
            self._out.write(f"\r{line:<78}"[:79])
            self._out.flush()
        elif done >= total and self._told != name:
            self._told = name
            self._out.write(f"{name}  {size(total)}\n")

    def end(self) -> None:
        """Leave the line."""
        if self._is_terminal:
            self._out.write("\n")
