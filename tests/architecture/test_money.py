"""Money is decimal: no float comes near it."""

import ast

from tests.architecture.source import Module, report, under

MONEY = ("apps/billing", "apps/core/money")


def _modules() -> list[Module]:
    return under(*MONEY) + [m for m in under("apps/core") if m.name == "apps/core/money.py"]


def test_no_float_in_billing():
    offences = []
    for module in _modules():
        for node in ast.walk(module.tree):
            is_name = isinstance(node, ast.Name) and node.id == "float"
            is_number = isinstance(node, ast.Constant) and isinstance(node.value, float)
            is_field = isinstance(node, ast.Attribute) and node.attr == "FloatField"
            if is_name or is_number or is_field:
                offences.append(f"{module.at(node)} {ast.unparse(node)}")
    assert not offences, report("Money is Decimal; no float in billing.", offences)
