"""The contracts in pyproject.toml name each app, driver and SDK: a new one cannot be forgotten."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.architecture.source import ROOT, Module, modules

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
CONTRACTS: dict[str, Any] = {one["name"]: one for one in PROJECT["importlinter"]["contracts"]}
WITHOUT_ROWS = {"apps.api", "apps.panels", "apps.gateway", "apps.core", "apps.drivers"}
OURS = {"apps", "hostedai", "celery_worker"}
USED_BY_ALL = {"cryptography", "httpx", "pydantic"}  # what any driver may take, and others too


def packages(folder: str) -> set[str]:
    """The packages right beneath a folder, as they are imported."""
    found = (path.parent for path in (ROOT / folder).glob("*/__init__.py"))
    return {".".join(path.relative_to(ROOT).parts) for path in found}


def imported(module: Module) -> Iterator[str]:
    """The top-level packages that are neither ours nor Python's."""
    for node in ast.walk(module.tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            top = name.partition(".")[0]
            if top not in OURS and top not in sys.stdlib_module_names:
                yield top


@cache
def sdks() -> dict[str, set[str]]:
    """What only drivers import, each with the folders that do."""
    found: dict[str, set[str]] = {}
    for module in modules():
        if module.name.startswith("apps/drivers/"):
            folder = module.name.split("/")[2]
            for name in imported(module):
                found.setdefault(name, set()).add(folder)
    return {name: folders for name, folders in found.items() if name not in USED_BY_ALL}


def test_the_map_names_every_app():
    layers = CONTRACTS["The map: a package imports only what stands below it"]["layers"]
    named = {name for layer in layers for name in layer.split(" | ") if name.startswith("apps.")}
    assert named == packages("apps")


def test_every_app_with_rows_is_layered_inside():
    contract = CONTRACTS["Inside an app: work flows down to rows and states"]
    assert set(contract["containers"]) == packages("apps") - WITHOUT_ROWS
    assert contract["exhaustive"]


def test_no_driver_knows_another():
    assert set(CONTRACTS["Drivers do not know one another"]["modules"]) == packages("apps/drivers")


def test_every_sdk_belongs_to_one_driver():
    assert {name: folders for name, folders in sdks().items() if len(folders) > 1} == {}


def test_nobody_else_imports_the_sdk_of_a_driver():
    found = [
        f"{module.name}: {name}"
        for module in modules()
        if module.name.split("/")[0] in OURS and not module.name.startswith("apps/drivers/")
        for name in imported(module)
        if name in sdks()
    ]
    assert found == []


def test_ruff_says_so_while_one_writes():
    banned = PROJECT["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    assert set(sdks()) <= set(banned)
