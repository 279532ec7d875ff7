"""Uploads: files go straight to the object store, part by part, under addresses that we sign.

The rows say which files belong to a version and which upload each is in; the store says which parts have
arrived. Whoever resumes asks for the missing ones. Nothing here holds a file's bytes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, Max
from django.db.models.expressions import Combinable
from django.db.models.functions import Least, Now
from django.utils.translation import gettext as _

from apps.core.actor import Actor
from apps.core.errors import Invalid, NotFound
from apps.core.failpoints import failpoint
from apps.core.permissions import Permission
from apps.drivers.errors import DriverError
from apps.drivers.objects import Missing, ObjectStore, Part
from apps.operations import services as operations
from apps.operations.specs import OperationPlan
from apps.registry.errors import Incomplete, StoreUnavailable, UploadGone, VersionBusy
from apps.registry.models import Model, ModelVersion, VersionFile
from apps.registry.selectors import get_version, key_of, open_store, root
from apps.registry.services import life
from apps.registry.services.models import locked as locked_model
from apps.registry.services.room import require_room
from apps.registry.specs import UPLOAD, FileSpec, check_files, part_size_for
from apps.registry.states import FileState, Origin, State

MOST_ADDRESSES = 1000


@dataclass(frozen=True, slots=True)
class Address:
    """Where one part goes; the client PUTs exactly `length` bytes."""

    number: int
    url: str
    length: int


@transaction.atomic
def start_upload(
    *,
    actor: Actor,
    model: Model,
    files: Sequence[FileSpec],
    note: str = "",
    draft: ModelVersion | None = None,
    origin: Origin = Origin.UPLOAD,
) -> ModelVersion:
    """Promise the files of a new version (or of a draft that failed before); then send them."""
    actor.require(Permission.MODEL_CREATE, model.scope)
    check_files(files)
    version = life.locked(draft) if draft else new_draft(actor=actor, model=model, note=note)
    version = begin(actor=actor, version=version, origin=origin, plan=UPLOAD)
    lay_out(version=version, files=files)
    operations.advance(operation_id=str(version.operation_id), step="upload")
    return version


def new_draft(*, actor: Actor, model: Model, note: str = "") -> ModelVersion:
    """The next version of the model, with nothing in it."""
    actor.require(Permission.MODEL_CREATE, model.scope)
    model = locked_model(model)
    if model.deleted_at:
        raise NotFound(_("There is no such model."))
    last = ModelVersion.objects.filter(model=model).aggregate(last=Max("number"))["last"] or 0
    made: ModelVersion = ModelVersion.objects.create(
        model=model,
        team_id=model.team_id,
        number=last + 1,
        note=note[:300],
        created_by_label=actor.label[:200],
        due_at=None,
    )
    return made


def begin(*, actor: Actor, version: ModelVersion, origin: Origin, plan: OperationPlan) -> ModelVersion:
    """Open the work on a draft. Every attempt has a folder of its own, so that what an earlier one left
    can be swept away without looking."""
    if version.operation_id or version.state != State.DRAFT:
        raise VersionBusy(_("Something else is being done to this version."))
    operation = operations.open_operation(actor=actor, target=life.target_of(version), plan=plan)
    version.files.all().delete()
    version.operation_id, version.deadline_at = operation.pk, operation.deadline_at
    version.origin = origin
    version.prefix = f"{root()}{version.model_id}/{version.pk}/{version.generation + 1}/"
    version.save(update_fields=["operation_id", "deadline_at", "origin", "prefix"])
    return life.change(actor=actor, version=version, event="begin")


def lay_out(*, version: ModelVersion, files: Sequence[FileSpec]) -> None:
    """One row per file that is to come; raises QuotaExceeded when they are too much for its team."""
    if version.team_id:
        require_room(team_id=str(version.team_id), more=sum(file.size for file in files))
    rows = [
        VersionFile(
            version=version,
            team_id=version.team_id,
            path=file.path,
            size=file.size,
            sha256=file.sha256,
            part_size=part_size_for(file.size),
        )
        for file in files
    ]
    VersionFile.objects.bulk_create(rows)


def sign_parts(*, actor: Actor, version_id: str, file_id: str, numbers: Sequence[int]) -> list[Address]:
    """Addresses for some parts of a file, good for hours; asking again is free."""
    file = _open_file(actor, version_id, file_id)
    if len(numbers) > MOST_ADDRESSES or any(not 1 <= number <= file.parts for number in numbers):
        raise Invalid(
            _("The file has parts 1 to %(parts)d; ask for at most 1000 at once.") % {"parts": file.parts},
            field="numbers",
        )
    store = open_store()
    with _calling_store():
        file = ensure_begun(store=store, file=file)
        key = key_of(file.version, file)
        lengths = {number: file.length_of(number) for number in numbers}
        return [
            Address(number, store.sign_part(key, file.upload_id, number, length=length), length)
            for number, length in lengths.items()
        ]


def ensure_begun(*, store: ObjectStore, file: VersionFile) -> VersionFile:
    """Begin the file's upload in the store unless somebody did; who comes second uses the first one's."""
    if file.upload_id:
        return file
    key = key_of(file.version, file)
    upload_id = store.begin(key)
    failpoint("registry.upload.begun")
    mine = VersionFile.objects.filter(pk=file.pk, upload_id="", state=FileState.PENDING)
    if not mine.update(upload_id=upload_id, state=FileState.UPLOADING):
        store.abort(key, upload_id)
    file.refresh_from_db(fields=["upload_id", "state"])
    return file


def arrived_parts(*, actor: Actor, version_id: str, file_id: str) -> list[Part]:
    """The parts that the store has, whole; the others are still to be sent."""
    file = _open_file(actor, version_id, file_id)
    if not file.upload_id:
        return []
    with _calling_store():
        try:
            parts = open_store().parts(key_of(file.version, file), file.upload_id)
        except Missing:
            forget_upload(file=file)
            return []
    whole = [part for number, part in sorted(parts.items()) if part.size == file.length_of(number)]
    _note_arrived(file, sum(part.size for part in whole))
    return whole


def _note_arrived(file: VersionFile, size: int | Combinable) -> None:
    """For who looks on; the store's parts are what counts."""
    mine = VersionFile.objects.filter(pk=file.pk, state=FileState.UPLOADING)
    mine.update(arrived=Least(size, F("size")))


def put_part(*, actor: Actor, version_id: str, file_id: str, number: int, chunks: Iterable[bytes]) -> int:
    """Pass one part on to the store as it comes, for browsers that the store's CORS rules keep away."""
    file = _open_file(actor, version_id, file_id)
    if not 1 <= number <= file.parts:
        raise Invalid(_("The file has parts 1 to %(parts)d.") % {"parts": file.parts}, field="number")
    store, length = open_store(), file.length_of(number)
    with _calling_store():
        file = ensure_begun(store=store, file=file)
        key = key_of(file.version, file)
        store.put_part(key, file.upload_id, number, chunks, length=length)
    _note_arrived(file, F("arrived") + length)
    return length


def complete_file(*, actor: Actor, version_id: str, file_id: str) -> VersionFile:
    """Make the file of its parts; raises Incomplete with the numbers that are missing."""
    file = _open_file(actor, version_id, file_id)
    with _calling_store():
        assemble(store=open_store(), file=file)
    file.refresh_from_db()
    return file


def assemble(*, store: ObjectStore, file: VersionFile) -> None:
    """Complete the upload in the store and note it. A lost answer is asked for again: the object is
    there with its size, or the upload is gone and the file begins anew."""
    if file.state in (FileState.STORED, FileState.VERIFIED):
        return
    key = key_of(file.version, file)
    try:
        parts = store.parts(key, file.upload_id) if file.upload_id else {}
        _refuse_missing(file, parts)
        store.complete(key, file.upload_id, [parts[number] for number in range(1, file.parts + 1)])
    except Missing as error:
        if store.size(key) != file.size:
            forget_upload(file=file)
            raise UploadGone(
                _("The store no longer knows this upload; send “%(path)s” again.") % {"path": file.path}
            ) from error
    failpoint("registry.upload.assembled")
    mine = VersionFile.objects.filter(pk=file.pk, state=FileState.UPLOADING)
    mine.update(state=FileState.STORED, stored_at=Now(), arrived=file.size)


def _refuse_missing(file: VersionFile, parts: Mapping[int, Part]) -> None:
    missing = [
        number
        for number in range(1, file.parts + 1)
        if number not in parts or parts[number].size != file.length_of(number)
    ]
    if missing:
        raise Incomplete(
            _("“%(path)s” lacks %(count)d parts.") % {"path": file.path, "count": len(missing)},
            missing=missing[:100],
        )


def forget_upload(*, file: VersionFile) -> None:
    """The store lost the upload (or it was aborted there): the file begins anew."""
    mine = VersionFile.objects.filter(pk=file.pk, upload_id=file.upload_id, state=FileState.UPLOADING)
    mine.update(upload_id="", state=FileState.PENDING, arrived=0)


@transaction.atomic
def complete_upload(*, actor: Actor, version_id: str) -> ModelVersion:
    """All files are there: have them looked at. Raises Incomplete while any is missing."""
    found = get_version(actor=actor, version_id=version_id)
    actor.require(Permission.MODEL_CREATE, found.scope)
    version = life.locked(found)
    if version.state == State.VERIFYING:
        return version
    missing = version.files.exclude(state__in=[FileState.STORED, FileState.VERIFIED])
    if names := list(missing.values_list("path", flat=True)[:5]):
        raise Incomplete(_("Not everything has arrived: %(names)s.") % {"names": ", ".join(names)})
    return hand_over(actor=actor, version=version)


def hand_over(*, actor: Actor, version: ModelVersion) -> ModelVersion:
    """A locked version whose files are stored goes to be verified."""
    version = life.change(actor=actor, version=version, event="complete")
    if version.operation_id:
        operations.advance(operation_id=version.operation_id, step="verify")
    failpoint("registry.upload.completed")
    return version


@transaction.atomic
def give_up(*, actor: Actor, version_id: str, reason: str = "") -> ModelVersion:
    """Call off what is being done to a version; what was sent is removed, the draft stays."""
    found = get_version(actor=actor, version_id=version_id)
    actor.require(Permission.MODEL_CREATE, found.scope)
    return call_off(actor=actor, version=life.locked(found), reason=reason or _("It was called off."))


def call_off(*, actor: Actor, version: ModelVersion, reason: str) -> ModelVersion:
    """A locked version becomes a draft again."""
    event = "reject" if version.state == State.VERIFYING else "give_up"
    if version.operation_id:
        operations.cancel(
            operation_id=version.operation_id, message=reason, undone=_("What was sent is removed.")
        )
        version.operation_id = None
    return life.change(actor=actor, version=version, event=event, message=reason)


def _open_file(actor: Actor, version_id: str, file_id: str) -> VersionFile:
    """A file of a version that is being uploaded, or NotFound."""
    version = get_version(actor=actor, version_id=version_id)
    actor.require(Permission.MODEL_CREATE, version.scope)
    file = version.files.select_related("version").filter(pk=file_id).first()
    if file is None:
        raise NotFound(_("There is no such file."))
    if version.state != State.UPLOADING or version.origin == Origin.HUGGING_FACE:
        raise VersionBusy(_("This version takes no files now."))
    found: VersionFile = file
    return found


@contextmanager
def _calling_store() -> Iterator[None]:
    """A store that does not answer is Unavailable to whoever asks now."""
    try:
        yield
    except DriverError as error:
        raise StoreUnavailable(str(error), retry_after=5) from error
