"""Models: making, describing, sharing and deleting them, and the names that point at versions."""

import re
from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.core import tenancy
from apps.core.actor import PLATFORM, Actor
from apps.core.errors import Invalid
from apps.core.ids import decode
from apps.core.permissions import Permission
from apps.operations import services as operations
from apps.registry.errors import NameTaken
from apps.registry.models import Model, ModelAlias, ModelShare, ModelVersion
from apps.registry.services.life import retire
from apps.registry.specs import ModelSpec
from apps.registry.states import SERVED, Modality, State, Visibility
from apps.teams.models import Team

_SLUG = re.compile(r"[a-z0-9]([a-z0-9._-]{0,78}[a-z0-9])?")
_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,39}")
_LONGEST = {"name": 120, "description": 1000, "licence": 80}


@transaction.atomic
def create_model(*, actor: Actor, team: Team | None, spec: ModelSpec, is_demo: bool = False) -> Model:
    """A model without versions; the provider's own when no team is named."""
    actor.require(Permission.MODEL_CREATE, team.scope if team else PLATFORM)
    _check(spec)
    model = Model(
        team=team,
        slug=spec.slug,
        name=spec.name,
        description=spec.description,
        licence=spec.licence,
        modality=spec.modality,
        is_demo=is_demo,
        created_by_label=actor.label[:200],
    )
    try:
        with transaction.atomic():
            model.save(force_insert=True)
    except IntegrityError as error:
        raise NameTaken(_("Another model has this short name."), field="slug") from error
    _note(actor, model, "model.created")
    return model


@transaction.atomic
def update_model(*, actor: Actor, model: Model, spec: ModelSpec) -> Model:
    """Describe it anew; its short name stays, because callers may use it."""
    actor.require(Permission.MODEL_MANAGE, model.scope)
    _check(spec)
    model = locked(model)
    model.name, model.description = spec.name, spec.description
    model.licence, model.modality = spec.licence, spec.modality
    model.save(update_fields=["name", "description", "licence", "modality"])
    _note(actor, model, "model.updated")
    return model


def _check(spec: ModelSpec) -> None:
    if not _SLUG.fullmatch(spec.slug):
        raise Invalid(
            _("A short name has small letters, digits, dots, dashes and underscores."), field="slug"
        )
    for name, longest in _LONGEST.items():
        if len(getattr(spec, name)) > longest:
            raise Invalid(_("At most %(longest)d characters.") % {"longest": longest}, field=name)
    if not spec.name.strip():
        raise Invalid(_("A model needs a name."), field="name")
    if spec.modality not in Modality.values:
        raise Invalid(_("There is no such kind of model."), field="modality")


@transaction.atomic
def share_model(*, actor: Actor, model: Model, visibility: str, teams: Sequence[str] = ()) -> Model:
    """Say who may use the model: its team, chosen teams, or everybody.

    Only the provider's models can be everybody's. Teams that one may see are named by their address, all by
    their id.
    """
    actor.require(Permission.MODEL_MANAGE, model.scope)
    if visibility not in Visibility.values:
        raise Invalid(_("There is no such choice."), field="visibility")
    if visibility == Visibility.PUBLIC and model.team_id:
        raise Invalid(_("Only the provider's models can be everybody's."), field="visibility")
    model = locked(model)
    chosen = _find_teams(actor, teams) if visibility == Visibility.TEAMS else []
    model.shares.exclude(team__in=chosen).delete()
    rows = [ModelShare(model=model, owner_id=model.team_id, team=team) for team in chosen]
    ModelShare.objects.bulk_create(rows, ignore_conflicts=True)
    model.visibility = visibility
    model.save(update_fields=["visibility"])
    _note(actor, model, "model.shared", visibility=visibility, teams=sorted(set(teams)) if chosen else [])
    return model


def _find_teams(actor: Actor, names: Sequence[str]) -> list[Team]:
    wanted = sorted({name.strip() for name in names if name.strip()})
    mine = Team.objects.visible_to(actor).filter(slug__in=wanted).values("pk")
    with tenancy.everything():  # who knows another team's id was told it there
        found = list(Team.objects.filter(Q(pk__in=mine) | Q(pk__in=filter(_is_id, wanted))))
    known = {team.slug for team in found} | {str(team.pk) for team in found}
    if missing := [name for name in wanted if name not in known]:
        raise Invalid(
            _("There is no team “%(name)s” among yours. Name another by its id: its team settings show it.")
            % {"name": missing[0][:60]},
            field="teams",
        )
    return found


def _is_id(text: str) -> bool:
    try:
        return bool(decode("team", text))
    except ValueError:
        return False


@transaction.atomic
def delete_model(*, actor: Actor, model: Model) -> Model:
    """Retire all its versions and let its name go; refused while anything serves one of them."""
    actor.require(Permission.MODEL_MANAGE, model.scope)
    model = locked(model)
    for version in model.versions.exclude(state=State.RETIRED).select_for_update(of=("self",)):
        retire(actor=actor, version=version)
    model.aliases.all().delete()
    model.deleted_at = Now()
    model.save(update_fields=["deleted_at"])
    _note(actor, model, "model.deleted")
    return model


@transaction.atomic
def set_alias(*, actor: Actor, model: Model, name: str, version: ModelVersion) -> ModelAlias:
    """Point a name at one of the model's versions that are served; callers follow it."""
    actor.require(Permission.MODEL_MANAGE, model.scope)
    if not _ALIAS.fullmatch(name):
        raise Invalid(
            _("An alias begins with a letter and has small letters, digits and dashes."), field="name"
        )
    locked(model)
    version = ModelVersion.objects.get(pk=version.pk)
    if version.model_id != model.pk or version.state not in SERVED:
        raise Invalid(_("An alias points at a servable version of the same model."), field="version")
    return point(actor=actor, version=version, name=name)


@transaction.atomic
def delete_alias(*, actor: Actor, model: Model, name: str) -> None:
    """Forget a name; unknown ones are no error."""
    actor.require(Permission.MODEL_MANAGE, model.scope)
    if model.aliases.filter(name=name).delete()[0]:
        _note(actor, model, "model.alias_deleted", alias=name)


def point(*, actor: Actor, version: ModelVersion, name: str) -> ModelAlias:
    """Move the alias, with the record and the news of it; the caller has asked."""
    fields = {"version": version, "team_id": version.team_id, "moved_at": Now()}
    alias, _is_new = ModelAlias.objects.update_or_create(
        model_id=version.model_id, name=name, defaults=fields
    )
    _note(actor, version.model, "model.alias_moved", alias=name, version=version.number)
    return alias


def locked(model: Model) -> Model:
    found: Model = Model.objects.select_for_update(of=("self",), no_key=True).get(pk=model.pk)
    return found


def _note(actor: Actor, model: Model, action: str, **about: Any) -> None:
    audit.record(actor=actor, action=action, target=model, **about)
    operations.emit(
        type=action, subject=str(model.pk), team_id=model.team_id, data={"name": model.name, **about}
    )
