"""The steward keeps its workers, whatever the host is short of."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from apps.gateway import messages
from apps.gateway.steward import settling, steward, workers


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
