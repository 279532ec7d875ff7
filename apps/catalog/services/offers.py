"""What is offered is made once, described anew, published and retired; its size never changes under
those who run it."""

import re
from dataclasses import asdict
from typing import Any, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.catalog.models import GpuModel, Image, InstanceType
from apps.catalog.specs import ImageSpec, ModelSpec, TypeSpec
from apps.catalog.states import OFFER
from apps.core.actor import Actor
from apps.core.errors import Conflict, Invalid
from apps.core.permissions import Permission
from apps.operations import services as operations

Offered = TypeVar("Offered", InstanceType, Image)

_SLUG = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_MOST = {"vcpus": 4096, "memory_mib": 64 * 1024 * 1024, "disk_gib": 1_000_000, "gpus": 64}


@transaction.atomic
def create_instance_type(*, actor: Actor, spec: TypeSpec) -> InstanceType:
    """Offer a shape. It is sold once it has a price."""
    actor.require(Permission.CATALOG_MANAGE)
    for field, most in _MOST.items():
        if not (0 if field == "gpus" else 1) <= getattr(spec, field) <= most:
            raise Invalid(_("It is a number up to %(most)s.") % {"most": most}, field=field)
    if bool(spec.gpus) != bool(spec.gpu_model_id):
        raise Invalid(_("GPUs have a model, and a model needs a number of GPUs."), field="gpu_model")
    if spec.gpu_model_id and not GpuModel.objects.filter(pk=spec.gpu_model_id).exists():
        raise Invalid(_("There is no such GPU model."), field="gpu_model")
    kind = InstanceType(**_fields(spec))
    _insert(kind)
    _note(actor, kind, "instance_type.created")
    return kind


@transaction.atomic
def describe_instance_type(
    *, actor: Actor, kind: InstanceType, name: str, description: str = "", position: int = 100
) -> InstanceType:
    """Call it differently; what it has stays."""
    actor.require(Permission.CATALOG_MANAGE)
    kind.name, kind.description, kind.position = _name(name), description.strip()[:300], position
    kind.save(update_fields=["name", "description", "position"])
    _note(actor, kind, "instance_type.described")
    return kind


@transaction.atomic
def move_instance_type(*, actor: Actor, kind: InstanceType, event: str) -> InstanceType:
    """Publish, deprecate or retire a shape; what runs of it goes on."""
    actor.require(Permission.CATALOG_MANAGE)
    return _moved(actor, kind, "instance_type", event)


@transaction.atomic
def create_image(*, actor: Actor, spec: ImageSpec) -> Image:
    """Offer a version of a system; drivers that copy its bytes check the checksum."""
    actor.require(Permission.CATALOG_MANAGE)
    if spec.checksum and not _CHECKSUM.fullmatch(spec.checksum):
        raise Invalid(_("A checksum is sha256: and 64 hexadecimal digits."), field="checksum")
    if not _USER.fullmatch(spec.default_user):
        raise Invalid(_("This is not the name of a Unix account."), field="default_user")
    if spec.min_disk_gib < 1 or spec.min_memory_mib < 1:
        raise Invalid(_("It needs at least some disk and memory."), field="min_disk_gib")
    if not spec.version.strip() or not spec.os.strip():
        raise Invalid(_("An image names its system and version."), field="version")
    image = Image(**_fields(spec))
    _insert(image)
    _note(actor, image, "image.created")
    return image


@transaction.atomic
def describe_image(
    *, actor: Actor, image: Image, name: str, description: str = "", position: int = 100
) -> Image:
    actor.require(Permission.CATALOG_MANAGE)
    image.name, image.description, image.position = _name(name), description.strip()[:300], position
    try:
        with transaction.atomic():
            image.save(update_fields=["name", "description", "position"])
    except IntegrityError as error:
        raise Conflict(_("There is an image of that name and version."), field="name") from error
    _note(actor, image, "image.described")
    return image


@transaction.atomic
def replace_image(*, actor: Actor, image: Image, checksum: str, source: str, size_bytes: int) -> Image:
    """Its bytes were built anew under the same version; machines made of the old ones stay as they are."""
    actor.require(Permission.CATALOG_MANAGE)
    if not _CHECKSUM.fullmatch(checksum):
        raise Invalid(_("A checksum is sha256: and 64 hexadecimal digits."), field="checksum")
    image = Image.objects.select_for_update(of=("self",), no_key=True).get(pk=image.pk)
    image.checksum, image.source, image.size_bytes = checksum, source, size_bytes
    image.save(update_fields=["checksum", "source", "size_bytes"])
    _note(actor, image, "image.replaced")
    return image


@transaction.atomic
def move_image(*, actor: Actor, image: Image, event: str) -> Image:
    """Publish, deprecate or retire an image; machines made of it stay."""
    actor.require(Permission.CATALOG_MANAGE)
    return _moved(actor, image, "image", event)


@transaction.atomic
def create_model(*, actor: Actor, spec: ModelSpec) -> GpuModel:
    """Name a kind of GPU before the first card of it appears."""
    actor.require(Permission.CATALOG_MANAGE)
    if spec.memory_gib < 1:
        raise Invalid(_("A GPU has memory."), field="memory_gib")
    model = GpuModel(**_fields(spec))
    _insert(model)
    _note(actor, model, "gpu_model.created")
    return model


@transaction.atomic
def update_model(*, actor: Actor, model: GpuModel, spec: ModelSpec) -> GpuModel:
    """Change what is said of a kind of GPU; its slug stays."""
    actor.require(Permission.CATALOG_MANAGE)
    if spec.memory_gib < 1:
        raise Invalid(_("A GPU has memory."), field="memory_gib")
    changes = {name: value for name, value in _fields(spec).items() if name != "slug"}
    for name, value in changes.items():
        setattr(model, name, value)
    model.save(update_fields=[*changes])
    _note(actor, model, "gpu_model.updated")
    return model


def _moved(actor: Actor, row: Offered, noun: str, event: str) -> Offered:
    found: Offered = type(row).objects.select_for_update(of=("self",), no_key=True).get(pk=row.pk)
    found.state = OFFER.target(event, found.state)
    found.save(update_fields=["state"])
    _note(actor, found, f"{noun}.{event}")
    return found


def _fields(spec: TypeSpec | ImageSpec | ModelSpec) -> dict[str, Any]:
    fields = asdict(spec)
    if not _SLUG.fullmatch(spec.slug) or len(spec.slug) > 60:
        raise Invalid(_("Use small letters, digits, dots and dashes."), field="slug")
    fields["name"] = _name(spec.name)
    for name in ("aliases", "cluster_kinds"):
        if name in fields:
            fields[name] = list(fields[name])
    return fields


def _name(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise Invalid(_("A name has 1 to 80 characters."), field="name")
    return name


def _insert(row: Model) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(_("There is one of that short name or version already."), field="slug") from error


def _note(actor: Actor, row: Model, action: str) -> None:
    audit.record(actor=actor, action=action, target=row)
    operations.emit(type=action, subject=str(row.pk), data={"name": str(row)})
