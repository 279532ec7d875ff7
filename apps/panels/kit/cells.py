"""Small pieces of HTML for table cells and facts, made in Python because a list makes hundreds of them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from django.templatetags.static import static
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

_OK = (
    "running active ready open healthy available in_use succeeded done paid live accepted published enabled"
    " ok on servable stored verified"
)
_BUSY = (
    "pending placing provisioning starting stopping rebooting resizing deleting creating enrolling testing"
    " initializing draining subscribing scaling unsubscribing queued uploading verifying restoring"
)
_ATTENTION = (
    "cordoned limited maintenance suspect degraded suspended expiring frozen interrupted warning held"
    " deprecated"
)
_BAD = "failed unreachable error revoked overdue faulty down refused"
_TONES = {
    word: tone
    for tone, words in (("ok", _OK), ("info", _BUSY), ("warn", _ATTENTION), ("bad", _BAD))
    for word in words.split()
}
_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "CHF": "CHF "}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
NONE = mark_safe('<span class="muted">–</span>')


def tone(value: object) -> str:
    """The colour and shape of a state's word."""
    return _TONES.get(str(value).lower(), "off")


def status(value: object, label: object = None, *, kind: str = "") -> SafeString:
    """A state: shape, colour and word."""
    word = label if label is not None else str(value).replace("_", " ").capitalize()
    return format_html('<span class="st st-{}"><i></i>{}</span>', kind or tone(value), word)


def link(text: object, url: str) -> SafeString:
    return format_html('<a href="{}">{}</a>', url, text) if url else format_html("{}", text)


def icon(name: str, css: str = "") -> SafeString:
    address = static("dist/icons.svg")
    return format_html('<svg class="ic {}" aria-hidden="true"><use href="{}#{}"/></svg>', css, address, name)


def mono(text: object) -> SafeString:
    return format_html('<span class="mono">{}</span>', text) if text not in (None, "") else NONE


def muted(text: object) -> SafeString:
    return format_html('<span class="muted">{}</span>', text)


def tag(text: object, kind: str = "") -> SafeString:
    """A small label; `kind` is ok, info, warn or bad."""
    return format_html('<span class="tag{}">{}</span>', f" tag-{kind}" if kind else "", text)


def tags(texts: Iterable[object]) -> SafeString:
    return format_html_join(" ", '<span class="tag">{}</span>', ((text,) for text in texts)) or NONE


def join(*parts: object) -> SafeString:
    """Pieces side by side."""
    return format_html_join(" ", "{}", ((part,) for part in parts if part not in (None, "")))


def two_lines(first: object, second: object) -> SafeString:
    return format_html('{}<br><span class="muted text-xs">{}</span>', first, second)


def pips(on: int, of: int, *, bad: int = 0, large: bool = False, label: object = None) -> SafeString:
    """One small bar per GPU: `on` in use (or free, as the label says), `bad` out of order."""
    shown = min(max(of, 1), 16)
    ratio = shown / max(of, 1)
    lit, broken = round(on * ratio) if of > shown else on, min(bad, shown)
    marks = ["on"] * min(lit, shown - broken) + ["bad"] * broken
    marks += [""] * (shown - len(marks))
    cells = format_html_join(
        "", "<i{}></i>", ((format_html(' class="{}"', one) if one else "",) for one in marks)
    )
    said = label if label is not None else _("%(on)s of %(of)s GPUs") % {"on": on, "of": of}
    large_css = " pips-lg" if large else ""
    return format_html('<span class="pips{}" role="img" aria-label="{}">{}</span>', large_css, said, cells)


def gpus(count: int, model: object = "", *, of: int = 8) -> SafeString:
    """A machine's GPUs: pips and words, or a dash when it has none."""
    if not count:
        return muted(_("no GPU"))
    words = f"{count}× {model}" if model else str(count)
    return format_html('<span class="with-pips">{}<span>{}</span></span>', pips(count, max(of, count)), words)


def bar(share: float | Decimal | None, kind: str = "s1", label: object = None) -> SafeString:
    """A share (0..1) as a bar; `kind` is s1, accent, ok, warn, bad or muted."""
    percent = round(min(max(float(share or 0), 0), 1) * 100, 1)
    said = label if label is not None else f"{percent:.0f} %"
    return format_html(
        '<svg class="bar bar-{}" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect width="{}" height="6"/></svg>',
        kind, said, percent,
    )  # fmt: skip


def used(now: float | Decimal, total: float | Decimal, unit: str = "", currency: str = "") -> SafeString:
    """How much of a total is used: a bar that turns amber at 85 % and red when full, and the numbers."""
    share = float(now) / float(total) if total else 0.0
    kind = "bad" if share >= 1 else "warn" if share > 0.85 else "s1"
    words = f"{number(now)} / {number(total)} {unit}".strip()
    if currency:
        words = f"{money(Decimal(now), currency)} / {money(Decimal(total), currency)}"
        return format_html("<span>{}</span>{}", words, bar(share, kind, words))
    return format_html('<span class="with-bar">{}<span>{}</span></span>', bar(share, kind, words), words)


def made(now: float | Decimal, total: float | Decimal) -> SafeString:
    """How much of the work is done: a bar that is green at the end, and the numbers."""
    share = float(now) / float(total) if total else 0.0
    words = f"{number(now)} / {number(total)}"
    kind = "ok" if share >= 1 else "s1"
    return format_html('<span class="with-bar">{}<span>{}</span></span>', bar(share, kind, words), words)


def shared(share: float, kind: str = "accent") -> SafeString:
    """A share (0..1) as a bar with its percentage."""
    words = f"{share * 100:.0f} %"
    return format_html('<span class="with-bar">{}<span>{}</span></span>', bar(share, kind, words), words)


def sparkline(values: Sequence[float], top: float | None = None) -> SafeString:
    """A line of recent values, drawn by the server."""
    if len(values) < 2:
        return muted(_("no data yet"))
    high = top or max(values) or 1
    points = [
        f"{at * 72 / (len(values) - 1):.1f},{20 - min(one / high, 1) * 19:.1f}"
        for at, one in enumerate(values)
    ]
    line = "M" + "L".join(points)
    return format_html(
        '<svg class="spark" viewBox="0 0 72 20" preserveAspectRatio="none" aria-hidden="true">'
        '<path class="a" d="{}L72,20L0,20Z"/><path d="{}"/></svg>',
        line, line,
    )  # fmt: skip


def number(value: Any, digits: int | None = None) -> str:
    """A number in the reader's language; whole ones without decimals."""
    if value is None:
        return "–"
    if digits is None:
        digits = 0 if value == int(value) else 1
    # number_format cuts off: 2.96 would become 2.9.
    return formats.number_format(round(value, digits), digits, use_l10n=True, force_grouping=True)


def money(amount: Decimal | None, currency: str = "EUR", digits: int = 2) -> str:
    """An amount as an invoice shows it."""
    if amount is None:
        return "–"
    rounded = Decimal(amount).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN)
    sign = "−" if rounded < 0 else ""
    figure = formats.number_format(abs(rounded), digits, use_l10n=True, force_grouping=True)
    return f"{sign}{_SYMBOLS.get(currency, currency + ' ')}{figure}"


def price(amount: Decimal | None, currency: str = "EUR") -> str:
    """A price per unit: as many decimals as it has, two at least and six at most."""
    if amount is None:
        return "–"
    exact = Decimal(amount).quantize(Decimal("0.000001")).normalize()
    exponent = exact.as_tuple().exponent
    return money(exact, currency, max(2, -exponent if isinstance(exponent, int) else 2))


def size(count: float | None, start: str = "B") -> str:
    """An amount of memory or disk, given in `start` units (B, MiB, GiB)."""
    if count is None:
        return "–"
    at, value = _UNITS.index(start), float(count)
    while value >= 1024 and at < len(_UNITS) - 1:
        value, at = value / 1024, at + 1
    return f"{number(round(value, 1))} {_UNITS[at]}"


def duration(length: timedelta | float | None) -> str:
    """A length of time in its two largest units."""
    if length is None:
        return "–"
    seconds = length.total_seconds() if isinstance(length, timedelta) else float(length)
    if seconds < 60:
        return _("%(n)s s") % {"n": number(round(seconds, 1 if seconds < 10 else 0))}
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if minutes < 60:
        return _("%(n)s min") % {"n": minutes}
    if hours < 48:
        return (
            _("%(h)s h %(m)s min") % {"h": hours, "m": minutes % 60}
            if hours < 10
            else _("%(h)s h") % {"h": hours}
        )
    return ngettext("%(n)s d", "%(n)s d", days) % {"n": days}


def ago(moment: datetime | None) -> str:
    """How long ago, in one unit; what lies ahead is said with “in”."""
    if moment is None:
        return "–"
    passed = (timezone.now() - moment).total_seconds()
    if passed < 0:
        return _("in %(time)s") % {"time": duration(-passed)}
    return _("now") if passed < 5 else duration(passed)


def when(moment: datetime | None) -> SafeString:
    """A relative time whose exact value is in the title."""
    if moment is None:
        return NONE
    exact = formats.date_format(timezone.localtime(moment), "DATETIME_FORMAT")
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, ago(moment))


def exact(moment: datetime | None) -> SafeString:
    """A time to the second, in the reader's zone."""
    if moment is None:
        return NONE
    local = timezone.localtime(moment)
    clock = f"{formats.date_format(local)} {local:%H:%M:%S %Z}"
    return format_html('<time datetime="{}">{}</time>', moment.isoformat(), clock)


def day(moment: datetime | None) -> SafeString:
    """A day (UTC), as documents say it; its exact time is in the title."""
    if moment is None:
        return NONE
    day, clock = f"{moment.astimezone(UTC):%Y-%m-%d}", f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), clock, day)


def yes_no(value: bool, yes: object = "", no: object = "") -> SafeString:
    return status("on", yes or _("Yes")) if value else muted(no or _("No"))


def copy(value: object) -> SafeString:
    """A value with a button that copies it."""
    return format_html(
        '<span class="copy"><code>{}</code><ui-copy value="{}" data-done="{}"><button type="button" '
        'class="btn btn-ghost btn-sm">{}</button></ui-copy></span>',
        value, value, _("Copied"), _("Copy"),
    )  # fmt: skip
