"""A month of 1,000 teams with 1,000,000 rated rows: drafts, final invoices, their proof, a PDF, FOCUS."""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.stage import Report, _set_up
from runner.services import Services

TEAMS = int(os.environ.get("BENCH_TEAMS", "1000"))
ROWS_PER_TEAM = 1000
FINALIZERS = 2

_TEAMS_SQL = """
INSERT INTO teams_team (id, name, slug, state, currency, suspended_because, created_at)
SELECT gen_random_uuid(), 'Team ' || n, 'bench-' || n, 'active', 'EUR', '', now()
  FROM generate_series(1, %s) n;
"""
_PURSES_SQL = """
INSERT INTO teams_workspace (id, team_id, name, slug, created_at)
SELECT gen_random_uuid(), t.id, w, w, now() FROM teams_team t, unnest(ARRAY['dev', 'prod']) w
 WHERE t.slug LIKE 'bench-%';
INSERT INTO billing_account (id, kind, currency, team_id)
SELECT gen_random_uuid(), 'customer', 'EUR', id FROM teams_team WHERE slug LIKE 'bench-%';
INSERT INTO billing_wallet (team_id, account_id, currency, balance, held, credit_limit)
SELECT team_id, id, 'EUR', 100000, 0, 0 FROM billing_account WHERE kind = 'customer';
INSERT INTO invoicing_billingprofile
       (team_id, name, street, postal_code, city, country, tax_id, email, reference)
SELECT id, name || ' Ltd', 'Street 1', '20457', 'Hamburg', 'DE', '', '', '' FROM teams_team
 WHERE slug LIKE 'bench-%';
"""
_USAGE_SQL = """
INSERT INTO billing_ratedusage (team_id, workspace_id, resource_id, product, unit, started_at, seconds,
                                quantity, unit_price, amount)
SELECT t.id, w.ids[1 + n %% 2], 'ins_' || n %% 20, p.product, 'hour',
       timestamptz '2026-03-01 00:00Z' + n * interval '40 minutes', 0,
       round((0.5 + (n %% 7) * 0.1)::numeric, 12), p.price,
       round((0.5 + (n %% 7) * 0.1)::numeric * p.price, 12)
  FROM teams_team t
  JOIN LATERAL (SELECT array_agg(id ORDER BY slug) AS ids FROM teams_workspace WHERE team_id = t.id) w ON true
  CROSS JOIN generate_series(0, %s - 1) n
  JOIN (VALUES (0, 'type:small', 0.0937), (1, 'gpu:h100', 2.4913), (2, 'disk', 0.000137), (3, 'ip', 0.0051))
       p (k, product, price) ON p.k = n %% 4
 WHERE t.slug LIKE 'bench-%%';
"""


def measure() -> Report:
    with _database():
        _fill()
        figures = _run()
    report = Report("invoices", figures)
    report.goals = {
        "finalize_seconds": f"≤ 120 for 1,000 invoices of 1,000,000 rated rows; {FINALIZERS} finalizers",
        "pdf_seconds": "≤ 1",
        "problems": "none: every line is the sum of its rows, no gap, every hash holds",
    }
    return report


@contextmanager
def _database() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="hostedai-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        services = Services(folder / "services", quick=True, dies_by_us=True, wanted=("postgres", "valkey"))
        services.start()
        try:
            _set_up(services.environment, folder)
            yield
        finally:
            services.stop()


def _fill() -> None:
    from django.db import connection

    from tests.factories.invoicing import make_entity, make_tax

    make_entity()
    make_tax("DE", "0.19")
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(_TEAMS_SQL, [TEAMS])
        cursor.execute(_PURSES_SQL)
        cursor.execute(_USAGE_SQL, [ROWS_PER_TEAM])
        cursor.execute("ANALYZE")


def _run() -> dict[str, Any]:
    from apps.core.actor import SYSTEM
    from apps.invoicing import services
    from apps.invoicing.models import Invoice
    from apps.invoicing.selectors import paper
    from tests.factories.invoicing import CLOSED, MARCH

    drafts, took_drafts = _timed(lambda: services.open_run(actor=SYSTEM, period=MARCH, now=CLOSED))
    _nothing, took_final = _timed(_finalize_all)
    problems, took_proof = _timed(_prove)
    invoice = Invoice.objects.final().earliest("serial")
    paper.pdf(invoice)
    _pdf, took_pdf = _timed(lambda: paper.pdf(invoice))
    focus, took_focus = _timed(lambda: paper.focus_of(Invoice.objects.final().order_by("serial")))
    return {
        "invoices": Invoice.objects.final().count(),
        "rated_rows": TEAMS * ROWS_PER_TEAM,
        "drafts": drafts.invoices.count(),
        "draft_seconds": round(took_drafts, 2),
        "finalize_seconds": round(took_final, 2),
        "proof_seconds": round(took_proof, 2),
        "problems": problems,
        "pdf_seconds": round(took_pdf, 2),
        "focus_seconds": round(took_focus, 2),
        "focus_bytes": len(focus),
    }


def _finalize_all() -> None:
    """As workers do: several processes share the drafts."""
    from django.db import connections

    connections.close_all()
    workers = [multiprocessing.get_context("fork").Process(target=_work) for _each in range(FINALIZERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0


def _work() -> None:
    from apps.invoicing import reconcilers
    from tests.factories.invoicing import CLOSED

    reconcilers.advance_runs(now=CLOSED)


def _prove() -> list[str]:
    """The invoices' own invariants, each by its name when it does not hold."""
    from apps.billing.selectors import proofs as books
    from apps.invoicing.selectors import proofs

    found = [books._ask(name, *check) for name, check in proofs.CHECKS.items()]
    return [one.name for one in (*found, proofs.hashes(), proofs.exports()) if not one.is_ok]


def _timed(work: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    found = work()
    return found, time.perf_counter() - began
