"""The main job: sign up, launch a real machine, log into it in the browser, and pay for it to the second."""

import re
import secrets
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import expect

from runner.processes import wait_until
from tests.e2e.people import SLOW, Visitor
from tests.e2e.stack import Stack

pytestmark = pytest.mark.serial

PASSWORD = "a long enough password"
GIVE_MONEY = """
from decimal import Decimal
from apps.billing.services.wallets import top_up
from apps.core.actor import SYSTEM
from apps.teams.models import Membership
team = Membership.objects.get(user__email="{address}").team
top_up(actor=SYSTEM, team=team, amount=Decimal(50), reason="browser test")
"""


def sign_up(visitor: Visitor, address: str) -> None:
    page = visitor.page
    page.goto("/accounts/signup/")
    page.locator("#id_email").fill(address)
    page.locator("#id_password1").fill(PASSWORD)
    page.get_by_role("main").locator("button[type=submit]").first.click()
    expect(page).not_to_have_url(re.compile("/signup/"))
    page.goto(visitor.stack.link_for(address, "/accounts/confirm-email/"))
    page.get_by_role("main").get_by_role("button").first.click()
    expect(page).not_to_have_url(re.compile("/confirm-email/"))
    visitor.sign_in(address, PASSWORD)


def arrive(visitor: Visitor) -> None:
    """With the confirmed address came a team of one's own."""
    visitor.page.goto("/")
    expect(visitor.page.get_by_role("heading", name="Your first machine is a minute away")).to_be_visible()


def launch(visitor: Visitor) -> None:
    page = visitor.page
    page.get_by_role("main").get_by_role("link", name="Launch instance").first.click()
    # Each choice fetches the form anew; the summary, written by the server, tells when it has come.
    summary = page.get_by_role("complementary", name="Cost summary")
    for choice, told in (("#t-tiny", "Tiny"), ("#r-local", "· local")):
        page.locator(choice).check(force=True)
        expect(summary).to_contain_text(told, timeout=SLOW)
    expect(page.locator("#i-tiny")).to_be_checked()
    page.locator("#id_name").fill("first-machine")
    summary.get_by_role("button", name="Launch instance").click()
    expect(page.get_by_role("heading", name="first-machine")).to_be_visible()


def connected(visitor: Visitor) -> bool:
    """Whether the terminal is open; asks for it again as a person would."""
    again = visitor.page.get_by_role("button", name="Connect again")
    if again.is_visible():
        again.click()
    return visitor.page.locator("ui-terminal").get_attribute("data-state") == "open"


def spent(visitor: Visitor) -> Decimal:
    """What the machine's page says it has cost."""
    visitor.page.reload()
    card = visitor.page.locator("section", has=visitor.page.get_by_role("heading", name="Cost so far"))
    return Decimal(card.locator("dd").last.inner_text().removeprefix("€").replace(",", ""))


def status(visitor: Visitor) -> Any:
    return visitor.page.locator("#detail .st").first


@pytest.mark.timeout(900)
def test_a_customer_launches_uses_and_pays_for_a_real_machine(visit: Any, stack: Stack) -> None:
    if stack.host is None:
        pytest.skip("There is no libvirt on this machine.")
    vera: Visitor = visit()
    page = vera.page
    address = f"vera-{secrets.token_hex(4)}@customer.example"
    sign_up(vera, address)
    arrive(vera)
    stack.manage("shell", "-c", GIVE_MONEY.format(address=address))
    launch(vera)

    # The page follows by itself: nobody reloads it.
    expect(status(vera)).to_have_text("Running", timeout=SLOW)
    expect(page.get_by_text(re.compile(r"^ssh .*@"))).to_be_visible()
    machine = page.url

    page.get_by_role("link", name="Terminal").click()
    assert wait_until(lambda: connected(vera), seconds=180, every=1.0), "the terminal did not connect"
    page.locator("ui-terminal textarea").focus()
    page.keyboard.type("echo answer-$((6*7))\n")
    expect(page.locator("ui-terminal")).to_contain_text("answer-42", timeout=SLOW)

    page.goto(machine)
    vera.confirm("Stop")
    expect(status(vera)).to_have_text("Stopped", timeout=SLOW)
    assert wait_until(lambda: spent(vera) > 0, seconds=60, every=1.0), "nothing was charged"

    page.get_by_role("button", name="More actions").click()
    vera.confirm("Delete", typed="first-machine")
    expect(status(vera)).to_have_text("Deleted", timeout=SLOW)
    assert vera.errors == []
