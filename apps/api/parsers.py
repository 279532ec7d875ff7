"""Request bodies: JSON only, small, shallow, and free of what no column can hold."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from django.http import HttpRequest
from django.utils.translation import gettext as _
from rest_framework.parsers import BaseParser

from apps.api.errors import Malformed, TooLarge

MAX_BODY = 1024 * 1024
MAX_DEPTH = 32
MAX_INTEGER = 2**63 - 1


class StrictJSONParser(BaseParser):
    """RFC 8259 to the letter: UTF-8, no NaN, no repeated names; at most 1 MiB and 32 levels."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        body = stream.read(MAX_BODY + 1)
        if len(body) > MAX_BODY:
            raise TooLarge(_("A request body may have at most 1 MiB."))
        return parse(body)


def parse(body: bytes) -> Any:
    """The value that the body holds; Malformed when it is not exactly one acceptable value."""
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_once_each, parse_constant=_no_constants)
    except UnicodeDecodeError as error:
        raise Malformed(_("The body is not UTF-8."), "invalid_utf8") from error
    except RecursionError as error:
        raise Malformed(_("The body is nested too deeply."), "too_deep") from error
    except ValueError as error:
        raise Malformed(_("The body is not JSON: %(why)s") % {"why": error}) from error
    _inspect(value)
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) != len(pairs):
        raise ValueError("a name is repeated")
    return named


def _no_constants(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _inspect(value: Any) -> None:
    """Walk the value level by level, so that no depth can exhaust the stack."""
    level: list[Any] = [value]
    depth = 0
    while level:
        depth += any(isinstance(item, dict | list) for item in level)
        if depth > MAX_DEPTH:
            raise Malformed(_("The body is nested too deeply."), "too_deep")
        level = [below for item in level for below in _children(item)]


def _children(item: Any) -> Iterable[Any]:
    match item:
        case dict():
            return [*item.keys(), *item.values()]
        case list():
            return item
        case str():
            check_text(item)
        case float() if not math.isfinite(item):
            raise Malformed(_("A number is out of range."), "number_out_of_range")
        case int() if abs(item) > MAX_INTEGER:
            raise Malformed(_("A number is out of range."), "number_out_of_range")
    return ()


def check_text(text: str) -> None:
    """Refuse what PostgreSQL cannot store: NUL, and halves of surrogate pairs."""
    if "\x00" in text:
        raise Malformed(_("Text may not contain NUL."), "nul_byte")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Malformed(_("Text is not valid Unicode."), "invalid_utf8")


def check_address(request: HttpRequest) -> None:
    """Refuse addresses whose decoded form is not clean UTF-8."""
    raw = unquote_to_bytes(request.META.get("QUERY_STRING", ""))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(_("The address is not UTF-8."), "invalid_utf8") from error
    check_text(text)
    check_text(request.path)


def as_mapping(data: Any) -> Mapping[str, Any]:
    """The body as an object; an absent body is an empty one."""
    if data is None or data == "":
        return {}
    if not isinstance(data, Mapping):
        raise Malformed(_("The body must be a JSON object."), "not_an_object")
    return data
