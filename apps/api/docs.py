"""The OpenAPI documents as they were committed, and a page that shows them without any script."""

import json
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.api.audiences import AUDIENCES, Audience

METHODS = ("get", "post", "put", "patch", "delete")


def path_of(audience: Audience) -> Any:
    return settings.BASE_DIR / "docs" / "openapi" / f"{audience.name}.json"


@cache
def document(name: str) -> dict[str, Any]:
    """The committed document of an audience."""
    audience = next(one for one in AUDIENCES if one.name == name)
    found: dict[str, Any] = json.loads(path_of(audience).read_text())
    return found


@require_safe
def openapi(request: HttpRequest, name: str) -> HttpResponse:
    return JsonResponse(document(name), json_dumps_params={"ensure_ascii": False})


@require_safe
def page(request: HttpRequest, name: str) -> HttpResponse:
    """Every call of an API: what it is for, what it takes, what it gives."""
    found = document(name)
    shown = {
        "audience": name,
        "audiences": AUDIENCES,
        "api": found,
        "nouns": list(nouns(found)),
        "base_url": f"{settings.PUBLIC_URL}{next(iter(found['paths']))}",
    }
    return render(request, "api/docs.html", shown)


def nouns(api: dict[str, Any]) -> Any:
    """The operations by noun, each with its parameters and bodies spelled out."""
    by_noun: dict[str, list[dict[str, Any]]] = {}
    for path, item in api["paths"].items():
        for method in METHODS:
            if method in item:
                call = _call(api, path, method, item[method])
                by_noun.setdefault(item[method]["tags"][0], []).append(call)
    return ({"name": name, "calls": calls} for name, calls in sorted(by_noun.items()))


def _call(api: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    good = next((code for code in operation["responses"] if code.startswith("2")), "200")
    content = operation["responses"][good].get("content", {})
    given = next(iter(content.values()))["schema"] if content else None
    return {
        "id": operation["operationId"],
        "path": path,
        "method": method.upper(),
        "summary": operation.get("summary", operation["operationId"]),
        "description": operation.get("description", ""),
        "parameters": operation.get("parameters", []),
        "body": _fields(api, body),
        "status": good,
        "answer": _fields(api, given),
        "errors": [code for code in operation["responses"] if not code.startswith("2")],
    }


def _fields(api: dict[str, Any], schema: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The top level of an object: names, types, whether required, what they mean."""
    found = _resolve(api, schema or {})
    required = set(found.get("required", ()))
    return [
        {
            "name": name,
            "type": _type(api, one),
            "required": name in required,
            "description": one.get("description", ""),
        }
        for name, one in found.get("properties", {}).items()
    ]


def _resolve(api: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        found: dict[str, Any] = api["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return found
    return schema


def _type(api: dict[str, Any], schema: dict[str, Any]) -> str:
    for several in ("oneOf", "anyOf", "allOf"):
        if several in schema:
            return " | ".join(_type(api, one) for one in schema[several])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    kind = schema.get("type", "any")
    name = " | ".join(kind) if isinstance(kind, list) else str(kind)
    if name.startswith("array"):
        return f"{_type(api, schema.get('items', {}))}[]"
    return f"{name} ({schema['format']})" if "format" in schema else name
