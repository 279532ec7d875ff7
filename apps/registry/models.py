"""Models, their versions, the files on their way into the store, and the names that point at versions."""

from typing import ClassVar

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from apps.core.actor import PLATFORM, Actor, Scope
from apps.core.ids import IdField
from apps.core.leases import Due, Tended
from apps.core.permissions import Permission
from apps.core.tenancy import EVERYTHING, TenantQuerySet
from apps.registry.states import (
    FILE,
    FROZEN,
    MACHINE,
    FileState,
    Format,
    Modality,
    Origin,
    State,
    Visibility,
)
from apps.teams.models import Team

_FROZEN_WORDS = ", ".join(f"'{state.value}'" for state in sorted(FROZEN))
# What a version is made of; none of it changes once it has been servable.
_SUBSTANCE = ("manifest", "digest", "size_bytes", "format", "architecture", "parameters", "prefix", "number")
_IS_CHANGED = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in _SUBSTANCE)
_REFUSE = "RAISE EXCEPTION 'what a version is made of never changes'"
_REFUSE_FILE = f"""
owner := CASE WHEN TG_OP = 'DELETE' THEN OLD.version_id ELSE NEW.version_id END;
IF EXISTS (SELECT 1 FROM registry_modelversion WHERE id = owner AND state IN ({_FROZEN_WORDS})) THEN
    {_REFUSE};
END IF;
IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
RETURN NEW;
"""  # noqa: S608 - our own words


class ModelQuerySet(TenantQuerySet):
    read_permission = Permission.MODEL_READ

    def visible_to(self, actor: Actor, permission: Permission | None = None) -> "ModelQuerySet":
        """The teams' own; to read also what everybody may use and what was shared with them."""
        wanted = permission or self.read_permission
        teams = actor.scopes(wanted, "team")
        if EVERYTHING in teams:
            return self
        allowed = Q(team_id__in=sorted(teams))
        if wanted == Permission.MODEL_READ:
            shared = ModelShare.objects.filter(team_id__in=sorted(teams)).values("model_id")
            allowed |= Q(pk__in=shared, visibility=Visibility.TEAMS)
            if any(Permission.MODEL_READ in held for held in actor.grants.values()):
                allowed |= Q(visibility=Visibility.PUBLIC)
        return self.filter(allowed)

    def live(self) -> "ModelQuerySet":
        return self.filter(deleted_at=None)


class Model(models.Model):
    """What is served under a name; the provider's own when it names no team."""

    id = IdField("mdl", primary_key=True)
    team = models.ForeignKey(Team, models.PROTECT, null=True, blank=True, related_name="+")
    slug = models.SlugField(_("short name"), max_length=80)
    name = models.CharField(_("name"), max_length=120)
    description = models.CharField(_("description"), max_length=1000, blank=True)
    licence = models.CharField(_("licence"), max_length=80, blank=True)
    modality = models.CharField(
        _("answers with"), max_length=12, choices=Modality.choices, default=Modality.CHAT
    )
    visibility = models.CharField(
        _("used by"), max_length=8, choices=Visibility.choices, default=Visibility.TEAM
    )
    is_demo = models.BooleanField(_("demonstration only"), default=False)
    created_by_label = models.CharField(_("added by"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("added"), db_default=Now())
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects = ModelQuerySet.as_manager()

    class Meta:
        ordering = ("name", "id")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["team", "slug"],
                condition=Q(deleted_at=None),
                nulls_distinct=False,
                name="registry_model_slug",
            ),
            models.CheckConstraint(
                condition=~Q(visibility=Visibility.PUBLIC) | Q(team=None), name="registry_public_is_providers"
            ),
            models.CheckConstraint(condition=Q(visibility__in=Visibility.values), name="registry_visibility"),
            models.CheckConstraint(condition=Q(modality__in=Modality.values), name="registry_modality"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def scope(self) -> Scope:
        """Where one must hold a permission to change it."""
        return Scope("team", str(self.team_id)) if self.team_id else PLATFORM


class ModelShareQuerySet(TenantQuerySet):
    read_permission = Permission.MODEL_READ


class ModelShare(models.Model):
    """A team that may use a model which is not its own."""

    model = models.ForeignKey(Model, models.CASCADE, related_name="shares")
    owner_id = IdField("team", null=True, editable=False)
    team = models.ForeignKey(Team, models.CASCADE, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    objects = ModelShareQuerySet.as_manager()

    class Meta:
        ordering = ("created_at", "pk")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["model", "team"], name="registry_share_once")
        ]

    def __str__(self) -> str:
        return f"{self.model_id} for {self.team_id}"


class ModelVersionQuerySet(Due, TenantQuerySet):
    read_permission = Permission.MODEL_READ

    def visible_to(self, actor: Actor, permission: Permission | None = None) -> "ModelVersionQuerySet":
        """Those of the models one may see; of another's model only what is or was servable, and entries of
        the catalogue that wait for their files."""
        wanted = permission or self.read_permission
        teams = actor.scopes(wanted, "team")
        if EVERYTHING in teams:
            return self
        shown = Q(state__in=FROZEN) | Q(state=State.DRAFT) & ~Q(source="")
        others = Q(model__in=Model.objects.visible_to(actor, wanted).values("pk"))
        return self.filter(Q(team_id__in=sorted(teams)) | others & shown)

    def live(self) -> "ModelVersionQuerySet":
        return self.exclude(state=State.RETIRED)

    def servable(self) -> "ModelVersionQuerySet":
        """Those a new endpoint may serve."""
        return self.filter(state=State.SERVABLE, model__deleted_at=None)


class ModelVersion(Tended):
    """One immutable set of files, and what they say about themselves.

    `manifest` is a list of {path, size, sha256}; `digest` is the SHA-256 of it. Sizes are bytes,
    `context_length` tokens. `prefix` is where the files are in the bucket.
    """

    id = IdField("mdv", primary_key=True)
    model = models.ForeignKey(Model, models.PROTECT, related_name="versions")
    team = models.ForeignKey(Team, models.PROTECT, null=True, related_name="+")
    number = models.PositiveIntegerField(_("version"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.DRAFT)
    origin = models.CharField(_("origin"), max_length=12, choices=Origin.choices, default=Origin.UPLOAD)
    source = models.CharField(_("source"), max_length=300, blank=True)  # "org/name" on the hub
    revision = models.CharField(_("revision"), max_length=100, blank=True)
    wanted = models.JSONField(default=list, editable=False)  # which files of the source
    hub_token = models.TextField(blank=True, editable=False)  # sealed; gone when the import has ended
    note = models.CharField(_("note"), max_length=300, blank=True)
    message = models.TextField(_("message"), blank=True)

    format = models.CharField(_("format"), max_length=12, choices=Format.choices, blank=True)
    manifest = models.JSONField(default=list)
    size_bytes = models.PositiveBigIntegerField(_("size"), default=0)
    digest = models.CharField(_("digest"), max_length=71, blank=True)  # sha256:…
    prefix = models.CharField(max_length=200, blank=True, editable=False)
    architecture = models.CharField(_("architecture"), max_length=80, blank=True)
    parameters = models.PositiveBigIntegerField(_("parameters"), null=True)
    context_length = models.PositiveIntegerField(_("context"), null=True)
    dtype = models.CharField(_("weights in"), max_length=20, blank=True)
    layers = models.PositiveIntegerField(_("layers"), null=True)
    hidden_size = models.PositiveIntegerField(null=True)
    heads = models.PositiveIntegerField(_("heads"), null=True)
    kv_heads = models.PositiveIntegerField(_("key and value heads"), null=True)
    head_dim = models.PositiveIntegerField(null=True)
    vocabulary = models.PositiveIntegerField(_("vocabulary"), null=True)
    has_chat_template = models.BooleanField(_("has a chat template"), default=False)

    operation_id = IdField("op", null=True, editable=False)
    created_by_label = models.CharField(_("added by"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("added"), db_default=Now())
    state_at = models.DateTimeField(_("since"), db_default=Now())
    purged_at = models.DateTimeField(null=True, editable=False)  # its files are proven gone

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        ordering = ("-number",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["model", "number"], name="registry_version_number"),
            models.CheckConstraint(condition=Q(state__in=State.values), name="registry_version_state"),
            models.CheckConstraint(condition=Q(origin__in=Origin.values), name="registry_version_origin"),
            models.CheckConstraint(
                condition=~Q(state__in=[State.SERVABLE, State.DEPRECATED, State.REVOKED])
                | Q(digest__startswith="sha256:", size_bytes__gt=0, format__in=Format.values),
                name="registry_servable_is_known",
            ),
            models.CheckConstraint(
                condition=Q(purged_at=None) | Q(state=State.RETIRED), name="registry_purged_is_retired"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["due_at"], name="registry_due", condition=Q(due_at__isnull=False)),
        ]
        triggers: ClassVar = [
            pgtrigger.FSM(name="states", field="state", transitions=MACHINE.edges()),
            pgtrigger.Trigger(
                name="immutable",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                condition=pgtrigger.Condition(f"OLD.state IN ({_FROZEN_WORDS})"),
                func=f"IF {_IS_CHANGED} THEN {_REFUSE}; END IF; RETURN NEW;",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} v{self.number}"

    @property
    def scope(self) -> Scope:
        """Where one must hold a permission to change it."""
        return Scope("team", str(self.team_id)) if self.team_id else PLATFORM


class VersionFileQuerySet(TenantQuerySet):
    read_permission = Permission.MODEL_READ


class VersionFile(models.Model):
    """A file on its way into the store, and the journal of its upload.

    The parts that have arrived are the store's to know; here stands which upload they belong to.
    `sha256` is what was promised, or empty; once verified it is what was found.
    """

    id = IdField("mdf", primary_key=True)
    version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="files")
    team = models.ForeignKey(Team, models.PROTECT, null=True, related_name="+")
    path = models.CharField(_("path"), max_length=300)
    size = models.PositiveBigIntegerField(_("size"))
    part_size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=FileState.choices, default=FileState.PENDING)
    upload_id = models.CharField(max_length=1100, blank=True, editable=False)
    arrived = models.PositiveBigIntegerField(default=0)  # bytes, as far as the portal has noticed
    stored_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = VersionFileQuerySet.as_manager()

    class Meta:
        ordering = ("path",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["version", "path"], name="registry_file_once"),
            models.CheckConstraint(
                condition=Q(sha256="") | Q(sha256__regex=r"^[0-9a-f]{64}$"), name="registry_file_sha256"
            ),
            models.CheckConstraint(condition=Q(part_size__gt=0), name="registry_file_has_parts"),
            models.CheckConstraint(
                condition=Q(size__lte=F("part_size") * 10_000), name="registry_file_parts_are_few"
            ),
        ]
        triggers: ClassVar = [
            pgtrigger.FSM(name="states", field="state", transitions=FILE.edges()),
            pgtrigger.Trigger(
                name="immutable",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update | pgtrigger.Delete,
                declare=[("owner", "uuid")],
                func=_REFUSE_FILE,
            ),
        ]

    def __str__(self) -> str:
        return self.path

    @property
    def parts(self) -> int:
        """How many parts it is uploaded in."""
        return -(-self.size // self.part_size)

    def length_of(self, part: int) -> int:
        """How many bytes the part has, counting from 1."""
        return min(self.part_size, self.size - (part - 1) * self.part_size)


class ModelAliasQuerySet(TenantQuerySet):
    read_permission = Permission.MODEL_READ

    def visible_to(self, actor: Actor, permission: Permission | None = None) -> "ModelAliasQuerySet":
        return self.filter(model__in=Model.objects.visible_to(actor, permission).values("pk"))


class ModelAlias(models.Model):
    """A name that points at a version and may be moved: `latest`, `stable`."""

    id = IdField("mda", primary_key=True)
    model = models.ForeignKey(Model, models.CASCADE, related_name="aliases")
    team = models.ForeignKey(Team, models.PROTECT, null=True, related_name="+")
    name = models.SlugField(_("alias"), max_length=40)
    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="aliases")
    moved_at = models.DateTimeField(_("moved"), db_default=Now())

    objects = ModelAliasQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["model", "name"], name="registry_alias_once")
        ]

    def __str__(self) -> str:
        return self.name
