"""Where a page stands: which panel, whose rows, and where its links lead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from apps.core.actor import PLATFORM, Actor, Scope, region_scope
from apps.core.permissions import Permission
from apps.regions.models import Region
from apps.teams.models import Team, Workspace

One = TypeVar("One", bound=Workspace | Region)
ADDRESS_PARTS = ("team", "workspace", "region")
PARTS = {"console": ("team", "workspace"), "cluster": ("region",), "admin": ()}  # of each panel's addresses


@dataclass(frozen=True)
class Place:
    """One panel as one person sees it. `workspaces` and `regions` are those the person may go to."""

    panel: str
    scope: Scope
    team: Team | None = None
    workspace: Workspace | None = None
    region: Region | None = None
    workspaces: tuple[Workspace, ...] = ()
    regions: tuple[Region, ...] = ()
    address: dict[str, str] = field(default_factory=dict)

    def url(self, name: str, **kwargs: Any) -> str:
        """The address of a page of this panel, with the scope in it."""
        return reverse(f"{self.panel}:{name}", kwargs={**self.address, **kwargs})

    @property
    def query(self) -> str:
        """This place in a query string, for the palette and the live stream."""
        return urlencode({"panel": self.panel, **self.address})

    def narrow(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Of rows already visible to the actor, those that belong to this place."""
        kind = type(rows)
        if self.panel == "admin":
            return rows
        if self.region is not None:
            return rows.filter(**{self._path(kind, "region_path"): self.region.pk})
        assert self.team is not None
        assert self.workspace is not None
        rows = rows.filter(**{self._path(kind, "team_path"): self.team.pk})
        within = getattr(kind, "workspace_path", None)
        return rows.filter(**{within: self.workspace.pk}) if within else rows

    def _path(self, kind: type, name: str) -> str:
        path = getattr(kind, name, None)
        if not path:
            raise ImproperlyConfigured(
                f"{kind.__name__} has no {name}: override rows() with a scoped selector."
            )
        return str(path)


def place_of_query(request: Any) -> Place:
    """The place that a query string names (`Place.query`), or 404."""
    panel = request.GET.get("panel", "")
    wanted = PARTS.get(panel)
    if wanted is None:
        raise Http404(_("There is no such page."))
    return place_for(panel, request.actor, {part: request.GET.get(part, "") for part in wanted})


def place_for(panel: str, actor: Actor, address: dict[str, str]) -> Place:
    """The place at an address, or 404 when the actor has no role there."""
    return place_in(bare_place(actor), panel, actor, address)


def bare_place(actor: Actor) -> Place:
    """No place yet, but all that the actor may open."""
    return Place("", PLATFORM, workspaces=workspaces_of(actor), regions=regions_of(actor))


def place_in(bare: Place, panel: str, actor: Actor, address: dict[str, str]) -> Place:
    """Of what the actor may open, the place at an address; 404 when it is not among it."""
    if panel == "admin" and actor.is_staff:
        return replace(bare, panel="admin")
    if panel == "cluster":
        slug = address["region"]
        own = next((one for one in bare.regions if one.slug == slug), None)
        region = own or every_region(actor).filter(slug=slug).first()
        if region is not None:
            scope = region_scope(region.pk)
            return replace(bare, panel="cluster", scope=scope, region=region, address=address)
    if panel == "console":
        for one in bare.workspaces:
            if (one.team.slug, one.slug) == (address["team"], address["workspace"]):
                found = replace(bare, panel="console", scope=one.team.scope, address=address)
                return replace(found, team=one.team, workspace=one)
    raise Http404(_("There is no such page."))


def workspaces_of(actor: Actor) -> tuple[Workspace, ...]:
    teams = actor.ids("team")
    if not teams:
        return ()
    found = Workspace.objects.filter(team__in=sorted(teams)).select_related("team")
    return tuple(found.order_by("team__name", "created_at", "pk"))


def regions_of(actor: Actor) -> tuple[Region, ...]:
    """Those in which the actor has a role."""
    held = actor.ids("region")
    if not held:
        return ()
    regions = Region.objects.order_by("slug")
    return tuple(regions.filter(pk__in=sorted(held)))


def every_region(actor: Actor) -> QuerySet[Region]:
    """All of them for whoever sees regions everywhere; none for others."""
    return Region.objects.order_by("slug") if _sees_every_region(actor) else Region.objects.none()


def _sees_every_region(actor: Actor) -> bool:
    return Permission.REGION_READ in actor.grants.get(PLATFORM, ())


def address_of(one: Workspace | Region) -> dict[str, str]:
    """What stands in the address of a workspace's or a region's pages."""
    if isinstance(one, Region):
        return {"region": one.slug}
    return {"team": one.team.slug, "workspace": one.slug}


def remember(response: HttpResponse, place: Place) -> None:
    """Keep in the browser where in its panel the person was last."""
    if place.address:
        kept = "/".join(place.address.values())
        response.set_cookie(
            f"last_{place.panel}",
            kept,
            max_age=365 * 86_400,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
        )


def last_or_first(found: Sequence[One], kept: str) -> One:
    """Of these, the one the person was at last, if it is still among them."""
    return next((one for one in found if "/".join(address_of(one).values()) == kept), found[0])


def panels_of(place: Place, actor: Actor, cookies: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    """Each panel the actor may open: key, name, a line about it, address."""
    found = []
    if place.workspaces:
        first = place.workspace or last_or_first(place.workspaces, cookies.get("last_console", ""))
        address = address_of(first)
        found.append(("console", _("Console"), first.team.name, reverse("console:home", kwargs=address)))
    if actor.is_staff:
        found.append(("admin", _("Admin"), _("All regions"), reverse("admin:home")))
    here = (place.region,) if place.region and place.region not in place.regions else ()
    for region in (*place.regions, *here):
        home = reverse("cluster:home", kwargs={"region": region.slug})
        found.append(("cluster", region.slug, region.name, home))
    if not (place.regions or here) and _sees_every_region(actor):
        found.append(("cluster", _("Cluster"), _("One region"), reverse("cluster")))
    return found
