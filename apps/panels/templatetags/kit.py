"""Tags and filters of the panels' templates."""

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.forms import BoundField, CheckboxInput, CheckboxSelectMultiple, RadioSelect, Textarea
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from apps.panels.kit import cells

register = template.Library()

register.simple_tag(cells.icon, name="icon")
register.simple_tag(cells.pips, name="pips")
register.simple_tag(cells.bar, name="bar")
register.simple_tag(cells.status, name="status")
register.filter("when", cells.when)
register.filter("exact", cells.exact)
register.filter("duration", cells.duration)
register.filter("number", cells.number)


@register.filter
def money(amount: Decimal | None, currency: str = "EUR") -> str:
    return cells.money(amount, currency)


@register.filter
def price(amount: Decimal | None, currency: str = "EUR") -> str:
    return cells.price(amount, currency)


@register.filter
def as_json(value: Any) -> SafeString:
    """JSON for an attribute in single quotes; nothing in it can end the attribute."""
    text = json.dumps(value, separators=(",", ":"))
    for sign, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("'", "\\u0027")):
        text = text.replace(sign, escaped)
    return mark_safe(text)  # noqa: S308 - escaped above


@register.filter
def moment(seconds: float) -> datetime:
    """Unix seconds as a local time."""
    return timezone.localtime(datetime.fromtimestamp(seconds, tz=timezone.get_default_timezone()))


@register.filter
def kind(field: BoundField) -> str:
    """How a field is laid out: hidden, switch, choices, wide or plain."""
    widget = field.field.widget
    if field.is_hidden:
        return "hidden"
    if isinstance(widget, RadioSelect | CheckboxSelectMultiple):
        return "choices"
    if isinstance(widget, CheckboxInput):
        return "switch"
    return "wide" if isinstance(widget, Textarea) else "plain"


@register.filter
def grouped(field: BoundField) -> list[tuple[Any, list[Any]]]:
    """A field's options by the group that they are declared in; those in none have "" for it."""
    options = iter(field)
    found: list[tuple[Any, list[Any]]] = []
    for label, inner in field.field.choices:  # type: ignore[attr-defined]
        if isinstance(inner, list | tuple):
            found.append((label, [next(options) for _one in inner]))
        elif found and not found[-1][0]:
            found[-1][1].append(next(options))
        else:
            found.append(("", [next(options)]))
    return found


@register.filter
def initials(user: Any) -> str:
    words = str(getattr(user, "label", user)).replace("@", " ").replace(".", " ").split()
    return "".join(word[0] for word in words[:2]).upper() or "?"
