"""A service takes keywords only, names its actor first and asks for a permission."""

import ast

from tests.architecture.source import Function, Module, modules_of, named, report, under

SERVICES = ("apps/*/services.py", "apps/*/services/*.py")
# These note what another service has already permitted.
RECORDERS = ("apps/audit/", "apps/operations/services")
# Plumbing of a request, done before or after somebody acts.
# (A ticket itself says who is meant.)
PLUMBING = {"once", "redeem_ticket", "note_closed"}


def _public(module: Module) -> list[Function]:
    return [node for node in module.tree.body if isinstance(node, Function) and not node.name.startswith("_")]


def _is_use_case(function: Function) -> bool:
    """Something somebody does: it knows who, or it is a transaction; the rest are parts of those."""
    names = {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}
    return "actor" in names or any("atomic" in ast.unparse(d) for d in function.decorator_list)


def _asks(function: Function) -> bool:
    """It requires a permission itself or hands its actor on to a service that does."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr.startswith(("require", "visible_to")):
                return True
            if any(isinstance(v, ast.Name) and v.id == "actor" for v in node.args):
                return True
            if any(isinstance(k.value, ast.Name) and k.value.id == "actor" for k in node.keywords):
                return True
    return False


def test_services_take_keywords_only():
    offences = [
        f"{m.at(f)} {f.name}"
        for m in modules_of(*SERVICES)
        for f in _public(m)
        if _is_use_case(f) and (f.args.args or f.args.posonlyargs)
    ]
    assert not offences, report("A service takes keywords only.", offences)


def test_the_actor_comes_first():
    offences = []
    for module in modules_of(*SERVICES):
        for function in _public(module):
            names = [argument.arg for argument in function.args.kwonlyargs]
            if "actor" in names[1:]:
                offences.append(f"{module.at(function)} {function.name}")
    assert not offences, report("`actor` is a service's first argument.", offences)


def test_a_service_with_an_actor_asks_for_a_permission():
    offences = []
    for module in modules_of(*SERVICES):
        if module.name.startswith(RECORDERS):
            continue
        for function in _public(module):
            names = [argument.arg for argument in function.args.kwonlyargs]
            if "actor" in names and not _asks(function):
                offences.append(f"{module.at(function)} {function.name}")
    assert not offences, report("A service asks `actor.require(…)`.", offences)


def _in_package(call: ast.Call, package: str) -> bool:
    node = call.func
    while isinstance(node, ast.Attribute):
        node = node.value
        if isinstance(node, ast.Attribute) and node.attr == package:
            return True
    return isinstance(node, ast.Name) and node.id == package


def test_faces_say_who_acts():
    offences = [
        f"{m.at(call)} {ast.unparse(call.func)}"
        for m in under("apps/api", "apps/panels")
        for call in m.calls()
        if _in_package(call, "services")
        and "actor" not in {k.arg for k in call.keywords}
        and named(call) not in PLUMBING
    ]
    assert not offences, report("A face calls a service with `actor=`.", offences)
