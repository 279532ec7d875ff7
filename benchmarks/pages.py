"""Every page of the three panels: its weight on the first visit, its size, what it asks of the database.

With `LIGHTHOUSE` set to a folder in which `npm install lighthouse` was run, it measures three main pages too.
"""

import http
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import brotli
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.stage import Report
from runner import parts
from runner.ports import free_port
from runner.processes import wait_until
from runner.services import Services

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "demonstration-1"
PANELS = {
    "console": ("ada@acme.example", "/console/acme-research/default/"),
    "admin": ("admin@hostedai.example", "/admin/"),
    "cluster": ("helsinki@hostedai.example", "/cluster/hel-1/"),
}
MAIN = {
    "console": "/console/acme-research/default/overview",
    "admin": "/admin/overview",
    "cluster": "/cluster/hel-1/map",
}
NAVIGATION = "[...document.querySelectorAll('.side-wrap nav a')].map(link => link.pathname)"
BEHIND = """[...document.querySelectorAll('main .head-acts > a, main tbody tr:first-child td.main a')]
  .map(link => link.pathname + link.search)"""
ASKS = 5
GOALS = {
    "first_visit_bytes": "≤ 150000 (brotli, fonts included)",
    "html_bytes": "≤ 120000",
    "nodes": "≤ 1500",
    "requests": "≤ 12",
    "statements": "≤ 15",
}


@dataclass(frozen=True)
class Place:
    """An installation with demonstration data."""

    port: int
    environment: dict[str, str]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def measure() -> Report:
    report = Report("pages", goals=GOALS)
    with _demonstration() as place:
        found, cookies = _look(place)
        _ask_inside(place, found)
        pages = {path: figures for panel in found.values() for path, figures in panel.items()}
        report.figures |= _summary(pages)
        if folder := os.environ.get("LIGHTHOUSE"):
            report.figures["lighthouse"] = _lighthouse(Path(folder), place, cookies)
        report.figures["each"] = pages
    return report


def _summary(pages: dict[str, dict[str, Any]]) -> dict[str, Any]:
    told: dict[str, Any] = {"pages": len(pages)}
    for figure in GOALS:
        worst = max(pages, key=lambda path: pages[path][figure])
        told[f"most_{figure}"] = [pages[worst][figure], worst]
    times = [figures["server_ms"] for figures in pages.values()]
    told["server_ms_p50"] = round(statistics.median(times), 1)
    told["server_ms_p95"] = round(statistics.quantiles(times, n=20)[-1], 1)
    return told


def _look(place: Place) -> tuple[dict[str, dict[str, dict[str, Any]]], dict[str, str]]:
    """Each panel's pages as a browser sees them, and the cookies of one signed in to each panel."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        found = {name: _walk(browser, place, *who) for name, who in PANELS.items()}
        cookies = {name: _cookie(browser, place, who[0]) for name, who in PANELS.items()}
        browser.close()
    return found, cookies


# ------------------------------------------------------------ in the browser


def _walk(browser: Browser, place: Place, person: str, start: str) -> dict[str, dict[str, Any]]:
    """Each page of the navigation and one page behind each of them, every one as a first visit."""
    page = _signed_in(browser, place, person)
    page.goto(start)
    waiting = dict.fromkeys(page.evaluate(NAVIGATION))
    for path in list(waiting):
        page.goto(path)
        waiting |= dict.fromkeys(one for one in page.evaluate(BEHIND) if one.startswith(start))
    state = page.context.storage_state()
    page.context.close()
    return {path: _first_visit(browser, place, state, path) for path in waiting}


def _first_visit(browser: Browser, place: Place, state: Any, path: str) -> dict[str, Any]:
    context = browser.new_context(base_url=place.address, storage_state=state)
    page = context.new_page()
    page.set_default_timeout(90_000)
    network = context.new_cdp_session(page)
    loaded: dict[str, int] = {}
    streams: set[str] = set()
    network.on("Network.requestWillBeSent", lambda event: loaded.setdefault(event["requestId"], 0))
    network.on(
        "Network.loadingFinished",
        lambda event: loaded.update({event["requestId"]: event["encodedDataLength"]}),
    )
    network.on("Network.responseReceived", lambda event: _note_stream(event, streams))
    network.send("Network.enable")
    answer = page.goto(path, wait_until="load")
    assert answer is not None
    page.wait_for_timeout(300)
    html = answer.body()
    first = answer.request
    page_bytes = sum(size for key, size in loaded.items() if key not in streams)
    plain = first.sizes()["responseBodySize"]
    figures = {
        "status": answer.status,
        "html_bytes": len(html),
        "first_visit_bytes": page_bytes - plain + len(brotli.compress(html, quality=5)),
        "requests": len(loaded),
        "nodes": page.evaluate("document.querySelectorAll('*').length"),
    }
    context.close()
    return figures


def _note_stream(event: dict[str, Any], streams: set[str]) -> None:
    if event["type"] == "EventSource":
        streams.add(event["requestId"])


def _signed_in(browser: Browser, place: Place, person: str) -> Page:
    page = browser.new_context(base_url=place.address).new_page()
    page.set_default_timeout(90_000)
    page.goto("/accounts/login/")
    page.locator("#id_login").fill(person)
    page.locator("#id_password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda address: "/accounts/login/" not in address)
    return page


def _cookie(browser: Browser, place: Place, person: str) -> str:
    page = _signed_in(browser, place, person)
    cookies = page.context.cookies()
    page.context.close()
    return "; ".join(f"{one.get('name')}={one.get('value')}" for one in cookies)


# ------------------------------------------------------------ inside


def _ask_inside(place: Place, found: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Statements and time of each page, from a client in this process."""
    os.environ.update(place.environment)
    import django

    django.setup()
    from django.conf import settings
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from apps.users.models import User

    settings.ALLOWED_HOSTS = ["*"]
    for panel, (person, _start) in PANELS.items():
        client = Client()
        client.force_login(User.objects.get(email=person))
        for path, figures in found[panel].items():
            client.get(path)
            with CaptureQueriesContext(connection) as asked:
                client.get(path)
            figures["statements"] = len(asked)
            figures["server_ms"] = _median_ms(lambda path=path, client=client: client.get(path))  # type: ignore[misc]


def _median_ms(ask: Any) -> float:
    took = []
    for _each in range(ASKS):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(took), 1)


# ------------------------------------------------------------ Lighthouse


def _lighthouse(folder: Path, place: Place, cookies: dict[str, str]) -> dict[str, Any]:
    return {
        f"{path} {form}": _audit(folder, f"{place.address}{path}", cookies[panel], form)
        for panel, path in MAIN.items()
        for form in ("mobile", "desktop")
    }


def _audit(folder: Path, address: str, cookie: str, form: str) -> dict[str, float]:
    """The median of three visits, in Lighthouse's own simulation of a network and a processor."""
    found: list[dict[str, float]] = []
    for _each in range(3):
        command = [str(folder / "node_modules/.bin/lighthouse"), address, "--output=json", "--quiet"]
        command += ["--only-categories=performance,accessibility,best-practices"]
        command += ["--chrome-flags=--headless=new --no-sandbox --disable-gpu"]
        command += [f"--extra-headers={json.dumps({'Cookie': cookie})}"]
        command += ["--preset=desktop"] if form == "desktop" else []
        env = os.environ | {"CHROME_PATH": shutil.which("chromium") or ""}
        ran = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        told = json.loads(ran.stdout)
        scores = {name: round((one["score"] or 0) * 100) for name, one in told["categories"].items()}
        audits = told["audits"]
        found.append(
            scores
            | {
                "lcp_s": round(audits["largest-contentful-paint"]["numericValue"] / 1000, 2),
                "cls": round(audits["cumulative-layout-shift"]["numericValue"], 3),
                "tbt_ms": round(audits["total-blocking-time"]["numericValue"]),
            }
        )
    return {name: statistics.median(one[name] for one in found) for name in found[0]}


# ------------------------------------------------------------ the installation


@contextmanager
def _demonstration() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="hostedai-pages-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        services = Services(folder / "services", quick=True, dies_by_us=True)
        services.start()
        place = Place(free_port(), {})
        place.environment.update(_environment(services, folder, place.address))
        running = parts.of_the_product(
            port=place.port,
            environment=lambda scope: {**os.environ, **place.environment, "DB_SCOPE": scope},
            mark=f"bench-{os.getpid()}-",
        )
        try:
            for words in (("migrate",), ("collectstatic", "--noinput", "-v", "0"), ("demo", "--days", "30")):
                _manage(place, *words)
            for part in running:
                part.start()
            if not wait_until(lambda: _answers(place), seconds=300, every=0.5):
                raise RuntimeError(running[0].log.read_text()[-2000:])
            yield place
        finally:
            for part in reversed(running):
                part.stop()
                part.log.unlink(missing_ok=True)
            services.stop()


def _environment(services: Services, folder: Path, address: str) -> dict[str, str]:
    given = {name: value for name, value in services.environment.items() if name != "DATABASE_SUPER_URL"}
    return given | {
        "DJANGO_SETTINGS_MODULE": "hostedai.settings.dev",
        "SECRET_KEY": "a-benchmark-protects-nothing-with-this-key",
        "PUBLIC_URL": address,
        "HOSTEDAI_VAR": str(folder / "var"),
        "INSTALLATION_ID": f"bench-{os.getpid()}",
        "LOG_LEVEL": "WARNING",
        "DB_SCOPE": "*",
        "HOSTEDAI_LEASH": str(os.getpid()),  # engines end with us
    }


def _manage(place: Place, *words: str) -> None:
    command = [sys.executable, "-W", "ignore", "manage.py", *words]
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | place.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr[-3000:])


def _answers(place: Place) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=10)
    try:
        connection.request("GET", "/readiness")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (http.client.HTTPException, OSError):
        return False
    finally:
        connection.close()
