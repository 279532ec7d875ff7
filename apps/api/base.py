"""What every noun of the three APIs stands on: an audience, a scope, and one declared call per route."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from http import HTTPStatus
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import Model, QuerySet
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from apps.api import idempotency, throttling
from apps.api.auth import AdminKeyAuthentication, BrowserAuthentication, KeyAuthentication
from apps.api.errors import PreconditionFailed, handle
from apps.api.fields import In, read_id
from apps.api.pagination import PARAMETERS, paginate
from apps.api.parsers import StrictJSONParser, as_mapping, check_address
from apps.api.rendering import Renderer
from apps.api.schema import CallSchema
from apps.core import tenancy
from apps.core.actor import PLATFORM, Actor, Scope, region_scope, team_scope
from apps.core.errors import Invalid, NotFound, NotPermitted
from apps.core.permissions import Permission
from apps.regions.models import Region
from apps.teams.models import Team
from apps.teams.selectors.rows import team_of

STANDARD = ("list", "create", "retrieve", "update", "partial_update", "destroy")
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})

Serializer = serializers.BaseSerializer[Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One route: what the caller must hold, what it takes, what it gives.

    `permission` None means that being signed in is enough: only for what is the caller's own.
    `own_errors` are statuses beyond the usual ones, for the documentation.
    """

    permission: Permission | None
    gives: type[Serializer] | None = None
    takes: type[In] | None = None
    status: int = HTTPStatus.OK
    summary: str = ""
    own_errors: tuple[int, ...] = ()
    many: bool = False


class ApiViewSet(ViewSet):
    """A noun. Subclass `TeamViewSet`, `PersonViewSet`, `PlatformViewSet` or `RegionViewSet`."""

    audience: ClassVar[str]
    scope_kind: ClassVar[str]
    calls: ClassVar[Mapping[str, Call]] = {}
    filters: ClassVar[Any] = None
    id_prefix: ClassVar[str] = ""
    parents: ClassVar[Mapping[str, str]] = {}  # other ids in the address: variable to prefix
    newest_first: ClassVar[bool] = True
    called: ClassVar[Mapping[str, str]] = {}  # fields that callers know by another name than we do
    scope_parameters: ClassVar[frozenset[str]] = frozenset()

    authentication_classes: Any = (KeyAuthentication, BrowserAuthentication)
    permission_classes: Any = ()
    renderer_classes: Any = (Renderer,)
    parser_classes: Any = (StrictJSONParser,)
    metadata_class = None
    schema: Any = CallSchema()
    lookup_field = "id"
    lookup_value_regex = "[^/]+"

    actor: Actor
    scope: Scope
    _allowance: throttling.Allowance | None = None

    def __init_subclass__(cls, *, abstract: bool = False, **options: Any) -> None:
        """A route without a declared call, or a call without a route, does not even import."""
        super().__init_subclass__(**options)
        if abstract:
            return
        routes = {name for name in STANDARD if hasattr(cls, name)}
        routes |= {name for name in dir(cls) if hasattr(getattr(cls, name, None), "mapping")}
        if routes and not (hasattr(cls, "audience") and hasattr(cls, "scope_kind")):
            raise TypeError(f"{cls.__name__} has no audience")
        if routes != set(cls.calls):
            raise TypeError(f"{cls.__name__}: routes and calls differ in {sorted(routes ^ set(cls.calls))}")

    # ------------------------------------------------------------ before the handler

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        check_address(request._request)
        super().initial(request, *args, **kwargs)
        if request.method in UNSAFE:
            self._wrap(request)

    def perform_authentication(self, request: Request) -> None:
        """Who asks; guesses at keys are counted by address."""
        try:
            super().perform_authentication(request)
        except exceptions.AuthenticationFailed:
            throttling.take_unknown(request.META.get("REMOTE_ADDR"))
            raise

    def check_permissions(self, request: Request) -> None:
        """The audience's gate, then the call's permission in that scope."""
        caller = request.auth
        if not isinstance(caller, Actor):
            throttling.take_unknown(request.META.get("REMOTE_ADDR"))
            raise exceptions.NotAuthenticated()
        by = caller.key_id or caller.user_id or next(iter(caller.ids("node")), caller.label)
        self._allowance = throttling.take(by)
        self.scope = self.find_scope(caller)
        self.actor = narrow(caller, self.scope)
        if self.actor.grants != caller.grants:  # else the connection sees just that already
            tenancy.enter(self.actor)
        call = self.calls.get(self.action or "")
        if call and call.permission:
            self.actor.require(call.permission, self.scope)

    def find_scope(self, caller: Actor) -> Scope:
        """Where this request happens; raises NotFound or NotPermitted for those who have no place there."""
        raise NotImplementedError

    def get_exception_handler(self) -> Callable[..., Response]:
        return handle

    def _wrap(self, request: Request) -> None:
        """Make the handler repeatable (POST), or one transaction with its precondition (If-Match)."""
        name = str(request.method).lower()
        handler = getattr(self, name, None)
        if handler is None or not self.action:
            return
        if request.method == "POST" and idempotency.HEADER in request.headers:
            where = f"{self.audience}:{self.scope.kind}:{self.scope.id}"
            setattr(self, name, idempotency.once(handler, actor=self.actor, scope=where))
        elif "If-Match" in request.headers:
            setattr(self, name, transaction.atomic(handler))

    # ------------------------------------------------------------ for handlers

    @property
    def call(self) -> Call:
        return self.calls[str(self.action)]

    def body(self) -> dict[str, Any]:
        """The validated request body of this call."""
        takes = self.call.takes
        assert takes is not None, f"{self.action} takes no body"
        given = takes(data=as_mapping(self.request.data), context=self.context())
        given.is_valid(raise_exception=True)
        return dict(given.validated_data)

    def id_of(self, prefix: str, text: str) -> str:
        """An id from the address in canonical form; what is not one is not there."""
        found = read_id(prefix, text)
        if found is None:
            raise NotFound("malformed id")
        return found

    def context(self) -> dict[str, Any]:
        return {"request": self.request, "view": self, "actor": self.actor}

    def render(self, row: Any) -> Any:
        gives = self.call.gives
        return None if gives is None else gives(row, context=self.context()).data

    def answer(self, row: Any = None) -> Response:
        """The row as this call gives it, with its ETag; 304 when the caller has it already."""
        data = self.render(row) if row is not None else None
        response = Response(data, status=self.call.status)
        if (
            data is not None
            and "id" in self.kwargs
            and self.request.method in {"GET", "HEAD", "PUT", "PATCH"}
        ):
            tag = etag(data)
            if self.request.method != "PATCH" and tag in _tags(self.request.headers.get("If-None-Match", "")):
                response = Response(status=HTTPStatus.NOT_MODIFIED)
            response.headers["ETag"] = tag
        return response

    def unchanged(self, row: Model) -> Any:
        """The row, locked and compared with the caller's `If-Match`; PreconditionFailed when it moved on."""
        wanted = self.request.headers.get("If-Match")
        if wanted is None or wanted.strip() == "*":
            return row
        type(row)._base_manager.select_for_update(of=("self",)).filter(pk=row.pk).first()
        row.refresh_from_db()
        shown = self.calls["retrieve"].gives
        assert shown is not None
        if etag(shown(row, context=self.context()).data) not in _tags(wanted):
            raise PreconditionFailed(_("It has changed since you read it."))
        return row

    def filtered(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The queryset under the declared filters; unknown or malformed parameters are refused."""
        given = self.request.query_params
        known = set(self.filters.base_filters) if self.filters else set()
        if unknown := sorted(set(given) - known - PARAMETERS - self.scope_parameters):
            message = _("There is no parameter %(name)s.") % {"name": unknown[0]}
            raise Invalid(message, field=unknown[0], code="unknown_parameter")
        if self.filters is None:
            return queryset
        chosen = self.filters(data=given, queryset=queryset, request=self.request)
        if not chosen.form.is_valid():
            raise exceptions.ValidationError({name: list(why) for name, why in chosen.form.errors.items()})
        return chosen.qs  # type: ignore[no-any-return]

    def page(
        self,
        queryset: QuerySet[Any],
        *,
        columns: Sequence[str] = (),
        as_item: Callable[[Any], Any] | None = None,
    ) -> Response:
        """One page of the filtered queryset.

        For long lists: `columns` are all that is read, `as_item` makes an item of them without a serializer.
        """
        given = self.request.query_params
        found = paginate(self.filtered(queryset), given, newest_first=self.newest_first, columns=columns)
        if as_item is not None:
            items: Any = [as_item(row) for row in found.rows]
        else:
            gives: Any = self.call.gives
            items = gives(found.rows, many=True, context=self.context()).data
        return Response({"items": items, "next_cursor": found.next_cursor})

    # ------------------------------------------------------------ after the handler

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer = super().finalize_response(request, response, *args, **kwargs)
        if self._allowance is not None:
            for name, value in self._allowance.headers().items():
                answer.headers[name] = value
        if "Cache-Control" not in answer.headers:
            patch_cache_control(answer, private=True, no_cache=True)
        return answer


class TeamViewSet(ApiViewSet):
    """User API, inside one team: the key's, or the one that `?team=` names for a browser."""

    audience = "user"
    scope_kind = "team"
    scope_parameters = frozenset({"team"})

    def find_scope(self, caller: Actor) -> Scope:
        mine = caller.ids("team")
        if asked := self.request.query_params.get("team"):
            return team_scope(_team_id(asked, mine))
        if not mine:
            raise NotPermitted(_("You are in no team, or this key is not a team's."), code="no_team")
        if len(mine) > 1:
            raise Invalid(_("Say which team: `?team=<address>`."), field="team", code="team_required")
        return team_scope(next(iter(mine)))

    @cached_property
    def team(self) -> Team:
        return team_of(self.scope)


class PersonViewSet(ApiViewSet):
    """User API, about the caller: profile, SSH keys, teams. Grants stay as they are."""

    audience = "user"
    scope_kind = "person"
    scope_parameters = frozenset({"team"})

    def find_scope(self, caller: Actor) -> Scope:
        return Scope("person", str(caller.user_id))


class PlatformViewSet(ApiViewSet):
    """Admin API: whoever holds a platform role."""

    audience = "admin"
    scope_kind = "platform"
    authentication_classes: Any = (AdminKeyAuthentication, BrowserAuthentication)

    def find_scope(self, caller: Actor) -> Scope:
        if not caller.is_staff:
            raise NotPermitted(_("This API is for the platform's staff."), code="not_staff")
        return PLATFORM


class RegionViewSet(ApiViewSet):
    """Cluster API: whoever holds a role in the region of the address, or one on the platform."""

    audience = "cluster"
    scope_kind = "region"
    region_slug: str

    def dispatch(self, request: Any, *args: Any, region: str = "", **kwargs: Any) -> Any:
        self.region_slug = region
        return super().dispatch(request, *args, **kwargs)

    def find_scope(self, caller: Actor) -> Scope:
        mine = caller.ids("region")
        if not mine and not caller.is_staff:
            raise NotPermitted(_("This API is for the staff of regions."), code="not_staff")
        if self.region.pk not in mine and not caller.is_staff:
            raise NotFound("not your region")
        return region_scope(self.region.pk)

    @cached_property
    def region(self) -> Region:
        found: Region | None = Region.objects.filter(slug=self.region_slug).first()
        if found is None:
            raise NotFound("no such region")
        return found


def narrow(caller: Actor, scope: Scope) -> Actor:
    """The caller with nothing but what it holds in the scope, so that no list can reach beyond it.

    What it holds on the platform it holds in each region, but not in teams.
    """
    if scope.kind == "person":
        return caller
    held = caller.grants.get(scope, frozenset())
    if scope.kind == "region":
        held |= caller.grants.get(PLATFORM, frozenset())
    return replace(caller, grants={scope: held})


def etag(data: Any) -> str:
    """Changes whenever what the caller sees does."""
    return f'"{hashlib.sha256(Renderer().render(data)).hexdigest()[:32]}"'


def _tags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}


def _team_id(asked: str, mine: frozenset[str]) -> str:
    """The id behind an address or an id, when the caller is in that team; otherwise there is none."""
    found = read_id("team", asked)
    if found is None:
        found = Team.objects.filter(slug=asked[:64]).values_list("pk", flat=True).first()
    if found not in mine:
        raise NotFound("not your team")
    return str(found)
