"""What stands behind the socket: a shell over SSH, or the serial console. Both are bytes in, bytes out."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import asyncssh
from django.utils.translation import gettext as _

from apps.core.errors import Unavailable
from apps.instances.specs import Admission

CONNECT_SECONDS = 20
CHUNK = 32_768
LOOK_SECONDS = 0.2
COLUMNS, ROWS = 80, 24


class Console(Protocol):
    """What a driver's console offers; blocking."""

    def read(self, timeout: float) -> bytes | None: ...

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Stream(ABC):
    """One open connection to a machine."""

    @abstractmethod
    async def read(self) -> bytes:
        """What arrived; b"" at the end."""

    @abstractmethod
    async def write(self, data: bytes) -> None: ...

    @abstractmethod
    def resize(self, columns: int, rows: int) -> None:
        """Tell the machine how large the screen is, where it cares."""

    @abstractmethod
    async def close(self) -> None: ...


class Shell(Stream):
    """A login shell under a pseudo-terminal."""

    def __init__(self, connection: asyncssh.SSHClientConnection, process: Any) -> None:
        self._connection = connection
        self._process = process

    @classmethod
    async def open(cls, admission: Admission) -> "Shell":
        """Sign in with the portal's own key; the machine must show the host key it was made with."""
        if not admission.host_key or not admission.address:
            raise Unavailable(_("The machine has not shown its host key yet. Try again in a moment."))
        trusted = asyncssh.import_public_key(admission.host_key)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connection = await asyncssh.connect(
                    admission.address,
                    admission.port,
                    username=admission.user,
                    client_keys=[asyncssh.import_private_key(admission.private_key)],
                    known_hosts=([trusted], [], []),
                    config=None,
                    agent_path=None,
                    keepalive_interval=15,
                )
                process = await connection.create_process(
                    term_type="xterm-256color", term_size=(COLUMNS, ROWS), encoding=None
                )
        except (OSError, TimeoutError, asyncssh.Error) as error:
            raise Unavailable(_("The machine does not answer over SSH.")) from error
        return cls(connection, process)

    async def read(self) -> bytes:
        try:
            return bytes(await self._process.stdout.read(CHUNK))
        except (OSError, asyncssh.Error):
            return b""

    async def write(self, data: bytes) -> None:
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    def resize(self, columns: int, rows: int) -> None:
        self._process.change_terminal_size(columns, rows)

    async def close(self) -> None:
        self._process.close()
        self._connection.close()
        await self._connection.wait_closed()


class Serial(Stream):
    """The serial console; its blocking reads happen in a thread."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_open = True

    @classmethod
    async def open(cls, admission: Admission, opener: Callable[[str], Console]) -> "Serial":
        return cls(await asyncio.to_thread(opener, admission.instance_id))

    async def read(self) -> bytes:
        while self._is_open:
            data = await asyncio.to_thread(self._console.read, LOOK_SECONDS)
            if data is None:
                return b""
            if data:
                return data
        return b""

    async def write(self, data: bytes) -> None:
        await asyncio.to_thread(self._console.write, data)

    def resize(self, columns: int, rows: int) -> None:
        pass  # a serial line has no size

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            await asyncio.to_thread(self._console.close)
