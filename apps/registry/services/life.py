"""Versions through their life after the upload: deprecated, revoked, retired."""

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.core.actor import Actor
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.operations import services as operations
from apps.operations.specs import Target
from apps.registry.errors import InUse
from apps.registry.models import ModelVersion
from apps.registry.signals import users_asked, version_revoked
from apps.registry.states import MACHINE, MOVING, SERVED

RECONCILE = "registry.reconcile"
LATEST = "latest"


@transaction.atomic
def deprecate_version(*, actor: Actor, version: ModelVersion, reason: str = "") -> ModelVersion:
    """Offer it for nothing new; what serves it goes on."""
    actor.require(Permission.MODEL_MANAGE, version.scope)
    return change(actor=actor, version=locked(version), event="deprecate", message=reason)


@transaction.atomic
def restore_version(*, actor: Actor, version: ModelVersion) -> ModelVersion:
    """Offer a deprecated version again."""
    actor.require(Permission.MODEL_MANAGE, version.scope)
    return change(actor=actor, version=locked(version), event="restore")


@transaction.atomic
def revoke_version(*, actor: Actor, version: ModelVersion, reason: str = "") -> ModelVersion:
    """It must not be served any more: endpoints drain within seconds. There is no way back."""
    actor.require(Permission.MODEL_MANAGE, version.scope)
    version = change(actor=actor, version=locked(version), event="revoke", message=reason)
    version.aliases.all().delete()
    version_revoked.send(ModelVersion, version_id=str(version.pk))
    return version


@transaction.atomic
def retire_version(*, actor: Actor, version: ModelVersion) -> ModelVersion:
    """Delete it: its files go, its facts stay in the records. Refused while an endpoint serves it."""
    actor.require(Permission.MODEL_MANAGE, version.scope)
    return retire(actor=actor, version=locked(version))


def retire(*, actor: Actor, version: ModelVersion) -> ModelVersion:
    """Retire a locked version, calling off what is being done to it."""
    _refuse_used(version)
    if version.operation_id:
        operations.cancel(operation_id=version.operation_id, message=_("The version was deleted."))
        version.operation_id = None
    version.aliases.all().delete()
    return change(actor=actor, version=version, event="retire")


def _refuse_used(version: ModelVersion) -> None:
    answers = users_asked.send(ModelVersion, version_id=str(version.pk))
    users = [str(name) for _receiver, names in answers for name in names or ()]
    if users and version.state in SERVED:
        raise InUse(_("It is served by %(users)s.") % {"users": ", ".join(users[:5])}, users=users[:20])


def change(*, actor: Actor, version: ModelVersion, event: str, message: str = "") -> ModelVersion:
    """Move a locked version along its life, with the record and the news of it; the reconciler looks."""
    before = version.state
    version.state = MACHINE.target(event, version.state)
    version.message = " ".join(message.split())[:500]
    version.generation += 1
    version.attempts = 0
    if version.state not in MOVING:
        version.hub_token = ""  # the import has ended
    version.save(update_fields=["state", "message", "operation_id", "generation", "attempts", "hub_token"])
    ModelVersion.objects.filter(pk=version.pk).update(state_at=Now(), due_at=Now())
    version.refresh_from_db()
    tell(actor=actor, version=version, before=before)
    enqueue(RECONCILE, version_id=str(version.pk))
    return version


def tell(*, actor: Actor, version: ModelVersion, before: str) -> None:
    """The record and the event of a version's new state."""
    audit.record(
        actor=actor,
        action=f"model_version.{version.state}",
        target=version,
        before=before,
        message=version.message,
    )
    operations.emit(
        type=f"model_version.{version.state}",
        subject=str(version.pk),
        team_id=version.team_id,
        data={"model": str(version.model_id), "number": version.number, "before": before},
    )


def locked(version: ModelVersion) -> ModelVersion:
    """The row as it is now, held until the transaction ends."""
    rows = ModelVersion.objects.select_for_update(of=("self",), no_key=True).select_related("model")
    found: ModelVersion = rows.get(pk=version.pk)
    return found


def target_of(version: ModelVersion) -> Target:
    """What an operation on the version is about."""
    return Target("model_version", str(version.pk), str(version), version.team_id)
