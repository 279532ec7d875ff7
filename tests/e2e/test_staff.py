"""A region's operator takes a node out of service; the page follows."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.people import SLOW, Visitor

pytestmark = [pytest.mark.serial, pytest.mark.timeout(900)]


def test_staff_drains_a_node(visit: Any) -> None:
    staff: Visitor = visit()
    staff.sign_in("helsinki@hostedai.example")
    page = staff.page
    page.goto("/cluster/hel-1/nodes?state=ready")
    page.locator("tbody tr td.main a").first.click()
    expect(page.locator("#detail .st").first).to_have_text("Ready")
    staff.confirm("Drain")
    expect(page.locator("#detail .st").first).to_have_text("Maintenance", timeout=SLOW)
    assert staff.errors == []
