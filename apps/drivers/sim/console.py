"""The serial console of a simulated machine: a shell that knows a handful of commands."""

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence

from apps.drivers.base import Console

HELP = "commands: help hostname whoami uname uptime nproc free df ip nvidia-smi ls pwd date echo clear exit"


class SimConsole(Console):
    """Answers lines as a small Linux would; ends when its machine stops."""

    def __init__(
        self,
        machine: sqlite3.Row,
        gpus: Sequence[str],
        *,
        clock: Callable[[], float],
        is_on: Callable[[], bool],
    ) -> None:
        self._machine, self._gpus, self._clock, self._is_on = machine, gpus, clock, is_on
        self._out, self._line = bytearray(), ""
        self._is_closed = False
        self._news = threading.Condition()
        self._say(f"\r\n{machine['hostname']} (simulated) ttyS0. Type “help”.\r\n\r\n{self._prompt()}")

    def read(self, timeout: float) -> bytes | None:
        deadline = time.monotonic() + timeout
        while True:
            with self._news:
                if self._out:
                    data = bytes(self._out)
                    self._out.clear()
                    return data
                if self._is_closed:
                    return None
            if not self._is_on():
                self.close()
                return None
            left = deadline - time.monotonic()
            if left <= 0:
                return b""
            with self._news:
                if not self._out and not self._is_closed:
                    self._news.wait(min(left, 0.5))

    def write(self, data: bytes) -> None:
        for character in data.decode(errors="ignore"):
            if character in "\r\n":
                line, self._line = self._line, ""
                self._say("\r\n" + self._answer(line.strip()) + self._prompt())
            elif character in "\x7f\b":
                if self._line:
                    self._line = self._line[:-1]
                    self._say("\b \b")
            elif character == "\x03":
                self._line = ""
                self._say("^C\r\n" + self._prompt())
            elif character.isprintable() and len(self._line) < 1000:
                self._line += character
                self._say(character)

    def close(self) -> None:
        with self._news:
            self._is_closed = True
            self._news.notify_all()

    def _say(self, text: str) -> None:
        with self._news:
            self._out += text.encode()
            self._news.notify_all()

    def _prompt(self) -> str:
        return f"{self._machine['login']}@{self._machine['hostname']}:~$ "

    def _answer(self, line: str) -> str:
        command, _, rest = line.partition(" ")
        if not command:
            return ""
        if command == "nvidia-smi":
            return self._list_gpus()
        answers = {
            "help": HELP,
            "hostname": self._machine["hostname"],
            "whoami": self._machine["login"],
            "uname": "Linux " + self._machine["hostname"] + " 6.1.0-sim #1 SMP x86_64 GNU/Linux",
            "uptime": f"up {int(self._clock() - self._machine['settled_at'])} seconds",
            "nproc": str(self._machine["vcpus"]),
            "free": f"Mem: {self._machine['memory_mib']} MiB",
            "df": f"/dev/vda1 {self._machine['disk_gib']}G /",
            "ip": f"eth0 {self._machine['address']}/16",
            "ls": "",
            "pwd": "/home/" + self._machine["login"],
            "date": time.strftime("%a %b %e %H:%M:%S UTC %Y", time.gmtime(self._clock())),
            "echo": rest,
            "clear": "\x1b[2J\x1b[H",
            "exit": "logout",
        }
        answer = answers.get(command, f"{command}: command not found")
        return f"{answer}\r\n" if answer else ""

    def _list_gpus(self) -> str:
        if not self._gpus:
            return "No devices were found\r\n"
        return "".join(f"GPU {index}: {model}\r\n" for index, model in enumerate(self._gpus))
