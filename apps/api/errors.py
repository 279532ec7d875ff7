"""The one place where a refusal becomes an HTTP answer: an RFC 9457 problem."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import pydantic
import structlog
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation, ValidationError
from django.db import DataError, IntegrityError, OperationalError
from django.http import Http404, HttpRequest
from django.http.multipartparser import MultiPartParserError
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response

from apps.core import errors

log = structlog.get_logger(__name__)

PROBLEM = "application/problem+json"
RETRY_AFTER_SECONDS = 5

STATUS: dict[type[Exception], int] = {
    errors.Invalid: 422,
    errors.NotPermitted: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.PaymentRequired: 402,
    errors.Unavailable: 503,
}

RESERVED = frozenset({"type", "title", "status", "detail", "code", "errors", "request_id", "instance"})


class Malformed(exceptions.ParseError):
    """The request cannot be read at all; nothing was looked at."""

    def __init__(self, detail: str, code: str = "malformed"):
        super().__init__(detail, code)


class TooLarge(exceptions.APIException):
    status_code = 413
    default_code = "too_large"


class PreconditionFailed(exceptions.APIException):
    """What the caller wanted to change is no longer what the caller saw."""

    status_code = 412
    default_code = "precondition_failed"


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """Every exception of an API view as a problem; what we did not expect is logged and says nothing."""
    request = context["request"]
    answer = _answer(error)
    called = getattr(context.get("view"), "called", {})
    for one in answer.errors:
        one["field"] = called.get(one["field"], one["field"])
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and answer.code == "internal":
        log.error("api_failed", exc_info=error, path=request.path, method=request.method)
    response = Response(answer.body(request_id(request)), status=answer.status, content_type=PROBLEM)
    for name, value in answer.headers.items():
        response.headers[name] = value
    return response


def request_id(request: Any) -> str:
    return str(getattr(getattr(request, "_request", request), "request_id", ""))


class Problem:
    """The parts of a problem document before the request's id is known."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ):
        self.status, self.code, self.detail = status, code, detail
        self.errors = errors or []
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def body(self, request_id: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "errors": self.errors,
            "request_id": request_id,
        }
        return body | {name: value for name, value in self.extra.items() if name not in RESERVED}


def not_found() -> Problem:
    """The same for what is missing and for what is somebody else's."""
    return Problem(404, "not_found", _("There is nothing here that you may see."))


def missing_route(request: HttpRequest) -> dict[str, Any]:
    return not_found().body(request_id(request))


def problem_of(error: errors.DomainError) -> Problem:
    """A refusal as a problem, for views that are no API's."""
    return _answer(error)


def _answer(error: Exception) -> Problem:
    match error:
        case errors.NotFound() | exceptions.NotFound() | Http404():
            return not_found()
        case errors.DomainError():
            return _refusal(error)
        case exceptions.ValidationError():
            found = list(_flatten(error.detail))
            return Problem(422, "invalid", _("The request has errors; each is named."), errors=found)
        case exceptions.APIException():
            return _from_framework(error)
        case PermissionDenied():
            return Problem(403, "not_permitted", _("You may not do this."))
        case SuspiciousOperation() | BadRequest() | MultiPartParserError() | UnicodeError():
            return Problem(400, "malformed", _("The request cannot be read."))
        case pydantic.ValidationError():
            return Problem(
                422, "invalid", _("The request has errors; each is named."), errors=_of_model(error)
            )
        case _:
            return _from_database(error)


def _of_model(error: pydantic.ValidationError) -> list[dict[str, str]]:
    """What a value object found wrong, field by field."""
    return [
        {"field": ".".join(map(str, one["loc"])), "code": one["type"], "detail": one["msg"]}
        for one in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _from_database(error: Exception) -> Problem:
    """The database is the last to refuse: a value it cannot hold, a row that already exists."""
    match error:
        case ValidationError() | DataError():
            return Problem(422, "invalid", _("A value is out of range or malformed."))
        case IntegrityError():
            log.warning("api_conflict", exc_info=error)
            return Problem(409, "conflict", _("This contradicts what is already there."))
        case OperationalError():
            log.warning("api_unavailable", exc_info=error)
            wait = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            return Problem(503, "unavailable", _("Busy at the moment; try again."), headers=wait)
        case _:
            return Problem(500, "internal", _("Something failed on our side; it has been recorded."))


def _refusal(error: errors.DomainError) -> Problem:
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    named = (
        [{"field": error.field, "code": error.reason, "detail": str(error.message)}] if error.field else []
    )
    headers = {}
    if isinstance(error, errors.Unavailable):
        headers["Retry-After"] = str(error.context.get("retry_after", RETRY_AFTER_SECONDS))
    extra = {name: value for name, value in error.context.items() if _is_plain(value)}
    return Problem(status, error.reason, str(error.message), errors=named, headers=headers, extra=extra)


def _from_framework(error: exceptions.APIException) -> Problem:
    headers: dict[str, str] = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if (wait := getattr(error, "wait", None)) is not None:
        headers["Retry-After"] = str(max(1, round(wait)))
    codes = error.get_codes()
    code = codes if isinstance(codes, str) else error.default_code
    code = {"permission_denied": "not_permitted", "throttled": "rate_limited", "error": "internal"}.get(
        code, code
    )
    return Problem(error.status_code, code, str(error.detail), headers=headers)


def _is_plain(value: object) -> bool:
    """Whether a piece of context may be shown: JSON all the way down."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, str | int | Decimal)


def _flatten(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    """DRF's nested errors as one list of field, code and sentence."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            at = path if name == "non_field_errors" else f"{path}.{name}" if path else str(name)
            yield from _flatten(inner, at)
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            nested = isinstance(inner, dict | list)
            yield from _flatten(inner, f"{path}.{index}" if nested and path else path)
    else:
        yield {"field": path, "code": getattr(detail, "code", None) or "invalid", "detail": str(detail)}
