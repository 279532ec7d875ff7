"""Processes are known by number and start, so that a stranger is never ended."""

import os
import subprocess
import sys

from runner.processes import Identity, end, identify, is_alive, wait_gone


def _sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdin=subprocess.DEVNULL)


def test_a_process_is_known_by_its_number_and_start():
    mine = identify(os.getpid())
    assert mine is not None
    assert is_alive(mine)
    assert not is_alive(Identity(pid=mine.pid, started=mine.started + 1))


def test_end_ends_what_we_started():
    sleeper = _sleeper()
    identity = identify(sleeper.pid)
    end(identity)
    assert not is_alive(identity)
    sleeper.wait(timeout=60)


def test_end_leaves_a_stranger_with_the_same_number_alone():
    sleeper = _sleeper()
    try:
        identity = identify(sleeper.pid)
        end(Identity(pid=identity.pid, started=identity.started + 1))
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait(timeout=60)


def test_a_process_that_ended_but_was_not_waited_for_counts_as_gone():
    done = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    identity = identify(done.pid)
    assert identity is None or wait_gone(identity, seconds=60)
