"""HTML to PDF. Nothing is loaded from anywhere: documents are made of what we wrote, in our own letters."""

import logging
from typing import Any

from django.conf import settings
from weasyprint import CSS, HTML
from weasyprint.text.fonts import FontConfiguration
from weasyprint.urls import FatalURLFetchingError, URLFetcher, URLFetcherResponse

FONTS = {f"font:{name}": f"{name}.woff2" for name in ("geist-latin", "geist-latin-ext", "geist-mono-latin")}

# They report every step they take.
for _chatty in ("weasyprint.progress", "fontTools"):
    logging.getLogger(_chatty).setLevel(logging.WARNING)


class OwnFontsOnly(URLFetcher):
    """Knows our fonts by name and refuses all else: no text in an invoice makes us ask for an address."""

    def fetch(self, url: str, headers: Any = None) -> Any:
        file = FONTS.get(url)
        if file is None:
            raise FatalURLFetchingError(f"documents load nothing, not even {url[:80]}")
        font = settings.BASE_DIR / "static" / "dist" / "fonts" / file
        return URLFetcherResponse(url, font.read_bytes(), {"Content-Type": "font/woff2"})


def print_html(text: str, sheet: str = "") -> bytes:
    """The document as PDF, with a style sheet."""
    fetcher, fonts = OwnFontsOnly(), FontConfiguration()
    sheets = [CSS(string=sheet, url_fetcher=fetcher, font_config=fonts)] if sheet else []
    made: bytes = HTML(string=text, url_fetcher=fetcher).write_pdf(stylesheets=sheets, font_config=fonts)
    return made
