"""API keys as the Console and the Admin panel show them: listed, made, rotated, revoked; shown once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.clock import db_now
from apps.core.permissions import Permission
from apps.inference.selectors import limits as in_force
from apps.inference.services import limits
from apps.inference.specs import Limits
from apps.inference.states import LimitLevel
from apps.panels import permissions
from apps.panels.kit import (
    Action,
    Code,
    Column,
    Copies,
    Empty,
    Link,
    Note,
    Resource,
    SavedView,
    Section,
    cells,
    moment,
)
from apps.panels.kit.blocks import Block
from apps.panels.secrets import SecretPage
from apps.teams import services
from apps.teams.models import ApiKey, Team
from apps.teams.selectors import rows
from apps.teams.specs import KeyWish

ENDED = Q(revoked_at__isnull=False) | Q(expires_at__lte=Now())
LASTING = (("30", _("30 days")), ("90", _("90 days")), ("365", _("A year")), ("", _("No end")))
INFERENCE_FIELDS = ("models", "requests_per_minute", "tokens_per_day")
ACCESS = (
    ("models", _("Ask models, nothing else")),
    ("reading", _("Look at everything, change nothing")),
    ("all", _("Everything I may")),
    ("chosen", _("What I choose")),
)
TRIES = (  # what a new key may try first: permission, address, whose
    (Permission.INFERENCE_USE, "/v1/models"),
    (Permission.INSTANCE_READ, "/api/{audience}/v1/instances"),
    (Permission.OPERATION_READ, "/api/{audience}/v1/operations"),
    (Permission.REGION_READ, "/api/{audience}/v1/regions"),
)
OVERLAPS = (
    ("0", _("At once")),
    ("1", _("After an hour")),
    ("24", _("After a day")),
    ("168", _("After a week")),
)


def is_live(key: Any) -> bool:
    """As the list has annotated it, by the database's clock."""
    return bool(key.is_live)


def state_of(key: ApiKey) -> Any:
    if key.revoked_at:
        return cells.status("revoked", _("Revoked"), kind="off")
    return cells.status("active", _("Active")) if is_live(key) else cells.status("expired", _("Run out"))


REVOKE = Action(
    "revoke",
    _("Revoke"),
    Permission.API_KEY_READ,
    lambda view, key: services.revoke_api_key(actor=view.actor, key=key),
    icon="ban",
    when=is_live,
    confirm=_("Programs that use this key are refused from this moment. It cannot be undone."),
    danger=True,
    bulk=True,
    done=_("The key is revoked."),
)


class KeyList(Resource):
    title = _("API keys")
    permission = Permission.API_KEY_READ
    model = ApiKey
    order = "-created"
    search = ("name", "prefix", "user__email")
    search_hint = _("Search by name, beginning or owner")
    views = (
        SavedView("live", _("Active"), ~ENDED),
        SavedView("ended", _("Ended"), ENDED),
        SavedView("all", _("All")),
    )
    actions = (REVOKE,)
    links = (Link(_("Make a key"), "api-key-new", Permission.API_KEY_MANAGE),)
    empty = Empty(
        _("No API key yet"),
        _("Programs sign in with a key. It may do what you choose, and never more than you."),
        Link(_("Make a key"), "api-key-new", Permission.API_KEY_MANAGE),
        icon="key",
    )
    columns: ClassVar[Sequence[Column]] = (
        Column("name", _("Name"), sort="name", main=True, to="api-key"),
        Column("prefix", _("Begins with"), lambda key: cells.mono(f"{key.prefix}…"), mono=True),
        Column("state", _("State"), state_of, text=lambda key: "revoked" if key.revoked_at else ""),
        Column("user", _("Made by"), lambda key: key.user.label, sort="user__email", priority=2),
        Column("workspace", _("Workspace"), lambda key: key.workspace or _("All"), priority=3),
        Column(
            "scopes",
            _("Permissions"),
            lambda key: len(key.scopes),
            num=True,
            priority=3,
            text=lambda key: " ".join(key.scopes),
        ),
        moment("expires", _("Expires"), "expires_at", priority=2),
        moment("used", _("Last used"), "last_used_at", num=True),
        moment("created", _("Made"), "created_at", num=True, priority=3),
    )

    def rows(self) -> QuerySet[Any]:
        return keys_here(self)

    def refine(self, found: QuerySet[Any]) -> QuerySet[Any]:
        rows: QuerySet[Any] = found.annotate(is_live=~ENDED)
        return rows


def team_here(view: Any) -> Team | None:
    """The Console's team; staff keys have none."""
    team: Team | None = view.place.team
    return team


def keys_here(view: Any) -> QuerySet[Any]:
    team = team_here(view)
    return rows.api_keys(view.actor, team) if team else rows.staff_keys(view.actor)


class KeyPage(SecretPage):
    """A form that makes a key."""

    secret_title = _("Your new key")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("API keys")), self.url("api-keys"))]

    def revealed(self) -> Sequence[Block]:
        key, secret = self.issued.key, self.issued.secret
        blocks: list[Block] = [
            Note(_("Copy the key now. It is shown this once and kept nowhere."), "warn"),
            Copies(_("Your new key"), [(key.name, secret)]),
        ]
        if path := first_try(key):
            address = self.request.build_absolute_uri(path)
            curl = f'export HOSTEDAI_KEY=hai_live_…\ncurl -H "Authorization: Bearer $HOSTEDAI_KEY" {address}'
            blocks.append(Code("try", _("Try it"), [("curl", curl)]))
        return blocks


def first_try(key: ApiKey) -> str:
    """An address that this key may ask."""
    audience = "user" if key.team_id else "admin"
    return next((path.format(audience=audience) for need, path in TRIES if need in key.scopes), "")


class KeyFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("What uses it: “backup script”."))
    workspace = forms.ChoiceField(label=_("Workspace"), required=False)
    access = forms.ChoiceField(label=_("It may"), choices=ACCESS, widget=forms.RadioSelect)
    scopes = forms.MultipleChoiceField(
        label=_("One by one"), widget=forms.CheckboxSelectMultiple, required=False
    )
    lasting = forms.ChoiceField(label=_("Expires after"), choices=LASTING, required=False, initial="90")
    allowed_networks = forms.CharField(
        label=_("Only from"),
        required=False,
        help_text=_("Addresses or networks, separated by blanks; empty means from anywhere."),
    )

    models = forms.CharField(
        label=_("Models"),
        required=False,
        help_text=_("Names of models it may ask, separated by blanks; empty means all that the team may."),
    )
    requests_per_minute = forms.IntegerField(
        label=_("Requests per minute"), required=False, min_value=0, help_text=_("Empty: as usual.")
    )
    tokens_per_day = forms.IntegerField(
        label=_("Tokens per day"), required=False, min_value=0, help_text=_("Empty: as usual.")
    )

    def offer(self, held: frozenset[str]) -> None:
        """Let it choose among the permissions that its maker holds."""
        self.held = held
        self.fields["scopes"].choices = permissions.choices(held)  # type: ignore[attr-defined]
        offered = [one for one in ACCESS if one[0] != "models" or Permission.INFERENCE_USE in held]
        self.fields["access"].choices = offered  # type: ignore[attr-defined]
        self.fields["access"].initial = offered[0][0]
        usual = in_force.levels()[LimitLevel.KEY]
        for name in ("requests_per_minute", "tokens_per_day"):
            number = getattr(usual, name)
            shown = _("no limit") if number is None else cells.number(number)
            self.fields[name].help_text = _("Empty: as usual, %(number)s.") % {"number": shown}

    def clean(self) -> dict[str, Any]:
        """What was chosen in a word, as the permissions it stands for."""
        data: dict[str, Any] = super().clean() or {}
        chosen = {
            "models": {Permission.INFERENCE_USE.value},
            "reading": {one for one in self.held if one.endswith(":read")},
            "all": set(self.held),
        }.get(data.get("access", ""), set(data.get("scopes", ())))
        if not chosen and "scopes" not in self.errors:
            self.add_error("scopes", _("Choose what it may do."))
        return {**data, "scopes": chosen}

    def limits(self) -> Limits:
        data = self.cleaned_data
        return Limits(data.get("requests_per_minute"), data.get("tokens_per_day"))

    def wish(self) -> KeyWish:
        data = self.cleaned_data
        days = data["lasting"]
        return KeyWish(
            name=data["name"],
            scopes=frozenset(data["scopes"]),
            expires_at=db_now() + timedelta(days=int(days)) if days else None,
            allowed_networks=tuple(data["allowed_networks"].replace(",", " ").split()),
            models=tuple(data.get("models", "").replace(",", " ").split()),
        )


class KeyNew(KeyPage):
    title = _("Make an API key")
    permission = Permission.API_KEY_MANAGE
    form_class = KeyFields
    submit = _("Make the key")
    sections = (
        Section(
            _("Identity"), _("Who sees it in the audit log knows what it is for."), ("name", "workspace")
        ),
        Section(
            _("Permissions"), _("Never more than you hold yourself, now and later."), ("access", "scopes")
        ),
        Section(_("Limits"), _("A stolen key is worth less."), ("lasting", "allowed_networks")),
        Section(
            _("Inference"),
            _("What it may ask of models, within what its workspace and team may."),
            ("models", "requests_per_minute", "tokens_per_day"),
        ),
    )

    def initial(self) -> dict[str, Any]:
        """From an endpoint's page: a key for its model."""
        return {"models": self.request.GET.get("model", "")}

    def form(self, data: Any = None) -> forms.Form:
        form = super().form(data)
        team = team_here(self)
        held = rows.grantable(self.actor, team)
        if team is None:  # who pays for what it asks of models is a team
            held -= {Permission.INFERENCE_USE}
        form.offer(held)  # type: ignore[attr-defined]
        if team is None:
            for name in ("workspace", *INFERENCE_FIELDS):
                del form.fields[name]
        else:
            spaces = [(one.pk, one.name) for one in rows.workspaces(self.actor, team)]
            form.fields["workspace"].choices = [("", _("All")), *spaces]  # type: ignore[attr-defined]
        self.bound = form
        return form

    def save(self, data: dict[str, Any]) -> Any:
        chosen = data.get("workspace")
        self.issued = limits.create_key(
            actor=self.actor,
            team=team_here(self),
            wish=self.bound.wish(),  # type: ignore[attr-defined]
            limits=self.bound.limits(),  # type: ignore[attr-defined]
            workspace=rows.workspace(self.actor, chosen) if chosen else None,
        )
        return self.url("api-keys")


class RotateFields(forms.Form):
    overlap = forms.ChoiceField(label=_("The old key ends"), choices=OVERLAPS, initial="24")


class KeyRotate(KeyPage):
    """One key: what it may do, and a successor for it."""

    title = _("Rotate the key")
    permission = Permission.API_KEY_MANAGE
    form_class = RotateFields
    submit = _("Make the successor")
    sections = (
        Section(
            _("Overlap"),
            _("Both work until the old one ends, so that nothing breaks meanwhile."),
            ("overlap",),
        ),
    )

    @property
    def intro(self) -> Any:
        key = rows.api_key(self.actor, self.pk)
        return (
            f"{key.name} · {key.prefix}… · {', '.join(str(permissions.name_of(one)) for one in key.scopes)}"
        )

    def save(self, data: dict[str, Any]) -> Any:
        key = rows.api_key(self.actor, self.pk)
        hours = timedelta(hours=int(data["overlap"]))
        self.issued = services.rotate_api_key(actor=self.actor, key=key, overlap=hours)
        return self.url("api-keys")
