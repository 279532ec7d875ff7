"""Every state a machine knows is reached or first, and is left or final."""

import importlib
from enum import Enum
from types import ModuleType

import pytest

from apps.core.states import Machine
from tests.architecture.source import modules_of, report

STATES = [m.name.removesuffix(".py").replace("/", ".") for m in modules_of("apps/*/states.py")]


def _machines(module: ModuleType) -> dict[str, Machine]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Machine)}


def _states_of(module: ModuleType, machine: Machine) -> set[str]:
    """The members of the enumeration whose words the machine uses."""
    used = {word for edge in machine.edges() for word in edge}
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Enum) and value.__module__ == module.__name__:
            members = {str(member.value) for member in value}
            if used <= members:
                return members
    return used


@pytest.mark.parametrize("name", STATES)
def test_every_state_is_left_or_final(name):
    module = importlib.import_module(name)
    offences = []
    for title, machine in _machines(module).items():
        sources = {source for source, _ in machine.edges()}
        targets = {target for _, target in machine.edges()}
        for state in sorted(_states_of(module, machine) - sources - targets):
            offences.append(f"{name}.{title}: {state} stands alone")
        final = {str(state) for state in getattr(module, "FINAL", targets - sources)}
        for state in sorted(targets - sources - final):
            offences.append(f"{name}.{title}: {state} is neither left nor final")
    assert not offences, report("Every state is left or final.", offences)
