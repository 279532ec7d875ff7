"""Things to ask for: one of ours, one of theirs, one that never was; found by the prefix of its id."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from django.apps import apps
from django.db.models import Model, Q

from apps.api.fields import read_id
from apps.core.actor import ANONYMOUS
from apps.core.ids import IdField, new_id
from apps.core.tenancy import TenantQuerySet, as_actor
from apps.regions.models import Region
from apps.teams.models import Team
from apps.users.models import User

NOWHERE = "no-such-place"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose things are looked for: a team's, a region's or a person's."""

    team: Team | None = None
    region: Region | None = None
    user: User | None = None


@cache
def models_by_prefix() -> dict[str, type[Model]]:
    return {
        model._meta.pk.prefix: model
        for model in apps.get_models()
        if isinstance(model._meta.pk, IdField) and model._meta.pk.prefix
    }


def specimen(prefix: str, owner: Owner, *, outside: str | None = None) -> str | None:
    """The id of something of the owner's, newest first; None when there is none or it has no owner.

    With `outside` (a workspace's id) only what does not lie in that workspace.
    """
    model = models_by_prefix().get(prefix)
    if model is None:
        return None
    rows = model._default_manager.order_by("-pk")
    path, value = _belongs(model, owner)
    if path is None:
        return None
    rows = rows.filter(**{path: value})
    within = getattr(_queryset(model), "workspace_path", None)
    if outside and within:
        rows = rows.filter(~Q(**{within: outside}) | Q(**{within: None}))
    found = rows.values_list("pk", flat=True).first()
    return str(found) if found else None


def anyones(prefix: str) -> str | None:
    """The id of something that belongs to nobody in particular, such as an image."""
    model = models_by_prefix().get(prefix)
    if model is None or isinstance(_queryset(model), TenantQuerySet):
        return None
    if _has_person(model):
        return None
    found = model._default_manager.order_by("-pk").values_list("pk", flat=True).first()
    return str(found) if found else None


def is_open(prefix: str, pk: str) -> bool:
    """Whether the database shows it to whoever asks, as it does a pool that is sold to everybody."""
    model = models_by_prefix()[prefix]
    with as_actor(ANONYMOUS):
        return model._default_manager.filter(pk=pk).exists()


def table_of(prefix: str) -> str:
    model = models_by_prefix().get(prefix)
    return model._meta.db_table if model else ""


def missing(prefix: str) -> str:
    """A well-formed id that nothing has."""
    return new_id(prefix)


def is_id(text: str) -> bool:
    """Whether the text is an id, not a name somebody chose."""
    return read_id(text.partition("_")[0], text) is not None


def has_workspace(prefix: str) -> bool:
    """Whether things of this kind lie in a workspace, so that a workspace's key sees only some."""
    model = models_by_prefix().get(prefix)
    return bool(model and getattr(_queryset(model), "workspace_path", None))


def _belongs(model: type[Model], owner: Owner) -> tuple[str | None, Any]:
    """The column by which rows of the model are the owner's."""
    kind = _queryset(model)
    if owner.team and isinstance(kind, TenantQuerySet) and kind.team_path:
        return kind.team_path, owner.team.pk
    if owner.region and isinstance(kind, TenantQuerySet) and kind.region_path:
        return kind.region_path, owner.region.pk
    if owner.user and _has_person(model):
        return "user_id", owner.user.pk
    return None, None


def _queryset(model: type[Model]) -> Any:
    return model._default_manager.get_queryset()


def _has_person(model: type[Model]) -> bool:
    """Whether a row is somebody's by a foreign key called `user`."""
    return any(one.name == "user" and one.related_model is User for one in model._meta.get_fields())
