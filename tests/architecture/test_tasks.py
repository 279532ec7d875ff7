"""Tasks are thin, take ids by keyword, and every name that is sent is a task."""

import ast

from tests.architecture.source import Function, Module, modules, modules_of, named, report

BODY = 3


def _task_call(function: Function) -> ast.Call | None:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and named(decorator) in {"shared_task", "task"}:
            return decorator
    return None


def _tasks() -> list[tuple[Module, Function, ast.Call]]:
    return [
        (module, function, call)
        for module in modules()
        for function in module.functions()
        if (call := _task_call(function)) is not None
    ]


def _names() -> set[str]:
    return {
        keyword.value.value
        for _, _, call in _tasks()
        for keyword in call.keywords
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant)
    }


def test_every_task_has_a_name():
    offences = [
        f"{m.at(f)} {f.name}" for m, f, c in _tasks() if "name" not in {keyword.arg for keyword in c.keywords}
    ]
    assert not offences, report("A task says its name.", offences)


def test_every_enqueued_name_is_a_task():
    offences, known = [], _names()
    for module in modules():
        for call in module.calls():
            if named(call) == "enqueue" and call.args and isinstance(call.args[0], ast.Constant):
                name = call.args[0].value
                offences += [] if name in known else [f"{module.at(call)} {name}"]
    assert not offences, report("Every enqueued name is a task.", offences)


def test_tasks_take_keywords_and_swallow_unknown_ones():
    offences = [
        f"{m.at(f)} {f.name}"
        for m, f, _ in _tasks()
        if [a.arg for a in f.args.args if a.arg != "self"] or f.args.kwarg is None
    ]
    assert not offences, report("A task takes keywords only and swallows those it does not know.", offences)


def test_tasks_and_receivers_are_thin():
    offences = []
    for module in modules_of("apps/*/tasks.py", "apps/*/receivers.py"):
        for function in module.functions():
            body = [node for node in function.body if not _is_docstring(node)]
            if len(body) > BODY:
                offences.append(f"{module.at(function)} {function.name} has {len(body)} statements")
    assert not offences, report(f"A task or receiver has at most {BODY} statements.", offences)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
