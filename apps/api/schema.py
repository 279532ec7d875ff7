"""OpenAPI from the declared calls: what the code does is what the document says."""

import re
from collections.abc import Mapping
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers

TEXT_PARAMETER = {"type": "string"}


class FieldError(serializers.Serializer[Any]):
    """One field that is wrong, and why."""

    field = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemDocument(serializers.Serializer[Any]):
    """RFC 9457. `code` is stable; `detail` is for people."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    errors: Any = FieldError(many=True)
    request_id = serializers.CharField()


class CallSchema(AutoSchema):
    """Reads `calls` of the viewset."""

    view: Any

    @property
    def _call(self) -> Any:
        return self.view.calls[self.view.action]

    def get_operation_id(self) -> str:
        name = re.sub(r"\W+", "_", self.path.partition("/v1/")[2].replace("{", "").replace("}", ""))
        verb = {"partial_update": "update", "update": "replace", "destroy": "delete"}
        action = verb.get(self.view.action, self.view.action)
        nouns = [part for part in name.split("_") if part not in {"id", "region"}]
        nouns = nouns[1:] if self.path.partition("/v1/")[2].startswith("regions/{region}/") else nouns
        words = "_".join(nouns)
        return words if words.endswith(f"_{action}") else f"{words}_{action}"

    def _is_list_view(self, serializer: Any = None) -> bool:
        """Never a bare array: lists are pages."""
        return False

    def get_tags(self) -> list[str]:
        noun = self.path.partition("/v1/")[2].removeprefix("regions/{region}/")
        return [noun.split("/")[0]]

    def get_summary(self) -> str | None:
        return self._call.summary or None

    def get_request_serializer(self) -> Any:
        return self._call.takes

    def get_response_serializers(self) -> Any:
        call = self._call
        answers: dict[Any, Any] = {int(call.status): self._answer(call)}
        for status in sorted({401, 403, 429, *self._usual_errors(call), *call.own_errors}):
            answers[(status, "application/problem+json")] = ProblemDocument
        return answers

    def _answer(self, call: Any) -> Any:
        if call.gives is None:
            return None
        if self.view.action != "list" and not call.many:
            return call.gives
        item = call.gives.__name__.removesuffix("Out")
        return inline_serializer(
            name=f"{self.view.audience.title()}{item}Page",
            fields={
                "items": call.gives(many=True),
                "next_cursor": serializers.CharField(allow_null=True),
            },
        )

    def _usual_errors(self, call: Any) -> list[int]:
        found = [400]
        if "{" in self.path:
            found.append(404)
        if self.method != "GET":
            found += [409, 415, 503]
        if call.takes is not None:
            found += [413]
        if self.method in {"PUT", "PATCH"}:
            found.append(412)
        return [*found, 406, 422]

    def get_override_parameters(self) -> list[Any]:
        given: list[Any] = []
        if "team" in self.view.scope_parameters and self.view.scope_kind == "team":
            given.append(
                OpenApiParameter("team", str, description="Address or id of the team; for browsers only.")
            )
        if self.view.action == "list" or self._call.many:
            given += [
                OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}),
                OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
            ]
        if self.method == "POST":
            given.append(_header("Idempotency-Key", "Done once per key; a repeat gets the same answer."))
        if self.method in {"PUT", "PATCH"}:
            given.append(_header("If-Match", "The `ETag` that the change builds on."))
        return given

    def _resolve_path_parameters(self, variables: list[str]) -> list[dict[str, Any]]:
        return [
            {
                "in": "path",
                "name": name,
                "required": True,
                "schema": {"type": "string"},
            }
            for name in variables
        ]

    def _get_filter_parameters(self) -> list[dict[str, Any]]:
        if self.view.filters is None or not (self.view.action == "list" or self._call.many):
            return []
        return [
            {"in": "query", "name": name, "schema": _filter_schema(one)}
            | ({"description": str(one.extra["help_text"])} if one.extra.get("help_text") else {})
            for name, one in sorted(self.view.filters.base_filters.items())
        ]

    def _get_pagination_parameters(self) -> list[dict[str, Any]]:
        return []


def _filter_schema(one: Any) -> Mapping[str, Any]:
    """The type of a django-filter filter, as far as a caller needs it."""
    choices = one.extra.get("choices")
    if choices and not callable(choices):
        values = {"type": "string", "enum": sorted(str(value) for value, _label in choices)}
        return values if type(one).__name__ == "ChoiceFilter" else {"type": "array", "items": values}
    kind = type(one).__name__
    if kind == "BooleanFilter":
        return {"type": "boolean"}
    if kind == "IsoDateTimeFilter":
        return {"type": "string", "format": "date-time"}
    return TEXT_PARAMETER


def _header(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, description=description)
