"""What the team's keys asked, request by request: what each cost, how long it took, and its receipt."""

from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.models import TokenRequest
from apps.billing.selectors import token_use
from apps.core.errors import NotFound
from apps.core.ids import decode, encode
from apps.core.permissions import Permission
from apps.panels.kit import Column, Empty, Html, Link, Page, Table, cells
from apps.panels.user.token_use import TokenSpan

SHOWN = 50
FILTERS = {"model": "slug", "key": "key_id", "outcome": "outcome"}
OUTCOMES: dict[str, tuple[Any, str]] = {
    "completed": (_("Answered"), "ok"),
    "refused": (_("Refused"), "warn"),
    "client_gone": (_("Caller left"), "off"),
    "cut": (_("Cut off"), "warn"),
    "timeout": (_("Timed out"), "bad"),
    "engine_failed": (_("Engine failed"), "bad"),
    "lost": (_("Broken off"), "bad"),
}


class TokenRequests(TokenSpan, Page):
    title = _("Requests")
    intro = _("Settled requests, newest first. GET /v1/receipts/{id} gives the signed receipt of each.")
    links = (Link(_("Add up"), "token-use", Permission.USAGE_READ, icon="hash", primary=False),)

    @cached_property
    def chosen(self) -> dict[str, str]:
        """The filters that the address names."""
        asked = {name: self.request.GET.get(name, "")[:80].replace("\x00", "") for name in FILTERS}
        return {name: value for name, value in asked.items() if value}

    def address(self, **changes: Any) -> str:
        """This page with other filters; None takes one away. It begins anew."""
        state = {"days": self.days} | self.chosen | changes
        return f"{self.request.path}?{urlencode({name: value for name, value in state.items() if value})}"

    def main(self) -> list[Any]:
        rows = token_use.latest(self._wanted(), before=self._before(), most=SHOWN + 1)
        shown, last = rows[:SHOWN], rows[SHOWN - 1] if len(rows) > SHOWN else None
        older = self.address(before=encode("rcp", last.pk)) if last else ""
        newest = self.address() if "before" in self.request.GET else ""
        chips = [(value, self.address(**{name: None})) for name, value in self._named().items()]
        shape = {"chips": chips, "table": self._table(shown), "older": older, "newest": newest}
        return [Html("kit/money/requests.html", shape)]

    def _wanted(self) -> Any:
        return self.found.filter(**{FILTERS[name]: value for name, value in self.chosen.items()})

    def _before(self) -> str:
        asked = self.request.GET.get("before", "")
        try:
            return str(decode("rcp", asked)) if asked else ""
        except ValueError as error:
            raise NotFound(_now("There is no such page.")) from error

    def _named(self) -> dict[str, str]:
        """The filters as a person calls them."""
        named = dict(self.chosen)
        if key := named.get("key"):
            named["key"] = self._keys([key]).get(key, key)
        if outcome := named.get("outcome"):
            named["outcome"] = str(OUTCOMES.get(outcome, (outcome, ""))[0])
        return named

    def _keys(self, ids: list[str]) -> dict[str, str]:
        return token_use.names_of("key", ids, brief=True)

    def _table(self, rows: list[TokenRequest]) -> Table:
        number, keys = cells.number, self._keys([row.key_id for row in rows if row.key_id])

        def narrow(name: str) -> Any:
            return lambda view, row: view.address(**{name: getattr(row, FILTERS[name])})

        columns = (
            Column("at", _("When"), lambda row: cells.when(row.finished_at), main=True),
            Column("model", _("Model"), lambda row: row.slug, to=narrow("model")),
            Column(
                "key", _("Key"), lambda row: keys.get(row.key_id or "", "–"), priority=2, to=narrow("key")
            ),
            Column("outcome", _("Outcome"), outcome_of, to=narrow("outcome")),
            Column("input", _("In"), lambda row: number(row.input + row.embedding), num=True, priority=2),
            Column("cached", _("Cached"), lambda row: number(row.cached), num=True, priority=3),
            Column("output", _("Out"), lambda row: number(row.output), num=True, priority=2),
            Column("first", _("First token"), first_of, num=True, priority=3),
            Column("took", _("Took"), took, num=True, priority=2),
            Column("amount", _("Cost"), lambda row: cells.money(row.amount, row.currency, 6), num=True),
            Column("receipt", _("Receipt"), receipt_of, priority=3),
        )
        empty = Empty(
            _("No model was asked in this time."), _("Take a filter away, or ask one."), icon="inbox"
        )
        return Table(_("Requests"), columns, rows, empty, view=self)


def outcome_of(row: TokenRequest) -> Any:
    label, kind = OUTCOMES.get(row.outcome, (row.outcome, "off"))
    return cells.status(row.outcome, label, kind=kind)


def first_of(row: TokenRequest) -> Any:
    """Until the first byte of a stream; other answers come whole."""
    return cells.muted("–") if row.first_ms is None else seconds(row.first_ms)


def took(row: TokenRequest) -> str:
    return seconds((row.finished_at - row.started_at).total_seconds() * 1000)


def seconds(ms: float) -> str:
    """In milliseconds below a second."""
    if ms < 1000:
        return _now("%(n)s ms") % {"n": cells.number(round(ms))}
    return _now("%(n)s s") % {"n": cells.number(ms / 1000, 1)}


def receipt_of(row: TokenRequest) -> SafeString:
    """The end of its id, on a button that copies it whole."""
    whole = encode("rcp", row.pk)
    return format_html(
        '<ui-copy value="{}" data-done="{}"><button type="button" class="btn btn-ghost btn-sm mono" '
        'title="{}">…{}</button></ui-copy>',
        whole, _("Copied"), whole, whole[-8:],
    )  # fmt: skip
