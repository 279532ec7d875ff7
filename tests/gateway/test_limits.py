"""Limits are exact on every level, over two gateways that share nothing but Redis."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from redis import Redis

from apps.core.actor import SYSTEM
from apps.inference.services import limits
from apps.inference.specs import Limits
from apps.teams.services import create_workspace
from runner.paths import private_folder
from tests.factories.teams import key_of
from tests.gateway.engine import Engine
from tests.gateway.stage import MANY, Gateway, Stage, gateway, make_stage, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


def ask_all(stage: Stage, urls: list[str], secrets: list[str], count: int) -> Counter[tuple[int, str]]:
    """So many requests, spread over gateways and keys: how often each status, and each level that refused."""

    def ask(number: int) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {secrets[number % len(secrets)]}"}
        url = f"{urls[number // len(secrets) % len(urls)]}/v1/chat/completions"
        with httpx.Client(timeout=90, verify=False) as client:
            answer = client.post(url, json=stage.asking(), headers=headers, timeout=90)
        if answer.status_code == 429:
            assert answer.json()["error"]["code"] == "rate_limited"
            assert int(answer.headers["retry-after"]) > 0
        return answer.status_code, answer.headers.get("x-ratelimit-level", "")

    with ThreadPoolExecutor(8) as threads:
        return Counter(threads.map(ask, range(count)))


def test_each_level_lets_through_exactly_what_it_says(
    running: Gateway, folder: Path, engine: Engine, redis_db: Redis
):
    stage = make_stage(running, engine.url)
    side = create_workspace(actor=SYSTEM, team=stage.team, name="Side")
    own, more, other = (
        key_of(stage.team, "inference:use", workspace=where)
        for where in (stage.workspace, stage.workspace, side)
    )
    for issued in (own, more, other):
        limits.set_key(actor=SYSTEM, key=issued.key, limits=MANY)
    limits.set_workspace(actor=SYSTEM, workspace=side, limits=MANY)
    keys = [issued.secret for issued in (own, more, other)]
    with gateway(private_folder(folder / "second")) as second:
        urls = [running.url, second.url]
        stages = [
            Stage(at, stage.team, issued.key, issued.secret, stage.slug, stage.cluster, stage.revision,
                  stage.endpoint, stage.replicas)
            for at in (running, second) for issued in (own, more, other)
        ]  # fmt: skip
        for level, number, using in (
            ("key", 7, keys[:1]),
            ("workspace", 9, keys[:2]),
            ("team", 11, keys),
            ("platform", 13, keys),
        ):
            with changed(level, own.key, stage, Limits(number, None)):
                known(stages, level, number)
                redis_db.flushdb()
                found = ask_all(stage, urls, using, number + 12)
                assert found == {(200, ""): number, (429, level): 12}, (level, found)


def known(stages: list[Stage], level: str, number: int) -> None:
    """Wait until both gateways have heard of the limit: the next answer says it."""

    def is_known(stage: Stage) -> bool:
        headers = {"Authorization": f"Bearer {stage.secret}"}
        answer = httpx.post(
            f"{stage.gateway.url}/v1/chat/completions", json=stage.asking(), headers=headers, timeout=90
        )
        return answer.headers.get("x-ratelimit-limit-requests") == str(number)

    for stage in stages:
        if level == "key" and stage.key.pk != stages[0].key.pk:
            continue
        if level == "workspace" and stage.key.workspace_id != stages[0].key.workspace_id:
            continue
        until(lambda stage=stage: is_known(stage), f"the limit of the {level}")


class changed:  # noqa: N801 - a context
    """A limit for the length of the block."""

    def __init__(self, level: str, key: object, stage: Stage, wanted: Limits):
        self.level, self.key, self.stage, self.wanted = level, key, stage, wanted

    def __enter__(self) -> None:
        self._set(self.wanted)

    def __exit__(self, *_error: object) -> None:
        self._set(Limits(1_000_000, None))

    def _set(self, wanted: Limits) -> None:
        match self.level:
            case "key":
                limits.set_key(actor=SYSTEM, key=self.key, limits=wanted)  # type: ignore[arg-type]
            case "workspace":
                limits.set_workspace(actor=SYSTEM, workspace=self.stage.workspace, limits=wanted)
            case "team":
                limits.set_team(actor=SYSTEM, team=self.stage.team, limits=wanted)
            case _:
                limits.set_level(actor=SYSTEM, level="platform", limits=wanted)


def test_the_usual_limits_hold_without_a_word(running: Gateway, engine: Engine):
    stage = make_stage(running, engine.url, limited=True).ready()
    found = ask_all(stage, [running.url], [stage.secret], 14)
    assert found == {(200, ""): 10, (429, "key"): 4}


def test_the_tokens_of_a_day_run_out(running: Gateway, engine: Engine):
    stage = make_stage(running)
    limits.set_key(actor=SYSTEM, key=stage.key, limits=Limits(1_000_000, 30))
    stage.add(engine.url)  # whoever knows of it knows of the limit
    stage.ready()
    until(lambda: stage.post().status_code == 429, "the tokens to run out")
    answer = stage.post()
    assert answer.json()["error"]["code"] == "tokens_used_up"
    assert answer.headers["x-ratelimit-level"] == "key"
    # Twelve tokens a request: the third one crosses the line and is finished.
    assert len(stage.settled(3)) == 3
