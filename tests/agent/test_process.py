"""The real agent, as a process, against a real portal: enrolment, an outage, a kill, a closed door."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.test import Client, override_settings

from apps.core.actor import SYSTEM
from apps.nodes import services
from apps.nodes.models import Node, NodeAgent, NodeSample
from apps.nodes.states import State
from hostedai_agent.__main__ import REFUSED
from runner.processes import wait_until
from tests.factories.supply import make_region

pytestmark = [pytest.mark.serial, pytest.mark.django_db(transaction=True)]
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90


class Relay:
    """A line to the portal that can be cut: connections pass, or are closed at once."""

    def __init__(self, port: int) -> None:
        self._goal, self.is_cut = port, False
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                caller, _address = self._door.accept()
            except OSError:
                return
            if self.is_cut:
                caller.close()
                continue
            portal = socket.create_connection(("127.0.0.1", self._goal))
            Thread(target=_carry, args=(caller, portal), daemon=True).start()

    def close(self) -> None:
        self._door.close()


def _carry(caller: socket.socket, portal: socket.socket) -> None:
    """One request and its answer: the agent opens a connection for each."""
    back = Thread(target=_pump, args=(portal, caller), daemon=True)
    back.start()
    _pump(caller, portal)
    back.join()
    caller.close()
    portal.close()


def _pump(source: socket.socket, goal: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            goal.sendall(data)
        goal.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def relay(live_server: Any) -> Iterator[Relay]:
    made = Relay(live_server.thread.port)
    with override_settings(NODE_HEARTBEAT_SECONDS=0.1, PUBLIC_URL=live_server.url):
        yield made
    made.close()


class Program:
    """The agent's process; started again with the same state."""

    def __init__(self, url: str, folder: Path, token: str = "") -> None:
        self.folder = folder
        words = ["run", "--url", url, "--state", str(folder), "--gpus", "simulated:2:h100-80gb"]
        self._command = [sys.executable, "-m", "hostedai_agent", *words]
        self._token = token
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "agent"), "LC_ALL": "C.UTF-8"}
        env |= {"HOSTEDAI_ENROLMENT_TOKEN": self._token} if self._token else {}
        log = (self.folder.parent / "agent.log").open("ab")
        self.process = subprocess.Popen(
            self._command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        log.close()

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def waiting(self) -> int:
        """How many entries the journal on disk holds."""
        with sqlite3.connect(f"file:{self.folder / 'journal.sqlite'}?mode=ro", uri=True, timeout=30) as db:
            return int(db.execute("SELECT count(*) FROM entry").fetchone()[0])

    def words(self) -> str:
        return (self.folder.parent / "agent.log").read_text()[-3000:]


@pytest.fixture
def program(relay: Relay, tmp_path: Path) -> Iterator[Program]:
    invitation = services.add_node(actor=SYSTEM, region=make_region(), name="gpu-01")
    made = Program(relay.url, tmp_path / "state", invitation.secret)
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.kill()


def until(what: Any, program: Program) -> None:
    assert wait_until(what, seconds=PATIENCE, every=0.05), program.words()


def test_an_agent_enrols_and_loses_nothing_to_outages_and_kills(relay: Relay, program: Program) -> None:
    program.start()
    until(lambda: Node.objects.filter(state=State.READY).exists(), program)
    until(lambda: NodeSample.objects.count() >= 3, program)
    relay.is_cut = True
    until(lambda: program.waiting() >= 5, program)
    program.kill()
    kept = program.waiting()
    program.start()
    until(lambda: program.waiting() >= kept + 5, program)
    relay.is_cut = False
    until(lambda: NodeSample.objects.count() >= kept + 8 and program.waiting() <= 2, program)
    assert program.kill(signal.SIGTERM) == 0, program.words()
    assert program.waiting() == 0, "a clean stop says its last word"
    samples = list(NodeSample.objects.order_by("seq"))
    assert [one.seq for one in samples] == list(range(1, len(samples) + 1))
    for before, after in pairwise(samples):
        gap = (after.at - before.at).total_seconds()
        assert abs(gap - after.seconds) < 0.01 or after.seconds == 0, "only the kill leaves a gap"
    assert sum(one.seconds == 0 for one in samples) == 2
    assert NodeAgent.objects.get().is_stopped
    assert len(samples[-1].gpus) == 2


def test_an_agent_whose_door_was_closed_ends_for_good(program: Program) -> None:
    program.start()
    until(lambda: NodeSample.objects.exists(), program)
    services.revoke_agent(actor=SYSTEM, node=Node.objects.get())
    assert program.process is not None
    assert program.process.wait(PATIENCE) == REFUSED, program.words()
    program.start()
    assert program.process.wait(PATIENCE) == REFUSED, "the old token is used up too"


@pytest.mark.django_db
def test_the_program_is_one_file_that_python_runs(tmp_path: Path) -> None:
    answer = Client().get("/agent/hostedai-agent.pyz")
    file = tmp_path / "hostedai-agent"
    file.write_bytes(answer.content)
    for words, code in ((["--version"], 0), (["run"], 78)):
        ran = subprocess.run([sys.executable, str(file), *words], check=False, capture_output=True, text=True)
        assert ran.returncode == code, ran.stderr
    names = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(file)], check=True, capture_output=True, text=True
    ).stdout
    assert "hostedai-agent.service" in names
    assert "__pycache__" not in names
