"""The steward keeps its workers, whatever the host is short of."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError

from apps.gateway import messages
from apps.gateway.steward import bank, host, outside, receipts, settling, steward, workers


def terms(root: Path) -> workers.Terms:
    return workers.Terms(
        root=root, host="127.0.0.1", port=0, redis_url="redis://127.0.0.1:1/0", region="", peer_token="",
        trusted_proxies=0, stop_seconds=1.0, head_seconds=10.0,
    )  # fmt: skip


def test_a_worker_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def keep() -> int:
        tries, again = 0, asyncio.Event()

        async def start(*_values: Any) -> Any:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise OSError("no room")
            again.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(workers, "start", start)
        keeping = asyncio.create_task(
            steward.Steward(terms(tmp_path), messages.Policy("share", 1, 1000), 1, None)._keep_one()
        )
        async with asyncio.timeout(60):
            await again.wait()
        keeping.cancel()
        return tries

    assert asyncio.run(keep()) == 3


def test_a_folder_that_is_not_locked_yet_is_no_dead_workers(tmp_path: Path) -> None:
    (tmp_path / ".new").mkdir()
    assert settling.recover(tmp_path) == 0
    assert (tmp_path / ".new").exists()


class Line:
    """To a worker that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[messages.AnyMessage] = []

    def send(self, message: messages.AnyMessage) -> bool:
        self.told.append(message)
        return True


def worker(root: Path, name: str = "host-1") -> Any:
    account = bank.Account(name, settling.Folder(root))
    return SimpleNamespace(name=name, account=account, link=Line(), runs=lambda: True)


def answers_to(root: Path, message: messages.AnyMessage) -> list[messages.AnyMessage]:
    """What a worker is told that says this, once nothing is under way any more."""

    async def say() -> list[messages.AnyMessage]:
        one = steward.Steward(terms(root), messages.Policy("share", 1, 1000), 1, None)
        child = worker(root)
        one._taken(child, message)
        await asyncio.gather(*one._tasks, return_exceptions=True)
        told: list[messages.AnyMessage] = child.link.told
        return told

    return asyncio.run(say())


WANT = messages.Want("team_1", "", "", 10, 100)


@pytest.mark.parametrize("error", [DatabaseError("away"), ValueError("odd")])
def test_a_worker_that_asks_for_money_is_answered_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def grant(*_values: Any) -> None:
        raise error

    monkeypatch.setattr(bank, "grant", grant)
    monkeypatch.setattr(steward, "LEND_PAUSE", 0.0)
    assert answers_to(tmp_path, WANT) == [bank.refused_for(WANT, "billing_away")]


@pytest.mark.parametrize("error", [DatabaseError("away"), ValueError("odd")])
def test_who_asks_for_a_receipt_is_not_told_that_there_is_none_when_nobody_could_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def find(*_values: Any) -> None:
        raise error

    monkeypatch.setattr(receipts, "find", find)
    wanted = messages.ReceiptWanted(7, "key_1", "rcp_1")
    assert answers_to(tmp_path, wanted) == [messages.ReceiptFound(7, None)]


def test_a_worker_that_is_called_back_is_waited_for_once_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shrink(*_values: Any) -> None:
        raise ValueError("odd")

    async def recall() -> None:
        one = steward.Steward(terms(tmp_path), messages.Policy("share", 1, 1000), 1, None)
        child = worker(tmp_path)
        child.account.leases["lse_1"] = "team_1"
        one.children.append(child)
        calling = asyncio.create_task(one._call_back_here("team_1"))
        await asyncio.sleep(0)
        one._taken(child, messages.Recalled("team_1", {}))
        async with asyncio.timeout(60):
            await calling
        monkeypatch.setattr(steward, "RECALL_SECONDS", 0.0)
        await one._call_back_here("team_1")  # and is not answered
        assert not one._recalls

    monkeypatch.setattr(bank, "shrink", shrink)
    monkeypatch.setattr(steward, "RECALL_SECONDS", 3600.0)
    asyncio.run(recall())


def test_who_is_short_waits_until_other_hosts_have_given_back() -> None:
    said: list[str] = []

    async def give_back(team_id: str) -> None:
        await asyncio.sleep(0)
        said.append(team_id)

    async def be_short() -> None:
        asked, asking = (outside.Outside(host.Host(0, 1, "share"), give_back) for _host in range(2))
        for one in (asked, asking):
            await one.start()
        async with asyncio.timeout(60):
            while not (await asking.call_back_elsewhere("nobody") and "nobody" in said):
                pass  # until both listen
        await asking.call_back_elsewhere("team_1")
        assert said.count("team_1") == 1
        for one in (asked, asking):
            await one.stop()

    asyncio.run(be_short())
