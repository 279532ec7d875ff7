"""What may stand in a cell of a CSV file."""

import re
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def harmless(value: Any) -> Any:
    """The value; text that a spreadsheet would run as a formula is quoted, numbers stay numbers."""
    if isinstance(value, str) and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value
