"""`manage.py billing_verify`: prove the books, or say which invariant fails and where."""

import json
from argparse import ArgumentParser

from django.core.management.base import BaseCommand

from apps.billing.selectors import proofs
from apps.core import tenancy


class Command(BaseCommand):
    help = "Prove every invariant of usage, prices, wallets and ledger; exit code 1 when one fails."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, *, json: bool, **_options: object) -> None:
        with tenancy.everything():
            findings, sizes = proofs.verify(), proofs.sizes()
        is_ok = all(finding.is_ok for finding in findings)
        self.stdout.write(_as_json(findings, sizes) if json else _as_text(findings, sizes))
        if not is_ok:
            raise SystemExit(1)


def _as_json(findings: list[proofs.Finding], sizes: dict[str, int]) -> str:
    checks = [
        {"name": f.name, "ok": f.is_ok, "sentence": f.sentence, "count": f.count, "examples": f.examples}
        for f in findings
    ]
    return json.dumps({"ok": all(f.is_ok for f in findings), "rows": sizes, "checks": checks}, indent=2)


def _as_text(findings: list[proofs.Finding], sizes: dict[str, int]) -> str:
    lines = []
    for finding in findings:
        lines.append(f"{'ok  ' if finding.is_ok else 'FAIL'}  {finding.name}: {finding.sentence}")
        if not finding.is_ok:
            lines.append(f"      {finding.count} times, for example:")
            lines.extend(f"        {example}" for example in finding.examples)
    rows = ", ".join(f"{count} {name}" for name, count in sizes.items())
    failed = sum(not finding.is_ok for finding in findings)
    lines.append(f"{len(findings)} invariants, {failed} failed; {rows}")
    return "\n".join(lines)
