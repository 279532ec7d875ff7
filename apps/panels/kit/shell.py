"""What stands around each page: navigation, switchers, balance, theme."""

from collections.abc import Sequence
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.billing.models import Wallet
from apps.billing.selectors import wallets
from apps.core.actor import Actor
from apps.core.permissions import Permission
from apps.panels.kit import cells, nav
from apps.panels.kit.columns import Link
from apps.panels.kit.places import Place, panels_of

THEMES = ("light", "dark")
PANEL_NAMES = {"console": "Console", "admin": "Admin", "cluster": "Cluster"}


def context(view: Any) -> dict[str, Any]:
    """Everything base.html needs for a page of a panel."""
    place: Place = view.place
    here = view.nav or view.request.resolver_match.url_name
    return {
        "place": place,
        "panel": place.panel,
        "panel_name": place.region.slug if place.region else _(PANEL_NAMES[place.panel]),
        "panels": panels_of(place, view.actor, view.request.COOKIES),
        "nav_groups": nav.groups(place, view.actor, here),
        "theme": theme(view.request),
        "banner": _banner(view),
        "balance": _balance(view),
        "account_links": account_links(),
    }


def theme(request: Any) -> str:
    """The theme of the cookie; empty follows the system."""
    chosen = request.COOKIES.get("theme", "")
    return chosen if chosen in THEMES else "auto"


def links(view: Any, declared: Sequence[Link]) -> list[dict[str, Any]]:
    """The declared links that one may follow and that lead somewhere."""
    found = []
    for one in declared:
        address = address_of(view, one)
        if address:
            found.append({"label": one.label, "icon": one.icon, "primary": one.primary, "url": address})
    return found


def address_of(view: Any, one: Link) -> str:
    """Where a link leads, or nothing: a route of the panel, of the page's own object, or a plain address."""
    if one.permission is not None and not view.can(one.permission):
        return ""
    own = {"pk": view.kwargs["pk"]} if "pk" in view.kwargs else {}
    for kwargs in (own, {}):
        try:
            return str(view.url(one.name, **kwargs))
        except NoReverseMatch:
            continue
    return ""


ACCOUNT = (
    ("account-profile", gettext_lazy("Profile")),
    ("account-security", gettext_lazy("Security")),
    ("account_email", gettext_lazy("E-mail addresses")),
    ("account_change_password", gettext_lazy("Password")),
    ("mfa_index", gettext_lazy("Two-factor sign-in")),
)


def account_links() -> list[tuple[Any, str]]:
    """The pages about oneself that exist."""
    found = []
    for name, label in ACCOUNT:
        try:
            found.append((label, reverse(name)))
        except NoReverseMatch:
            continue
    return found


def link(place: Place, name: str) -> str:
    """The address of a page of the panel, or nothing where it has none."""
    try:
        return place.url(name)
    except NoReverseMatch:
        return ""


def _banner(view: Any) -> str:
    team = view.place.team
    if team is not None and team.state == "suspended":
        return _("This team is suspended: nothing can be started or changed.")
    region = view.place.region
    if region is not None and getattr(region, "frozen_at", None):
        return _("The brake of this region is on: the platform touches no machine until it is released.")
    return ""


def wallet_of(place: Place, actor: Actor) -> Wallet | None:
    """The wallet of the place's team and what burns there, for those who may see it."""
    if place.team is None or not actor.can(Permission.BILLING_READ, place.scope):
        return None
    return wallets.look_at(actor=actor, team_id=place.team.pk)


def _balance(view: Any) -> dict[str, str] | None:
    if view.wallet is None:
        return None
    text = cells.money(view.wallet.balance, view.wallet.currency)
    return {"url": link(view.place, "billing"), "text": text}
