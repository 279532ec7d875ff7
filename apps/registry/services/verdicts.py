"""What the reconciler writes: how far it is and how it ended, by the lease's holder only."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.core.actor import SYSTEM, Actor
from apps.core.failpoints import failpoint
from apps.core.leases import LeaseLost
from apps.core.permissions import Permission
from apps.operations import services as operations
from apps.registry.models import ModelVersion, VersionFile
from apps.registry.services import life
from apps.registry.services.imports import write_facts
from apps.registry.services.models import point
from apps.registry.services.uploads import hand_over, lay_out
from apps.registry.specs import FileSpec, check_files, digest_of
from apps.registry.states import FileState, State
from apps.registry.weights import Facts

PROGRESS = "model_version.progress"


@transaction.atomic
def note_listing(
    *, actor: Actor = SYSTEM, version: ModelVersion, commit: str, files: Sequence[FileSpec]
) -> None:
    """The hub's files are known, at a commit that cannot move."""
    actor.require(Permission.MODEL_MANAGE)
    check_files(files)
    mine = _held(version)
    lay_out(version=mine, files=files)
    ModelVersion.objects.filter(pk=mine.pk).update(revision=commit)
    if mine.operation_id:
        operations.advance(operation_id=mine.operation_id, step="copy")
    failpoint("registry.import.listed")


@transaction.atomic
def hand_over_copied(*, actor: Actor = SYSTEM, version: ModelVersion) -> None:
    """All files of an import are stored; they go to be verified."""
    actor.require(Permission.MODEL_MANAGE)
    hand_over(actor=actor, version=_held(version))


def note_progress(*, version: ModelVersion, file: VersionFile, arrived: int) -> None:
    """How far a file is, for whoever watches."""
    VersionFile.objects.filter(pk=file.pk).update(arrived=arrived)
    operations.emit(
        type=PROGRESS,
        subject=str(version.pk),
        team_id=version.team_id,
        data={"path": file.path, "arrived": arrived, "size": file.size},
    )


def note_verified(*, file: VersionFile, sha256: str) -> None:
    """The file is what was promised; its hash is known."""
    stored = VersionFile.objects.filter(pk=file.pk, state=FileState.STORED)
    stored.update(state=FileState.VERIFIED, sha256=sha256)


@transaction.atomic
def accept_version(*, actor: Actor = SYSTEM, version: ModelVersion, facts: Facts) -> ModelVersion:
    """Everything was verified: the version is servable from now on and never changes."""
    actor.require(Permission.MODEL_MANAGE)
    mine = _held(version)
    manifest = [
        {"path": one.path, "size": one.size, "sha256": one.sha256} for one in mine.files.order_by("path")
    ]
    mine.manifest, mine.digest = manifest, digest_of(manifest)
    mine.size_bytes = sum(one["size"] for one in manifest)
    write_facts(mine, facts)
    mine.save(update_fields=[*_FACTS, "manifest", "digest", "size_bytes"])
    if mine.operation_id:
        operations.finish(operation_id=mine.operation_id)
        mine.operation_id = None
    mine = life.change(actor=actor, version=mine, event="accept")
    point(actor=actor, version=mine, name=life.LATEST)
    failpoint("registry.accept.written")
    return mine


_FACTS = (
    *("format", "architecture", "dtype", "has_chat_template", "parameters", "context_length"),
    *("layers", "hidden_size", "heads", "kv_heads", "head_dim", "vocabulary"),
)


@transaction.atomic
def reject_version(*, actor: Actor = SYSTEM, version: ModelVersion, code: str, message: str) -> ModelVersion:
    """What was sent is no model that can be served, or never came; the draft stays and says why."""
    actor.require(Permission.MODEL_MANAGE)
    mine = _held(version)
    if mine.operation_id:
        operations.fail(
            operation_id=mine.operation_id,
            code=code,
            message=message,
            undone=_("What was sent is removed; nothing was offered."),
        )
        mine.operation_id = None
    event = "reject" if mine.state == State.VERIFYING else "give_up"
    return life.change(actor=actor, version=mine, event=event, message=message)


def note_purged(*, version: ModelVersion, retired: bool) -> None:
    """What a listing has proven gone."""
    changes: dict[str, Any] = {"purged_at": Now()} if retired else {"prefix": ""}
    ModelVersion.objects.filter(pk=version.pk, prefix=version.prefix, state=version.state).update(**changes)


def _held(version: ModelVersion) -> ModelVersion:
    """The row, locked, if our lease on it still counts and nobody wished otherwise meanwhile."""
    mine = life.locked(version)
    if mine.lease_token != version.lease_token or mine.state != version.state:
        raise LeaseLost(version.pk)
    return mine
