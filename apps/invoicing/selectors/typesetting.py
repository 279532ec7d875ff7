"""HTML to PDF. Nothing is ever loaded from anywhere: documents are made of what we wrote."""

import logging
from typing import Any

from weasyprint import HTML
from weasyprint.urls import FatalURLFetchingError, URLFetcher

# It reports every step it takes.
logging.getLogger("weasyprint.progress").setLevel(logging.WARNING)


class NothingFetched(URLFetcher):
    """Refuses every address, so that no text in an invoice can make us ask for one."""

    def fetch(self, url: str, headers: Any = None) -> Any:
        raise FatalURLFetchingError(f"documents load nothing, not even {url[:80]}")


def print_html(text: str) -> bytes:
    """The document as PDF."""
    made: bytes = HTML(string=text, url_fetcher=NothingFetched()).write_pdf()
    return made
