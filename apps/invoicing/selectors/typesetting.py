"""HTML to PDF. Nothing is ever loaded from anywhere: documents are made of what we wrote."""

import logging
from typing import Any

from weasyprint import CSS, HTML
from weasyprint.urls import FatalURLFetchingError, URLFetcher

# It reports every step it takes.
logging.getLogger("weasyprint.progress").setLevel(logging.WARNING)


class NothingFetched(URLFetcher):
    """Refuses every address, so that no text in an invoice can make us ask for one."""

    def fetch(self, url: str, headers: Any = None) -> Any:
        raise FatalURLFetchingError(f"documents load nothing, not even {url[:80]}")


def print_html(text: str, sheet: str = "") -> bytes:
    """The document as PDF, with a style sheet."""
    fetcher = NothingFetched()
    sheets = [CSS(string=sheet, url_fetcher=fetcher)] if sheet else []
    made: bytes = HTML(string=text, url_fetcher=fetcher).write_pdf(stylesheets=sheets)
    return made
