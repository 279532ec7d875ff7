"""What a screen showed, kept as asciicast v2; its hash goes into the audit log."""

import codecs
import hashlib
import json
import os
import time
from pathlib import Path

from django.conf import settings

from apps.instances.specs import Admission

LARGEST = 64 * 1024 * 1024


class Recording:
    """One file, written while the screen is open. What is typed is not kept: it may be a password."""

    def __init__(self, admission: Admission, folder: Path | None = None) -> None:
        base = folder or Path(settings.RECORDINGS_DIR)
        started = time.time()
        day = time.strftime("%Y-%m-%d", time.gmtime(started))
        self.path = base / day / f"{admission.instance_id}-{int(started * 1000)}-{os.urandom(3).hex()}.cast"
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._digest = hashlib.sha256()
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._start = time.monotonic()
        self._size = 0
        self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        header = {"version": 2, "width": 80, "height": 24, "timestamp": int(started)}
        self._line(header | {"title": f"{admission.access} {admission.instance_name}"})

    def output(self, data: bytes) -> None:
        self._event("o", self._decode(data))

    def resize(self, columns: int, rows: int) -> None:
        self._event("r", f"{columns}x{rows}")

    def finish(self) -> str:
        """Close the file; its SHA-256."""
        self._file.close()
        return self._digest.hexdigest()

    def _event(self, kind: str, text: str) -> None:
        if text and self._size < LARGEST:
            self._line([round(time.monotonic() - self._start, 3), kind, text])

    def _line(self, value: object) -> None:
        line = json.dumps(value, ensure_ascii=False).encode() + b"\n"
        self._file.write(line)
        self._digest.update(line)
        self._size += len(line)
