"""What every driver that serves promises, asked of each of them."""

import hashlib
import http.client
import json
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from apps.drivers.engines import LOG_MOST, EngineSpec, ModelFile, Phase
from apps.drivers.errors import NoCapacity, Rejected
from apps.drivers.local import engine
from apps.drivers.registry import driver_for
from tests.drivers.lab import INSTALLATION, wait_for
from tests.factories.engines import TINY

NAME = "hai-rep_contract"


def spec_of(model: Path, **wishes) -> EngineSpec:
    body = model.read_bytes()
    file = ModelFile("tiny.gguf", len(body), hashlib.sha256(body).hexdigest(), str(model))
    usual = {"name": NAME, "installation": INSTALLATION, "resource_id": "rep_contract", "fence": 1}
    usual |= {"model": "tiny", "modality": "chat", "digest": "sha256:" + "1" * 64, "files": (file,)}
    usual |= {"context_length": 512, "parallel": 2, "api_key": "key-of-the-engine"}
    return EngineSpec(**{**usual, **wishes})


@pytest.fixture(params=["sim", "local"])
def driver(request, tmp_path):
    configs = {
        "sim": {"path": str(tmp_path / "world.sqlite"), "boot_seconds": 0.2, "delete_seconds": 0.1},
        "local": {"folder": str(tmp_path / "engines"), "most_engines": 2},
    }
    made = driver_for(request.param, configs[request.param])
    yield made
    for ref in made.list_engines().machines:
        wait_gone(made, ref.name, force=True)
    made.close()


def seen_as(driver, phase: Phase, name: str = NAME):
    return wait_for(
        lambda: driver.observe_engine(name),
        until=lambda seen: seen is not None and seen.phase in (phase, Phase.EXITED),
        what=phase,
    )


def serving(driver, **wishes):
    driver.launch_engine(spec_of(TINY, **wishes))
    seen = seen_as(driver, Phase.SERVING, wishes.get("name", NAME))
    assert seen.phase is Phase.SERVING, seen
    return seen


def wait_gone(driver, name: str, *, force: bool = False) -> None:
    def asked():
        driver.delete_engine(name, force=force)
        return driver.observe_engine(name)

    wait_for(asked, until=lambda seen: seen is None, what="gone")


def names_in(driver) -> list[str]:
    listing = driver.list_engines()
    assert listing.is_complete
    return [ref.name for ref in listing.machines]


def test_what_was_never_launched_is_absent_and_may_be_deleted(driver):
    assert driver.check().version
    assert driver.observe_engine("hai-rep_never") is None
    driver.delete_engine("hai-rep_never")
    driver.delete_engine("hai-rep_never", force=True)
    assert driver.count_open("hai-rep_never") is None
    assert names_in(driver) == []


def test_an_engine_comes_serves_and_goes(driver):
    seen = serving(driver)
    assert (seen.installation, seen.resource_id, seen.fence) == (INSTALLATION, "rep_contract", 1)
    assert urlsplit(seen.url).hostname == "127.0.0.1"
    assert driver.count_open(NAME) == 0
    assert names_in(driver) == [NAME]
    wait_gone(driver, NAME)
    assert names_in(driver) == []


def test_launching_twice_is_launching_once_and_only_the_fence_rises(driver):
    before = serving(driver)
    driver.launch_engine(spec_of(TINY, fence=7, context_length=256))
    driver.launch_engine(spec_of(TINY, fence=3))
    assert driver.observe_engine(NAME) == replace(before, fence=7)
    assert names_in(driver) == [NAME]


def test_a_name_of_another_installation_is_not_taken(driver):
    serving(driver)
    with pytest.raises(Rejected):
        driver.launch_engine(spec_of(TINY, installation="somebody-else"))


def test_what_is_gone_can_be_launched_again(driver):
    serving(driver)
    wait_gone(driver, NAME, force=True)
    assert serving(driver).phase is Phase.SERVING


def test_the_log_tells_what_an_engine_did_and_none_of_its_secrets(driver):
    assert driver.read_log(NAME) == ""
    serving(driver)
    said = wait_for(lambda: driver.read_log(NAME), until=lambda said: "serving" in said, what="its lines")
    assert "loading" in said
    assert all(line.expandtabs().isprintable() for line in said.splitlines())
    assert "key-of-the-engine" not in said
    assert driver.read_log(NAME).startswith(said.splitlines()[0])
    wait_gone(driver, NAME)
    assert driver.read_log(NAME) == ""


# ------------------------------------------------------------------ processes of this host


@pytest.fixture
def local(tmp_path):
    made = driver_for("local", {"folder": str(tmp_path / "engines"), "most_engines": 2})
    yield made
    for ref in made.list_engines().machines:
        wait_gone(made, ref.name, force=True)


def ask(url: str, path: str, key: str, body: object = None) -> tuple[int, dict]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    return answer.status, said


def test_a_local_engine_answers_only_those_with_its_key(local):
    url = serving(local).url
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
    status, said = ask(url, "/v1/chat/completions", "key-of-the-engine", asked)
    assert status == 200
    assert said["usage"]["completion_tokens"] >= 1
    assert said["model"] == "tiny"
    assert ask(url, "/v1/chat/completions", "wrong", asked)[0] == 401


def test_a_local_engine_gets_none_of_our_secrets(local, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "for-us-alone")
    serving(local)
    known = json.loads((local.engines / NAME / "process.json").read_text())
    assert b"for-us-alone" not in Path(f"/proc/{known['pid']}/environ").read_bytes()
    assert (local.engines / NAME).stat().st_mode & 0o077 == 0


def pids_of(local) -> tuple[int, int]:
    """The engine's process and its child, which serves."""
    parent = json.loads((local.engines / NAME / "process.json").read_text())["pid"]
    (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return parent, int(child)


def runs(pid: int) -> bool:
    """Not merely waiting to be buried by whoever does that here."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_opens_a_model_has_no_rights_and_ends_with_its_parent(local):
    port = urlsplit(serving(local).url).port
    parent, child = pids_of(local)
    status = dict(line.split(":\t") for line in Path(f"/proc/{child}/status").read_text().splitlines())
    assert (int(status["CapEff"], 16), status["NoNewPrivs"], status["Seccomp"]) == (0, "1", "2")
    assert engine.listens(child, port)
    assert not engine.listens(parent, port)
    assert not engine.listens(child, 1)
    os.kill(parent, 9)
    wait_for(lambda: runs(child), until=lambda still: not still, what="its end")


def test_an_engine_that_breaks_down_is_seen_to_have_ended(local):
    serving(local)
    os.kill(pids_of(local)[1], 11)
    seen = wait_for(
        lambda: local.observe_engine(NAME), until=lambda it: it.phase is Phase.EXITED, what="its end"
    )
    assert seen.failure == "The engine ended."


def test_a_file_that_is_not_what_the_registry_says_is_not_served(local):
    file = replace(spec_of(TINY).files[0], sha256="0" * 64)
    local.launch_engine(spec_of(TINY, files=(file,)))
    seen = seen_as(local, Phase.EXITED)
    assert "checksum" in seen.failure


def test_what_is_no_model_ends_with_words_for_the_user(local, tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no model at all")
    local.launch_engine(spec_of(broken))
    assert seen_as(local, Phase.EXITED).failure == "The engine cannot load this model."


def test_a_path_that_leads_out_of_the_cache_is_refused(local):
    file = replace(spec_of(TINY).files[0], path="../../out.gguf")
    local.launch_engine(spec_of(TINY, files=(file,)))
    assert "leads out" in seen_as(local, Phase.EXITED).failure


def test_a_killed_engine_is_seen_to_have_ended_and_starts_again(local):
    first = serving(local)
    known = json.loads((local.engines / NAME / "process.json").read_text())
    os.kill(known["pid"], 9)
    assert seen_as(local, Phase.EXITED).phase is Phase.EXITED
    second = serving(local)
    assert second.phase is first.phase


def test_the_log_of_a_local_engine_says_why_it_ended(local, tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no model at all")
    local.launch_engine(spec_of(broken))
    seen_as(local, Phase.EXITED)
    assert "ended: The engine cannot load this model." in local.read_log(NAME)


def test_a_long_log_is_shown_by_its_end_in_whole_lines_without_secrets_or_places(local):
    serving(local)
    log = local.engines / NAME / "engine.log"
    secrets = [
        "key-of-the-engine",
        "https://s3/x?X-Amz-Credential=AKIAABCDEFGHIJKLMNOP&X-Amz-Signature=cafe00",
    ]
    with log.open("ab") as out:
        for number in range(4000):
            out.write(f"line {number} \x1b[31m{secrets[number % 2]}\x1b[0m {local.cache}/a\n".encode())
    lines = local.read_log(NAME).splitlines()
    assert "line 3999 https://s3/x?X-Amz-Credential=***&X-Amz-Signature=*** models/a" in lines
    assert "line 3998 *** models/a" in lines
    assert lines[0].startswith("line ")
    assert sum(map(len, lines)) <= LOG_MOST


def test_a_log_does_not_grow_for_ever(local):
    serving(local)
    log = local.engines / NAME / "engine.log"
    with log.open("ab") as out:
        out.write(b"x" * 99 + b"\n" + b"y" * 2_000_000 + b"\nlast\n")
    wait_for(lambda: log.stat().st_size, until=lambda size: size < 1_000_000, what="the log shortened")
    assert "last" in local.read_log(NAME)


def test_a_host_runs_as_many_engines_as_it_may(local):
    for number in range(2):
        local.launch_engine(spec_of(TINY, name=f"hai-rep_{number}"))
    with pytest.raises(NoCapacity):
        local.launch_engine(spec_of(TINY, name="hai-rep_2"))
