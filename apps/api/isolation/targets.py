"""What a principal asks a route for: its own, somebody else's, and what never was."""

from collections.abc import Iterator

from apps.api.isolation import specimens
from apps.api.isolation.principals import NOBODY, Principal, World
from apps.api.isolation.routes import Route, routes
from apps.api.isolation.specimens import Owner

PLACE = frozenset({"team", "workspace", "region"})
Values = dict[str, str]


class Targets:
    """The values of an address's variables, by what they stand for.

    `guarded` limits foreign things to tables of these names: those that the database itself guards, and of
    their rows to those that it does not show to everybody.
    """

    def __init__(self, world: World, guarded: frozenset[str] | None = None):
        self.world = world
        self.guarded = guarded
        self._nouns = {"activity": "op"} | {
            one.noun: str(one.view.id_prefix) for one in routes() if one.face == "api"
        }
        self._known: dict[tuple[str, Owner], str | None] = {}

    def of(self, principal: Principal, route: Route, *, places: bool = True) -> Iterator[tuple[str, Values]]:
        place, ids = self._place(principal, route), self.prefixes(route)
        own = {name: self._own(principal, route, prefix) for name, prefix in ids.items()}
        yield "own", place | self._filled(own, ids)
        if principal.dead or not self.is_at_home(principal, route):
            return
        foreign = {name: self._foreign(principal, prefix) for name, prefix in ids.items()}
        if any(foreign.values()):
            yield "foreign", place | self._filled(foreign, ids)
            yield "missing", place | self._filled({}, ids)
        if len(ids) > 1 and foreign.get("id"):
            parents = self._filled({**own, "id": None}, ids)
            yield "foreign child", place | parents | {"id": str(foreign["id"])}
            yield "missing child", place | parents
        if place and places:
            there = self._filled(foreign, ids)
            if principal.kind != "platform":
                yield "foreign place", self._place(principal, route, other=True) | there
            yield "missing place", dict.fromkeys(place, specimens.NOWHERE) | there

    def is_at_home(self, principal: Principal, route: Route) -> bool:
        """Whether the principal's kind may pass the gate of the route's face at all."""
        kinds = {"platform", "region"} if principal.kind == "platform" else {principal.kind}
        is_somebody = principal.kind != "node"  # a host is nobody in person
        return route.scope_kind in kinds or (is_somebody and route.scope_kind == "person")

    def has_own(self, principal: Principal, route: Route) -> bool:
        """Whether there is something of its own to ask for."""
        return all(self._own(principal, route, prefix) for prefix in self.prefixes(route).values())

    def prefixes(self, route: Route) -> dict[str, str]:
        """The variables that are ids, with the prefix each takes."""
        if route.face == "api":
            known = {**route.view.parents, "id": str(route.view.id_prefix)}
        else:
            known = {"pk": self._nouns.get(route.noun, "")}
        return {name: known.get(name, "") for name in route.variables if name not in PLACE}

    def _filled(self, found: dict[str, str | None], ids: dict[str, str]) -> Values:
        return {name: found.get(name) or specimens.missing(prefix or "x") for name, prefix in ids.items()}

    def _place(self, principal: Principal, route: Route, *, other: bool = False) -> Values:
        owner = principal.others if other else principal.home
        place: Values = {}
        if "team" in route.variables:
            team = owner.team or (self.world.theirs if other else self.world.ours)
            workspace = team.workspaces.order_by("created_at").first()
            assert workspace is not None
            place = {"team": team.slug, "workspace": workspace.slug}
        if "region" in route.variables:
            region = owner.region or (self.world.there if other else self.world.here)
            place["region"] = region.slug
        return place

    def _own(self, principal: Principal, route: Route, prefix: str) -> str | None:
        if principal.kind == "platform" and route.scope_kind == "region":
            # In a region the platform's staff sees what that region's staff sees.
            return self._specimen(prefix, Owner(region=self.world.here)) or specimens.anyones(prefix)
        found = self._specimen(prefix, principal.home)
        if (found is None and principal.kind == "platform") or principal.home == NOBODY:
            found = self._specimen(prefix, Owner(self.world.ours, self.world.here))
        return found or specimens.anyones(prefix)

    def _foreign(self, principal: Principal, prefix: str) -> str | None:
        if principal.kind == "platform":
            return None
        if self.guarded is not None and specimens.table_of(prefix) not in self.guarded:
            return None
        if principal.workspace and specimens.has_workspace(prefix):
            return specimens.specimen(prefix, principal.home, outside=principal.workspace)
        found = self._specimen(prefix, principal.others)
        if found and self.guarded is not None and specimens.is_open(prefix, found):
            return None
        return found

    def _specimen(self, prefix: str, owner: Owner) -> str | None:
        key = (prefix, owner)
        if key not in self._known:
            self._known[key] = specimens.specimen(*key)
        return self._known[key]
