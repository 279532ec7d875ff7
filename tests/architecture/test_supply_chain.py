"""What is installed is what was locked, and nothing of it runs by itself."""

import re
import sysconfig
from pathlib import Path

import yaml

from runner.commands import COMMANDS
from tests.architecture.source import ROOT, report

STARTS_BY_ITSELF = {"distutils-precedence.pth"}  # setuptools, which pip brings
LOCKED = sorted(ROOT.glob("requirements*.txt"))


def test_requirements_are_locked_with_hashes():
    offences = []
    for file in LOCKED:
        wanted = re.findall(
            r"^([A-Za-z0-9_.\[\]-]+==\S+)(?: ;[^\\\n]*)? \\?$", file.read_text(), re.MULTILINE
        )
        blocks = re.split(r"^(?=[A-Za-z0-9])", file.read_text(), flags=re.MULTILINE)[1:]
        offences += [f"{file.name}: {block.split()[0]}" for block in blocks if "--hash=sha256:" not in block]
        assert wanted, f"{file.name} names nothing"
    assert not offences, report("Every requirement has its hashes.", offences)


def test_locked_files_name_no_registry():
    offences = [file.name for file in LOCKED if re.search(r"://|--index|--extra|--find", file.read_text())]
    assert not offences, report("Locked files name no registry.", offences)


def test_no_package_runs_code_at_start_up():
    folder = Path(sysconfig.get_path("purelib"))
    offences = [
        file.name
        for file in folder.glob("*.pth")
        if file.name not in STARTS_BY_ITSELF and re.search(r"^import\s", file.read_text(), re.MULTILINE)
    ]
    assert not offences, report("No package runs code when Python starts.", offences)


def test_what_the_makefile_calls_is_there():
    called = set(re.findall(r"\$\(RUNNER\) ([a-z-]+)", (ROOT / "Makefile").read_text()))
    assert called
    assert called <= set(COMMANDS)


def test_what_containers_run_is_there():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    ours = [part for part in compose["services"].values() if part.get("image") == "hostedai"]
    parts = {part["command"][0] for part in ours}
    entry = (ROOT / "deploy" / "entrypoint").read_text()
    assert {"portal", "worker", "poller"} <= parts
    assert all(f"    {part})" in entry for part in parts - {"migrate"})
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split()), line
