"""A person with a browser window: signs in, looks, and has seen no error in the console."""

import re

from playwright.sync_api import ConsoleMessage, Error, Page, expect

from runner import paths
from tests.e2e.stack import Stack

DEMO_PASSWORD = "demonstration-1"
SLOW = 300_000  # for real machines, whose processor is emulated


class Visitor:
    """One window. `errors` collects what the browser complains of."""

    def __init__(self, stack: Stack, page: Page) -> None:
        self.stack = stack
        self.page = page
        self.errors: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.errors.append(f"{page.url}: {error}"))

    def _heard(self, message: ConsoleMessage) -> None:
        # A stream that ends while the page is left is no mistake of the page.
        if message.type == "error" and "net::ERR_" not in message.text:
            self.errors.append(f"{self.page.url}: {message.text}")

    def words(self, name: str) -> str:
        """What the window shows, for a failure's report; a picture of it goes to var/log/e2e."""
        picture = paths.open_folder(paths.LOGS / "e2e") / f"{re.sub(r'[^a-z0-9]+', '-', name)}.png"
        try:
            self.page.screenshot(path=picture, timeout=10_000)
            shown = self.page.locator("body").inner_text(timeout=10_000)
        except Error as error:
            return f"It cannot be looked at: {error.message}"
        return "\n".join([*self.errors, f"(picture: {picture})", re.sub(r"\s*\n\s*", "\n", shown)[:4000]])

    def sign_in(self, address: str, password: str = DEMO_PASSWORD) -> None:
        """Sign in, unless one is already."""
        self.page.goto("/accounts/login/")
        if "/accounts/login/" not in self.page.url:
            return
        self.page.locator("#id_login").fill(address)
        self.page.locator("#id_password").fill(password)
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        expect(self.page).not_to_have_url(f"{self.stack.address}/accounts/login/")

    def confirm(self, button: str, typed: str = "") -> None:
        """Press a dangerous button and agree in the dialog."""
        self.page.get_by_role("main").get_by_role("button", name=button).first.click()
        dialog = self.page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        if typed:
            dialog.get_by_role("textbox").fill(typed)
        dialog.locator("[data-yes]").click()
