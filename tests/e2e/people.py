"""A person with a browser window: signs in, looks, and has seen no error in the console."""

from playwright.sync_api import ConsoleMessage, Page, expect

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

    def sign_in(self, address: str, password: str = DEMO_PASSWORD) -> None:
        self.page.goto("/accounts/login/")
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
