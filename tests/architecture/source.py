"""The product's own source, parsed once for all architecture tests."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("apps", "hostedai", "celery_worker", "runner", "agent", "sdk")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """Its path beneath the repository."""
        return str(self.path.relative_to(ROOT))

    @property
    def lines(self) -> int:
        """How long it is."""
        return len(self.text.splitlines())

    def at(self, node: ast.AST) -> str:
        """Where a finding is, as an editor opens it."""
        return f"{self.name}:{node.lineno}"

    def functions(self) -> Iterator[Function]:
        """All functions and methods."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node

    def calls(self) -> Iterator[ast.Call]:
        """All calls."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield node


@cache
def modules() -> tuple[Module, ...]:
    """Every file but migrations, which are generated."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                text = path.read_text()
                found.append(Module(path=path, text=text, tree=ast.parse(text, str(path))))
    return tuple(found)


def modules_of(*places: str) -> list[Module]:
    """Those whose path matches one of the patterns, such as `apps/*/services.py`."""
    return [module for module in modules() if any(Path(module.name).match(place) for place in places)]


def under(*folders: str) -> list[Module]:
    """Those anywhere beneath the folders."""
    return [module for module in modules() if module.name.startswith(tuple(f"{f}/" for f in folders))]


def named(call: ast.Call) -> str:
    """The last part of what is called: `x` for `a.b.x(…)`."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def report(rule: str, offences: list[str]) -> str:
    """What a failing test prints."""
    return "\n".join([rule, *offences])
