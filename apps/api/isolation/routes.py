"""Every address of the installation, with what it asks of its caller: read from the URL map itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from apps.api.base import ApiViewSet
from apps.core.permissions import Permission

# What anybody may ask for; everything else must declare a permission.
PUBLIC = re.compile(
    r"/health|/readiness|/metrics|/status|/agent/hostedai-agent\.pyz|/accounts/.*|/static/.*"
    r"|/api/(user|admin|cluster|agent)/v1/(openapi\.json|docs)|/api/"
)
# These ask no permission because they answer by who asks, and gate each thing they name by its own.
BY_CALLER = re.compile(r"/|/(console|cluster)/|/events|/palette|/tasks|/account(/.*)?|/invitations/{token}")
# The signature on what is sent there is the permission to send it.
BY_SIGNATURE = re.compile(r"/webhooks/stripe")
WRITING = frozenset({"post", "put", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Route:
    """One address and method. `template` has its variables in braces."""

    face: str
    audience: str
    template: str
    method: str
    action: str
    view: Any

    @property
    def permission(self) -> Permission | None:
        if self.face == "api":
            found: Permission | None = self.view.calls[self.action].permission
            return found
        panel: Permission = self.view.permission
        return panel

    @property
    def scope_kind(self) -> str:
        panels = {"console": "team", "admin": "platform", "cluster": "region"}
        return str(self.view.scope_kind) if self.face == "api" else panels[self.audience]

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(re.findall(r"{(\w+)}", self.template))

    @property
    def noun(self) -> str:
        """What stands before the first id: the same word in the panels and the APIs."""
        return self.template.partition("/{id}")[0].partition("/{pk}")[0].rpartition("/")[2]

    @property
    def is_writing(self) -> bool:
        return self.method in WRITING

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.template}"

    def at(self, **values: str) -> str:
        return self.template.format(**values)


def addresses() -> Iterator[tuple[str, Any]]:
    """Every address as a template, with the view behind it."""
    yield from _walk(get_resolver().url_patterns, "/")


def routes() -> list[Route]:
    """All routes of the APIs and the panels that declare what they need."""
    found: list[Route] = []
    for template, view in addresses():
        if issubclass(getattr(view, "cls", object), ApiViewSet):
            audience = view.cls.audience
            found += [
                Route("api", audience, template, method, action, view.cls)
                for method, action in view.actions.items()
                if method != "head"
            ]
        elif isinstance(getattr(getattr(view, "view_class", None), "permission", None), Permission):
            found += _panel_routes(template, view.view_class)
    return sorted(found, key=lambda one: (one.template, one.method))


def undeclared() -> list[str]:
    """Addresses that are neither public by name nor declare a permission."""
    declared = {one.template for one in routes()}
    known = (PUBLIC, BY_CALLER, BY_SIGNATURE)
    return sorted(
        template
        for template, _view in addresses()
        if template not in declared and not any(one.fullmatch(template) for one in known)
    )


def _panel_routes(template: str, view: Any) -> list[Route]:
    methods = [one for one in ("get", "post") if hasattr(view, one)]
    return [Route("panel", view.panel, template, method, method, view) for method in methods]


def _walk(patterns: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for one in patterns:
        here = prefix + _template(str(one.pattern))
        if isinstance(one, URLResolver):
            yield from _walk(one.url_patterns, here)
        elif isinstance(one, URLPattern):
            yield here, one.callback


def _template(pattern: str) -> str:
    text = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", r"{\1}", pattern)
    text = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", text)
    return text.lstrip("^").removesuffix(r"\Z").removesuffix("$").replace("\\", "")
