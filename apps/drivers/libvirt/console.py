"""The serial console of a domain, over a connection of its own so that its end disturbs nobody."""

import time
from typing import Any

import libvirt

from apps.drivers.base import Console
from apps.drivers.errors import Transient

PAUSE = 0.02
CHUNK = 64 * 1024
NOTHING_YET = -2


class LibvirtConsole(Console):
    """Polls a non-blocking stream; libvirt's event loop fills it."""

    def __init__(self, connection: Any, stream: Any) -> None:
        self._connection, self._stream = connection, stream
        self._is_closed = False

    def read(self, timeout: float) -> bytes | None:
        deadline = time.monotonic() + timeout
        while not self._is_closed:
            try:
                data = self._stream.recv(CHUNK)
            except libvirt.libvirtError:
                break
            if isinstance(data, bytes):
                if data:
                    return data
                break
            if time.monotonic() >= deadline:
                return b""
            time.sleep(PAUSE)
        self.close()
        return None

    def write(self, data: bytes) -> None:
        while data and not self._is_closed:
            try:
                sent = self._stream.send(data)
            except libvirt.libvirtError as error:
                raise Transient("The console has closed.", detail=str(error)) from error
            if sent == NOTHING_YET:
                time.sleep(PAUSE)
            else:
                data = data[sent:]

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for end in (self._stream.abort, self._connection.close):
            try:
                end()
            except libvirt.libvirtError:
                continue
