"""One way to the API: authenticated, patient, and safe to repeat."""

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from hostedai_sdk.errors import Unreachable, refusal

TRIES = 5
LONGEST_PAUSE = 20.0
LATER = {429, 502, 503, 504}


class Transport:
    """Sends requests. A POST carries an idempotency key, so that a repeated one is done once."""

    def __init__(self, url: str, key: str, *, timeout: float = 60.0) -> None:
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/user/v1/",
            headers={"Authorization": f"Bearer {key}", "User-Agent": "hostedai-python"},
            timeout=httpx.Timeout(timeout, connect=10),
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The answer's body."""
        return self._send("GET", path, params=params or {})

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Done once, however often it is sent."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return self._send("POST", path, json=dict(body or {}), headers=headers)

    def ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """A POST that changes nothing worth remembering."""
        return self._send("POST", path, json=dict(body))

    def delete(self, path: str) -> Any:
        """Removing twice is removing once."""
        return self._send("DELETE", path)

    def pages(self, path: str, params: Mapping[str, str] | None = None) -> Iterator[Any]:
        """All items of a list, page after page."""
        given = {"limit": "200", **(params or {})}
        while True:
            page = self.get(path, given)
            yield from page["items"]
            if not page.get("next_cursor"):
                return
            given["cursor"] = page["next_cursor"]

    def _send(self, method: str, path: str, **options: Any) -> Any:
        for attempt in range(TRIES):
            try:
                answer = self._http.request(method, path, **options)
            except httpx.TransportError as error:
                if attempt == TRIES - 1:
                    raise Unreachable(f"{self._http.base_url} does not answer: {error}") from error
                time.sleep(_pause(attempt))
                continue
            if answer.status_code in LATER and attempt < TRIES - 1:
                time.sleep(_pause(attempt, answer.headers.get("Retry-After", "")))
                continue
            return _read(answer)
        raise AssertionError("unreachable")


def _pause(attempt: int, wanted: str = "") -> float:
    asked = float(wanted) if wanted.isdecimal() else 0.5 * 2**attempt
    return min(asked, LONGEST_PAUSE)


def _read(answer: httpx.Response) -> Any:
    try:
        body = answer.json() if answer.content else {}
    except ValueError:
        body = {"detail": f"No answer of hostedai's: status {answer.status_code}."}
    if answer.is_error:
        raise refusal(answer.status_code, body if isinstance(body, dict) else {})
    return body
