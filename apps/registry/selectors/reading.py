"""Models and versions as the actor may see them."""

from django.db.models import Case, Count, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.errors import NotFound
from apps.registry.models import (
    Model,
    ModelAlias,
    ModelQuerySet,
    ModelShare,
    ModelVersion,
    ModelVersionQuerySet,
    VersionFile,
)
from apps.registry.states import SERVED, State, Visibility
from apps.teams.models import Team

# What a card shows of a model's version.
SHOWN = (
    *("pk", "number", "state", "size_bytes", "context_length", "parameters"),
    *("format", "dtype", "architecture"),
)


def list_models(*, actor: Actor) -> ModelQuerySet:
    """Those that have not been deleted, each with the facts of the version to show."""
    visible: ModelQuerySet = Model.objects.visible_to(actor)
    return with_newest(visible.live().select_related("team"))


def with_newest(rows: ModelQuerySet) -> ModelQuerySet:
    """Each with `version_count` and `newest_…` of its newest servable version, or its newest of all."""
    best = Case(When(state=State.SERVABLE, then=Value(0)), default=Value(1), output_field=IntegerField())
    live = ModelVersion.objects.filter(model=OuterRef("pk")).exclude(state=State.RETIRED)
    shown = live.order_by(best, "-number")
    annotated: ModelQuerySet = rows.annotate(
        version_count=Count("versions", filter=~Q(versions__state=State.RETIRED)),
        **{f"newest_{name}": Subquery(shown.values(name)[:1]) for name in SHOWN},
    )
    return annotated


def get_model(*, actor: Actor, model_id: str) -> Model:
    """One model, or NotFound."""
    found = list_models(actor=actor).filter(pk=model_id).first()
    if found is None:
        raise NotFound(_("There is no such model."))
    model: Model = found
    return model


def list_versions(*, actor: Actor) -> ModelVersionQuerySet:
    """Versions that were not retired, of models that were not deleted; newest first within a model."""
    visible: ModelVersionQuerySet = ModelVersion.objects.visible_to(actor)
    return visible.live().filter(model__deleted_at=None).select_related("model", "model__team")


def get_version(*, actor: Actor, version_id: str) -> ModelVersion:
    """One version, retired ones included, or NotFound."""
    rows = ModelVersion.objects.visible_to(actor).select_related("model", "model__team")
    found = rows.filter(pk=version_id).first()
    if found is None:
        raise NotFound(_("There is no such version of a model."))
    version: ModelVersion = found
    return version


def servable(actor: Actor) -> ModelVersionQuerySet:
    """What the actor may put behind a new endpoint, by model and newest first."""
    visible: ModelVersionQuerySet = ModelVersion.objects.visible_to(actor)
    return visible.servable().select_related("model", "model__team").order_by("model__name", "-number")


def servable_for(actor: Actor, team_id: str | None) -> ModelVersionQuerySet:
    """The same for an endpoint of this team: its own, the provider's and what is shared with it; without a
    team, for everybody: the provider's alone."""
    may = Q(team=None)
    if team_id is not None:
        shared = ModelShare.objects.filter(team_id=team_id).values("model_id")
        may |= Q(team_id=team_id) | Q(model__in=shared, model__visibility=Visibility.TEAMS)
    return servable(actor).filter(may)


def version_of(*, actor: Actor, model_id: str, version_id: str) -> ModelVersion:
    """One version of this model, or NotFound."""
    version = get_version(actor=actor, version_id=version_id)
    if str(version.model_id) != model_id:
        raise NotFound(_("There is no such version of a model."))
    return version


def list_files(*, actor: Actor, version: ModelVersion) -> QuerySet[VersionFile]:
    """The files on their way into the store, for those whose model it is."""
    rows: QuerySet[VersionFile] = VersionFile.objects.visible_to(actor).filter(version=version)
    return rows


def shared_with(*, actor: Actor, model: Model) -> list[str]:
    """The teams that may use the model besides its own, as `share_model` takes them: by address where the
    actor may see the team, else by id."""
    ids = [str(pk) for pk in model.shares.values_list("team_id", flat=True)]
    slugs = dict(Team.objects.visible_to(actor).filter(pk__in=ids).values_list("pk", "slug"))
    return [slugs.get(pk, pk) for pk in ids]


def list_aliases(*, actor: Actor, model: Model) -> QuerySet[ModelAlias]:
    """The names that point at the model's versions."""
    rows: QuerySet[ModelAlias] = ModelAlias.objects.visible_to(actor).filter(model=model)
    return rows.select_related("version")


def resolve(*, actor: Actor, model: Model, name: str) -> ModelVersion:
    """The version that a number ("3") or an alias ("latest") names, of those that are served; or NotFound."""
    rows = ModelVersion.objects.visible_to(actor).filter(model=model, state__in=SERVED)
    named = Q(number=int(name)) if name.isdecimal() and len(name) < 10 else Q(aliases__name=name)
    found = rows.select_related("model").filter(named).first()
    if found is None:
        raise NotFound(
            _("No version of %(model)s is called “%(name)s”.") % {"model": model, "name": name[:40]}
        )
    version: ModelVersion = found
    return version
