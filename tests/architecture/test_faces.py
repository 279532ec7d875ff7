"""Faces translate: they write nothing, and pages carry no inline script or style."""

import ast
import re

from tests.architecture.source import ROOT, named, report, under

WRITES = {
    "save",
    "create",
    "update",
    "delete",
    "bulk_create",
    "bulk_update",
    "get_or_create",
    "update_or_create",
}
NOT_ROWS = ("services", "self", "form", "super()", "cache", "session", "request.session")
INLINE = re.compile(
    r"""<style[\s>]|\sstyle\s*=\s*["'{]|\son[a-z]{3,}\s*=\s*["']|javascript:|<script(?![^>]*\b(?:src=|type="application/json"))"""
)


def _is_write(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in WRITES:
        return False
    receiver = ast.unparse(call.func.value)
    return not (receiver.split(".")[0] in NOT_ROWS or "services" in receiver or receiver in NOT_ROWS)


def test_faces_never_write_through_the_orm():
    offences = [
        f"{m.at(call)} {ast.unparse(call.func)}"
        for m in under("apps/api", "apps/panels")
        for call in m.calls()
        if _is_write(call)
    ]
    assert not offences, report("A face calls a service; it never writes itself.", offences)


def test_faces_never_read_all_rows():
    offences = [
        f"{m.at(call)} {ast.unparse(call.func)}"
        for m in under("apps/api", "apps/panels")
        for call in m.calls()
        if named(call) == "all" and ast.unparse(call.func).endswith(".objects.all")
    ]
    assert not offences, report("A face reads through `visible_to(actor)`.", offences)


def test_pages_hold_no_inline_script_or_style():
    offences = []
    for path in sorted((ROOT / "templates").rglob("*.html")):
        if "emails" in path.parts or "email" in path.parts:
            continue  # mail programs know no style sheets
        text = re.sub(r"\{#.*?#\}|\{% comment.*?endcomment %\}", "", path.read_text(), flags=re.S)
        for number, line in enumerate(text.splitlines(), 1):
            if INLINE.search(line):
                offences.append(f"{path.relative_to(ROOT)}:{number} {line.strip()[:80]}")
    assert not offences, report(
        "No inline script, handler or style: the content policy refuses them.", offences
    )
