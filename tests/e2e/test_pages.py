"""Every page of the three panels: no mistake, both themes, on a phone too, and within its budget."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from runner import paths
from tests.e2e.people import DEMO_PASSWORD, Visitor

pytestmark = [pytest.mark.serial, pytest.mark.timeout(900)]

AXE = (paths.ROOT / "tests" / "assets" / "axe.min.js").read_text()
STANDARD = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
MOST_BYTES = 120_000
MOST_NODES = 1_500
RUN_AXE = """async rules => (await axe.run(
  {runOnly: rules, resultTypes: ['violations'], preload: false, elementRef: false})).violations.map(
  one => `${one.id}: ${one.nodes.map(node => node.html.slice(0, 160)).slice(0, 2).join(' | ')}`)"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FURTHER = """[...document.querySelectorAll(
  'main .head-acts > a, main tbody tr:first-child td.main a, main .cards li:first-child .whole')]
  .map(link => link.pathname + link.search)"""
# So tall that no bar that sticks to the window's edge covers a control, which axe would call too small.
WHOLE = {"width": 1280, "height": 4000}
NAVIGATION = "[...document.querySelectorAll('.side-wrap nav a')].map(link => link.pathname)"


def faults(page: Page, path: str) -> list[str]:
    """What is wrong with a page, in words."""
    page.set_viewport_size(WHOLE)
    answer = page.goto(path)
    assert answer is not None
    if not answer.ok:
        return [f"answered {answer.status}"]
    found = []
    if len(answer.body()) > MOST_BYTES:
        found.append(f"{len(answer.body())} bytes")
    nodes = page.evaluate("document.querySelectorAll('*').length")
    if nodes > MOST_NODES:
        found.append(f"{nodes} nodes")
    found += page.evaluate(RUN_AXE, STANDARD)
    # Loaded anew, a page is dark from its first paint: no colour is caught half-way.
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    page.reload()
    found += [f"dark {one}" for one in page.evaluate(RUN_AXE, ["color-contrast"])]
    if (beyond := page.evaluate(OVERFLOW)) > 0:
        found.append(f"{beyond} px too wide for a phone")
    page.emulate_media(color_scheme="light")
    return found


def walk(visitor: Visitor, start: str) -> tuple[dict[str, list[str]], int]:
    """Visit each page of the navigation and one page behind each of them."""
    page = visitor.page
    page.goto(start)
    waiting = list(dict.fromkeys(page.evaluate(NAVIGATION)))
    seen: dict[str, list[str]] = {}
    behind: list[str] = []
    for path in waiting:
        seen[path] = faults(page, path)
        behind += page.evaluate(FURTHER)
    for path in dict.fromkeys(behind):
        if path not in seen and path.startswith(start):
            seen[path] = faults(page, path)
    return {path: wrong for path, wrong in seen.items() if wrong}, len(seen)


@pytest.mark.parametrize(
    ("person", "start", "least"),
    [
        ("ada@acme.example", "/console/acme-research/default/", 16),
        ("admin@hostedai.example", "/admin/", 24),
        ("helsinki@hostedai.example", "/cluster/hel-1/", 12),
    ],
)
def test_the_pages_of_a_panel_are_sound(visit: Any, person: str, start: str, least: int) -> None:
    visitor: Visitor = visit()
    visitor.sign_in(person)
    visitor.page.add_init_script(AXE)
    wrong, count = walk(visitor, start)
    assert wrong == {}
    assert count >= least, "the navigation has lost pages"
    assert visitor.errors == []


def test_the_pages_at_the_door_are_sound(visit: Any) -> None:
    visitor: Visitor = visit()
    visitor.page.add_init_script(AXE)
    paths_there = ("/", "/status", "/accounts/login/", "/accounts/signup/", "/accounts/password/reset/")
    wrong = {path: found for path in paths_there if (found := faults(visitor.page, path))}
    assert wrong == {}
    assert visitor.errors == []


def test_a_page_can_be_used_by_keyboard(visit: Any) -> None:
    visitor: Visitor = visit()
    visitor.sign_in("ada@acme.example")
    page = visitor.page
    page.goto("/console/acme-research/default/instances")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox").fill("activ")
    expect(page.locator("[role=option][aria-selected=true]")).to_contain_text("Activity")
    page.keyboard.press("Enter")
    page.wait_for_url("**/activity")
    page.go_back()
    page.wait_for_url("**/instances")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "list-q"
    page.keyboard.type("no such machine")
    page.wait_for_url(re.compile(r"q=no(\+|%20)such(\+|%20)machine"))
    page.get_by_text("Nothing matches").wait_for()
    page.get_by_role("link", name="Clear them").click()
    page.locator("tbody tr td.main a").first.focus()
    first = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.textContent") != first
    page.keyboard.press("x")
    page.get_by_text("selected").wait_for()


def test_what_was_written_when_the_session_ended_is_there_after_the_sign_in(visit: Any) -> None:
    visitor: Visitor = visit()
    visitor.sign_in("ben@acme.example")
    page, form = visitor.page, "/console/acme-research/default/ssh-keys/new"
    page.goto(form)
    page.locator("#id_name").fill("laptop")
    page.context.clear_cookies(name=re.compile("session"))
    page.get_by_role("button", name="Add the key").click()
    page.locator("#id_login").fill("ben@acme.example")
    page.locator("#id_password").fill(DEMO_PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"**{form}")
    expect(page.locator("#id_name")).to_have_value("laptop")


def test_what_is_typed_while_the_price_is_on_its_way_stays(visit: Any) -> None:
    visitor: Visitor = visit()
    visitor.sign_in("ada@acme.example")
    page = visitor.page
    page.goto("/console/acme-research/default/launch")
    waiting: list[Route] = []

    def hold_the_first(route: Route) -> None:
        waiting.append(route)
        if len(waiting) > 1:
            route.continue_()

    page.route("**/launch?*disk_gib=777*", hold_the_first)
    page.locator("#id_disk_gib").fill("777")
    with page.expect_request("**/launch?*disk_gib=777*"):
        page.keyboard.press("Tab")
    page.locator("#id_name").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("first")
    with page.expect_response("**/launch?*disk_gib=777*") as came:
        waiting[0].continue_()
    came.value.finished()
    page.keyboard.type("-one")
    with page.expect_response("**/launch?*name=first-one*"):
        page.keyboard.press("Tab")
    expect(page.get_by_role("complementary", name="Cost summary")).to_contain_text("777")
    expect(page.locator("#id_name")).to_have_value("first-one")
    expect(page.locator("#id_disk_gib")).to_have_value("777")
