"""What is checked by a pattern is checked whole."""

import ast

from tests.architecture.source import modules, report


def test_no_pattern_lets_a_line_break_through():
    """`$` matches before a last line break too: `fullmatch` says what is meant, or `\\Z` for a search."""
    offences = [
        module.at(call)
        for module in modules()
        for call in module.calls()
        if ast.unparse(call.func) == "re.compile"
        and len(call.args) == 1
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
        and call.args[0].value.endswith("$")
    ]
    assert not offences, report("Patterns end where the text ends.", offences)
