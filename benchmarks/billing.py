"""Money under load: events over HTTP, the ledger, holds, tokens, and the proof of it all.

`BENCH_EVENTS` sizes it (1,000,000 for the whole figure); what is measured says how many there were.
"""

import http.client
import json
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.stage import Installation, Report, installation, milliseconds
from runner.processes import end

EVENTS = int(os.environ.get("BENCH_EVENTS", "100000"))
BATCH, CLIENTS, TEAMS = 1000, 2, 20
DUPLICATES = 20  # one in so many is sent again
METERS = HOLDS = max(200, min(2000, EVENTS // 100))
HOLDS_PER_SECOND = 200
TOKEN_BATCH, TOKEN_BATCHES = min(10_000, EVENTS), 3


def measure() -> Report:
    with installation(portals=1, workers=1) as made:
        teams, secret = _furnish()
        figures: dict[str, Any] = {"events": EVENTS, "teams": TEAMS, "fsync": "off"}
        figures |= _ingest(made, teams, secret)
        for name in ("poller", "worker"):  # from here on this process does their work, and is measured
            end(made.processes.pop(name))
        figures |= _tokens(teams)
        figures |= _ledger(teams)
        figures |= _holds(teams)
        figures |= _prove()
    report = Report("billing", figures)
    report.goals = {
        "events_per_second": f"≥ 10,000 over HTTP, 5 % duplicates, {CLIENTS} clients, one portal",
        "lost_or_double": "0",
        "ledger_transactions_per_second": "≥ 2,000 in the periodic cut",
        "hold_settle_p99_ms": f"≤ 8 at {HOLDS_PER_SECOND}/s",
        "tokens_settled_per_second": "≥ 20,000",
        "rerate_seconds": "≤ 60 for 1,000,000 events, identical",
        "verify_seconds": "≤ 60 for 1,000,000 events",
    }
    return report


def _furnish() -> tuple[list[Any], str]:
    from apps.core.actor import SYSTEM
    from apps.core.permissions import Role
    from apps.teams.selectors.actors import actor_for_user
    from apps.teams.services import create_api_key
    from apps.teams.specs import KeyWish
    from apps.users.services import grant_staff_role
    from tests.factories.billing import make_price, make_team
    from tests.factories.users import UserFactory

    make_price("rag-pages", "2", model="graduated", tiers=[["100", "2"], [None, "1.5"]])
    make_price("requests", "0.4")
    make_price("type:small", "3.6")
    for kind in ("input", "cached", "output"):
        make_price(f"tokens:llama:{kind}", "0.7")
    person = UserFactory()
    grant_staff_role(actor=SYSTEM, user=person, role=Role.FULL_ADMINISTRATOR)
    wish = KeyWish("bench", frozenset({"usage:ingest"}))
    secret = create_api_key(actor=actor_for_user(person), team=None, wish=wish).secret
    return [make_team("1000000") for _n in range(TEAMS)], secret


# ------------------------------------------------------------ events


def _bodies(teams: list[Any], client: int) -> list[bytes]:
    """The client's batches, each with every twentieth event of the one before sent again."""
    at = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    bodies, last = [], []
    for start in range(client * EVENTS // CLIENTS, (client + 1) * EVENTS // CLIENTS, BATCH):
        batch = [
            {
                "id": f"e-{n}", "source": "bench", "type": ("rag_pages", "requests")[n % 2],
                "team": teams[n % TEAMS].pk, "time": at, "subject": f"kb_{n % 97}",
                "data": {"quantity": 1 + n % 50},
            }
            for n in range(start, min(start + BATCH, EVENTS))
        ]  # fmt: skip
        sent = (batch + last[::DUPLICATES])[: BATCH + BATCH // DUPLICATES]
        last = batch
        bodies += [json.dumps({"events": part}).encode() for part in (sent[:BATCH], sent[BATCH:]) if part]
    return bodies


def _ingest(made: Installation, teams: list[Any], secret: str) -> dict[str, Any]:
    from apps.billing.models import RatedUsage, UsageEvent
    from apps.billing.services import charges

    work = [_bodies(teams, client) for client in range(CLIENTS)]
    results: list[list[tuple[float, dict[str, int]]]] = [[] for _client in range(CLIENTS)]
    threads = [
        threading.Thread(target=_send, args=(made, secret, bodies, results[client]))
        for client, bodies in enumerate(work)
    ]
    before = made.cpu_seconds()
    took = _timed(lambda: [[one.start() for one in threads], [one.join() for one in threads]])
    used = {name: round(spent - before[name], 1) for name, spent in made.cpu_seconds().items()}
    counted: dict[str, int] = {}
    for _seconds, found in (one for mine in results for one in mine):
        for status, count in found.items():
            counted[status] = counted.get(status, 0) + count
    rated = _timed(charges.rate_pending)
    kept = UsageEvent.objects.count()
    charged = RatedUsage.objects.filter(event_id__isnull=False).count()
    sent = sum(counted.values())
    return {
        "events_sent": sent,
        "duplicates_sent": counted.get("duplicate", 0),
        "events_per_second": round(sent / took),
        "ingest_batch_p99_ms": milliseconds([s for mine in results for s, _found in mine], 0.99),
        "ingest_cpu_seconds": used,
        "lost_or_double": abs(EVENTS - kept) + abs(EVENTS - charged),
        "rate_rest_seconds": round(rated, 2),
    }


def _send(made: Installation, secret: str, bodies: list[bytes], results: list[Any]) -> None:
    connection = made.client()
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    for body in bodies:
        started = time.perf_counter()
        answer = _post(connection, body, headers)
        found: dict[str, int] = {}
        for one in answer["results"]:
            found[one["status"]] = found.get(one["status"], 0) + 1
        results.append((time.perf_counter() - started, found))


def _post(connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]) -> Any:
    """The answer; a caller that is too fast waits as told."""
    while True:
        connection.request("POST", "/api/admin/v1/usage-events", body, headers)
        response = connection.getresponse()
        data = response.read()
        if response.status != 429:
            assert response.status == 200, data[:500]
            return json.loads(data)
        time.sleep(float(response.headers.get("Retry-After", "1")))


# ------------------------------------------------------------ the rest, in this process


def _tokens(teams: list[Any]) -> dict[str, Any]:
    from apps.billing.services import tokens
    from apps.core.ids import new_uuid

    table, now = tokens.price_table(datetime.now(UTC)), time.time_ns() // 1000
    counts = (1200, 34, 560, 0)
    places = []
    for team in teams:
        prices, place = table.of(team.pk, "llama"), team.workspaces.get().pk
        places.append(tokens.TokenTerms(team.pk, place, None, "llama", prices))
    batches = []
    for _batch in range(TOKEN_BATCHES):
        batch = []
        for n in range(TOKEN_BATCH):
            terms = places[n % TEAMS]
            batch.append(tokens.TokenUsage(terms, new_uuid().bytes, *counts, now, now, "stop", True))
        batches.append(batch)
    took = _timed(lambda: [tokens.settle(batch) for batch in batches])
    again = tokens.settle(batches[0])
    assert (again.counted, again.duplicates) == (0, TOKEN_BATCH)
    return {"tokens_settled_per_second": round(TOKEN_BATCH * TOKEN_BATCHES / took)}


def _ledger(teams: list[Any]) -> dict[str, Any]:
    from apps.billing import reconcilers
    from apps.billing.models import Transaction
    from apps.billing.services import charging
    from apps.billing.specs import Rate
    from tests.factories.billing import after, begin, resource

    names = [resource() for _n in range(METERS)]
    for n, name in enumerate(names):
        begin(teams[n % TEAMS], name, Rate("type:small"))
    before = Transaction.objects.count()
    took = _timed(lambda: reconcilers.cut_due(now=after(hours=1)))
    made = Transaction.objects.count() - before
    for name in names:
        charging.end(resource_id=name, now=after(hours=2))
    return {"ledger_transactions": made, "ledger_transactions_per_second": round(made / took)}


def _holds(teams: list[Any]) -> dict[str, Any]:
    """Reserve and give back, at an even pace."""
    from apps.billing.services import charging
    from apps.billing.specs import Rate
    from tests.factories.billing import START, resource

    times, begun = [], time.perf_counter()
    for n in range(HOLDS):
        wait = begun + n / HOLDS_PER_SECOND - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        name, started = resource(), time.perf_counter()
        charging.reserve(team_id=teams[n % TEAMS].pk, resource_id=name, rates=[Rate("type:small")], now=START)
        charging.end(resource_id=name, now=START)
        times.append(time.perf_counter() - started)
    return {
        "hold_settle_p50_ms": milliseconds(times, 0.5),
        "hold_settle_p99_ms": milliseconds(times, 0.99),
        "holds_per_second": round(HOLDS / (time.perf_counter() - begun)),
    }


def _prove() -> dict[str, Any]:
    from django.db import connection, transaction

    from apps.billing.selectors import proofs
    from apps.billing.selectors.rerating import rerate_counted

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    problems: list[str] = []

    def again() -> None:
        with transaction.atomic():
            problems.extend(rerate_counted())

    rerated = _timed(again)
    broken: list[str] = []
    verified = _timed(lambda: broken.extend(one.name for one in proofs.verify() if not one.is_ok))
    return {
        "rerate_seconds": round(rerated, 2),
        "rerate_differences": len(problems),
        "verify_seconds": round(verified, 2),
        "verify_broken": sorted(broken),
    }


def _timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
