"""Files and functions stay small enough to read at a glance."""

import ast
from statistics import quantiles

from tests.architecture.source import Function, modules, report

FILE_LINES, FILE_P90 = 400, 250
FUNCTION_LINES, FUNCTION_P50, FUNCTION_P90 = 50, 8, 22
NESTING = 3
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith, ast.Match)


def _lines(function: Function) -> int:
    return function.end_lineno - function.lineno + 1


def _depth(node: ast.AST, inside: int = 0) -> int:
    """How deep blocks stand in one another; `elif` is no deeper than its `if`."""
    deepest = inside
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, Function | ast.ClassDef):
                continue
            is_elif = isinstance(node, ast.If) and name == "orelse" and isinstance(child, ast.If)
            step = 1 if isinstance(child, BLOCKS) and not is_elif else 0
            deepest = max(deepest, _depth(child, inside + step))
    return deepest


def test_no_file_is_too_long():
    offences = [f"{m.name}:1 has {m.lines} lines" for m in modules() if m.lines > FILE_LINES]
    assert not offences, report(f"A file has at most {FILE_LINES} lines.", offences)


def test_no_function_is_too_long():
    offences = [
        f"{m.at(f)} {f.name} has {_lines(f)} lines"
        for m in modules()
        for f in m.functions()
        if _lines(f) > FUNCTION_LINES
    ]
    assert not offences, report(f"A function has at most {FUNCTION_LINES} lines.", offences)


def test_blocks_do_not_nest_too_deep():
    offences = [
        f"{m.at(f)} {f.name} nests {_depth(f)} deep"
        for m in modules()
        for f in m.functions()
        if _depth(f) > NESTING
    ]
    assert not offences, report(f"Blocks nest at most {NESTING} deep.", offences)


def test_most_files_and_functions_are_short():
    files = [m.lines for m in modules() if m.lines > 1]
    functions = [_lines(f) for m in modules() for f in m.functions()]
    cuts = quantiles(functions, n=10)
    assert quantiles(files, n=10)[8] <= FILE_P90
    assert cuts[4] <= FUNCTION_P50, f"the middle function has {cuts[4]} lines"
    assert cuts[8] <= FUNCTION_P90, f"nine in ten functions have {cuts[8]} lines"
