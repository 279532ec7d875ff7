"""No cell of a CSV file is a formula."""

from decimal import Decimal
from typing import Any

import pytest

from apps.core.spreadsheets import harmless


@pytest.mark.parametrize("given", ["=1+1", "+cmd", "-2+3+cmd|' /C calc'!A0", "@x", "\tx", "\r=1", "--1"])
def test_what_would_be_run_is_quoted(given: str) -> None:
    assert harmless(given) == f"'{given}"


@pytest.mark.parametrize("given", ["plain", "", "-12.50", "+3", -5, Decimal("-1.5"), None])
def test_all_else_stays(given: Any) -> None:
    assert harmless(given) == given
