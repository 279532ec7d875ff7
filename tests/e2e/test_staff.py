"""A region's operator takes a node out of service; the page follows."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.people import SLOW, Visitor
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.serial, pytest.mark.timeout(900)]


# A node without machines: stopped ones keep their place until their owner deletes them, and a drain waits.
EMPTY = """
from apps.nodes.models import Node
ready = Node.objects.filter(region__slug="hel-1", state="ready")
free = ready.filter(vcpus_used=0, memory_mib_used=0, disk_gib_used=0)
print("node:", free.order_by("name").values_list("name", flat=True)[0])
"""


def test_staff_drains_a_node(visit: Any, stack: Stack) -> None:
    node = stack.manage("shell", "-c", EMPTY).rpartition("node:")[2].strip()
    staff: Visitor = visit()
    staff.sign_in("helsinki@hostedai.example")
    page = staff.page
    page.goto(f"/cluster/hel-1/nodes?q={node}")
    page.locator("tbody tr td.main a").first.click()
    expect(page.locator("#detail .st").first).to_have_text("Ready")
    staff.confirm("Drain")
    expect(page.locator("#detail .st").first).to_have_text("Maintenance", timeout=SLOW)
    assert staff.errors == []
