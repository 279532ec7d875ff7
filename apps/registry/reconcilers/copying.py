"""Imports: the hub's files go into the store part by part, without a copy of our own.

The journal is the rows (which files, which upload) and the store (which parts); a pass that dies leaves the
next one only the parts that are missing.
"""

from collections.abc import Iterator
from typing import NoReturn

from django.conf import settings

from apps.core.failpoints import failpoint
from apps.core.leases import LeaseLost
from apps.drivers.errors import Rejected, Transient
from apps.drivers.hub import Hub
from apps.drivers.objects import Missing
from apps.registry.errors import Incomplete, UploadGone
from apps.registry.models import VersionFile
from apps.registry.plans import choose
from apps.registry.reconcilers.pulse import Pulse
from apps.registry.selectors import key_of, open_store
from apps.registry.services import uploads, verdicts
from apps.registry.services.imports import hub_token
from apps.registry.specs import FileSpec
from apps.registry.states import FileState


def copy_version(pulse: Pulse) -> None:
    """Everything that is still missing, then hand the version over to be verified."""
    row = pulse.version
    hub = Hub(settings.HUB_ENDPOINT_URL, hub_token(row) or ("" if row.team_id else settings.HUB_TOKEN))
    if not row.files.exists():
        found = hub.listing(row.source, row.revision)
        files = choose([FileSpec(one.path, one.size, one.sha256) for one in found.files], row.wanted)
        verdicts.note_listing(version=row, commit=found.commit, files=files)
        pulse.look()
    for file in row.files.exclude(state=FileState.STORED).order_by("path"):
        file.version = row
        _copy_file(pulse, hub, file)
    verdicts.hand_over_copied(version=row)


def _copy_file(pulse: Pulse, hub: Hub, file: VersionFile) -> None:
    store, key = open_store(), key_of(pulse.version, file)
    file = uploads.ensure_begun(store=store, file=file)
    try:
        arrived = store.parts(key, file.upload_id)
    except Missing as gone:
        if store.size(key) != file.size:  # else it was assembled, and only the answer was lost
            _begin_anew(file, gone)
    else:
        for number in range(1, file.parts + 1):
            known = arrived.get(number)
            if known is None or known.size != file.length_of(number):
                _copy_part(pulse, hub, file, number)
    _assemble(file)
    failpoint("registry.import.stored")


def _begin_anew(file: VersionFile, gone: Missing) -> NoReturn:
    uploads.forget_upload(file=file)
    raise Transient("The object store lost an upload; it begins anew.", detail=gone.detail) from gone


def _copy_part(pulse: Pulse, hub: Hub, file: VersionFile, number: int) -> None:
    row, offset, length = pulse.version, (number - 1) * file.part_size, file.length_of(number)
    with hub.reading(row.source, row.revision, file.path, offset, length) as chunks:
        watched = _watched(pulse, file, offset, chunks)
        key = key_of(row, file)
        try:
            open_store().put_part(key, file.upload_id, number, watched, length=length)
        except Missing as gone:
            _begin_anew(file, gone)
        except Rejected as refused:
            raise Transient(str(refused), detail=refused.detail) from refused
    pulse.has_moved = True
    failpoint("registry.import.part")


def _watched(pulse: Pulse, file: VersionFile, offset: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        offset += len(chunk)
        pulse.beat(file, offset)
        yield chunk


def _assemble(file: VersionFile) -> None:
    try:
        uploads.assemble(store=open_store(), file=file)
    except (Incomplete, UploadGone) as error:
        raise Transient(str(error)) from error
    if not VersionFile.objects.filter(pk=file.pk, state=FileState.STORED).exists():
        raise LeaseLost(file.version_id)
