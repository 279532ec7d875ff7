"""The life of a model's version, of each of its files, and who may use a model."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from apps.core.states import Machine


class State(TextChoices):
    """Where a version is."""

    DRAFT = "draft", _("Draft")
    UPLOADING = "uploading", _("Uploading")
    VERIFYING = "verifying", _("Verifying")
    SERVABLE = "servable", _("Servable")
    DEPRECATED = "deprecated", _("Deprecated")
    REVOKED = "revoked", _("Revoked")
    RETIRED = "retired", _("Retired")


class FileState(TextChoices):
    """Where one file of a version is on its way into the store."""

    PENDING = "pending", _("Waiting")
    UPLOADING = "uploading", _("Uploading")
    STORED = "stored", _("Stored")
    VERIFIED = "verified", _("Verified")


class Visibility(TextChoices):
    """Who may use a model. Public is the provider's alone to give."""

    PUBLIC = "public", _("Everybody")
    TEAM = "team", _("Its team")
    TEAMS = "teams", _("Chosen teams")


class Modality(TextChoices):
    """What a model answers with."""

    CHAT = "chat", _("Chat")
    COMPLETION = "completion", _("Completion")
    EMBEDDING = "embedding", _("Embedding")


class Origin(TextChoices):
    """Where a version's files came from."""

    UPLOAD = "upload", _("Upload")
    HUGGING_FACE = "hugging_face", _("Hugging Face")
    BUNDLED = "bundled", _("Bundled")


class Format(TextChoices):
    """How the weights are written; nothing that runs code when it is read."""

    GGUF = "gguf", "GGUF"
    SAFETENSORS = "safetensors", "safetensors"


MACHINE = Machine.of(
    ("begin", {State.DRAFT}, State.UPLOADING),
    ("give_up", {State.UPLOADING}, State.DRAFT),
    ("complete", {State.UPLOADING}, State.VERIFYING),
    ("reject", {State.VERIFYING}, State.DRAFT),
    ("accept", {State.VERIFYING}, State.SERVABLE),
    ("deprecate", {State.SERVABLE}, State.DEPRECATED),
    ("restore", {State.DEPRECATED}, State.SERVABLE),
    ("revoke", {State.SERVABLE, State.DEPRECATED}, State.REVOKED),
    ("retire", set(State) - {State.RETIRED}, State.RETIRED),
)

FILE = Machine.of(
    ("begin", {FileState.PENDING}, FileState.UPLOADING),
    ("store", {FileState.PENDING, FileState.UPLOADING}, FileState.STORED),
    ("verify", {FileState.STORED}, FileState.VERIFIED),
    ("reset", {FileState.UPLOADING, FileState.STORED, FileState.VERIFIED}, FileState.PENDING),
)

# What it is made of cannot change any more.
FROZEN = frozenset({State.SERVABLE, State.DEPRECATED, State.REVOKED, State.RETIRED})
# Engines may go on serving it; only the servable ones are offered for something new.
SERVED = frozenset({State.SERVABLE, State.DEPRECATED})
# Somebody or something is at work on it.
MOVING = frozenset({State.UPLOADING, State.VERIFYING})
