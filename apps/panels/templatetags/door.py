"""What the pages at the door and about oneself need: navigation, and forms in our clothes."""

from typing import Any

from django import forms, template

from apps.panels.kit.forms import dress
from apps.panels.kit.shell import account_links, theme

register = template.Library()


@register.filter
def dressed(form: forms.Form) -> forms.Form:
    """The form with the design system's classes; `unlabeled` placeholders go, since fields have labels."""
    for field in form.fields.values():
        field.widget.attrs.pop("placeholder", None)
    return dress(form)


_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


@register.filter
def browser(agent: str) -> str:
    """What a browser says it is, in words; as it stands when it says nothing we know."""
    name = next((name for mark, name in _BROWSERS if mark in agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    return f"{name} · {system}".strip(" ·") if name else agent[:60]


@register.simple_tag(takes_context=True)
def account_nav(context: template.Context) -> list[tuple[Any, str, bool]]:
    """The pages about oneself, and which of them this is."""
    path = context["request"].path
    links = account_links()
    best = max((url for _label, url in links if path.startswith(url)), key=len, default="")
    return [(label, url, url == best) for label, url in links]


@register.simple_tag(takes_context=True)
def theme_of_request(context: template.Context) -> str:
    return theme(context["request"])
