"""Before a version is servable every byte is hashed and every header read, out of the store itself."""

import hashlib
from functools import partial

from apps.core.failpoints import failpoint
from apps.drivers.objects import Missing
from apps.registry.models import VersionFile
from apps.registry.reconcilers.pulse import Pulse
from apps.registry.selectors import key_of, open_store
from apps.registry.services import verdicts
from apps.registry.states import FileState
from apps.registry.weights import Source, Unreadable, describe


def verify_version(pulse: Pulse) -> None:
    """Accept the version, or raise Unreadable with what is wrong with it."""
    row, store = pulse.version, open_store()
    files = list(row.files.order_by("path"))
    for file in files:
        if file.state != FileState.VERIFIED:
            _verify_file(pulse, file)
    facts = describe(Source(file.path, file.size, partial(store.read, key_of(row, file))) for file in files)
    failpoint("registry.verify.read")
    verdicts.accept_version(version=row, facts=facts)


def _verify_file(pulse: Pulse, file: VersionFile) -> None:
    key, digest, size = key_of(pulse.version, file), hashlib.sha256(), 0
    try:
        for chunk in open_store().stream(key):
            digest.update(chunk)
            size += len(chunk)
            pulse.beat(file, size)
    except Missing as error:
        raise Unreadable(f"{file.path} is not there.") from error
    if size != file.size:
        raise Unreadable(f"{file.path} has {size} bytes; {file.size} were promised.")
    if file.sha256 and digest.hexdigest() != file.sha256:
        raise Unreadable(f"{file.path} was damaged on its way: its SHA-256 is not the one promised.")
    verdicts.note_verified(file=file, sha256=digest.hexdigest())
    pulse.has_moved = True
    failpoint("registry.verify.hashed")
