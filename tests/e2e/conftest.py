"""One installation and one browser for all tests of this folder."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from runner import libvirt, paths
from runner import services as known_services
from tests import plugin
from tests.e2e.people import Visitor
from tests.e2e.stack import Stack, running

VISITORS = pytest.StashKey[list[Visitor]]()
PATIENCE = 90_000  # milliseconds for what a quiet machine does in one
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package")
def stack(request: pytest.FixtureRequest, django_db_setup: None) -> Iterator[Stack]:
    found = plugin.services()
    assert found is not None
    host = image = None
    if not libvirt.why_not():
        host = request.getfixturevalue("hypervisor")
        image = request.getfixturevalue("tiny_image")
    folder = Path(tempfile.mkdtemp(prefix="e2e-", dir=paths.scratch()))
    known_services.mark_as_mine(folder)
    try:
        with running(found["environment"], host, image, folder) as started:
            yield started
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("There is no Chromium on this machine.")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def visit(request: pytest.FixtureRequest, stack: Stack, chromium: Browser) -> Iterator[Any]:
    """Makes visitors: each has a browser window of their own, and none may see an error in it."""
    windows: list[BrowserContext] = []
    visitors: list[Visitor] = request.node.stash.setdefault(VISITORS, [])

    def make(**options: Any) -> Visitor:
        window = chromium.new_context(
            base_url=stack.address, viewport={"width": 1280, "height": 860}, **options
        )
        window.set_default_timeout(PATIENCE)
        windows.append(window)
        visitors.append(Visitor(stack, window.new_page()))
        return visitors[-1]

    yield make
    for window in windows:
        window.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A failure says what each window shows and what the product's processes said last."""
    report = yield
    if not report.failed:
        return report
    for visitor in item.stash.get(VISITORS, []):
        report.sections.append((f"the window at {visitor.page.url}", visitor.words(item.name)))
    found = getattr(item, "funcargs", {}).get("stack")
    if isinstance(found, Stack):
        report.sections.append(("the product's last words", found.words()))
    return report
