"""Typed, sortable ids: a prefix that names the kind, and a UUIDv7 in Crockford base32.

The database holds a plain `uuid`; Python and JSON see `ins_01k…` and nothing else.
"""

import secrets
import time
import uuid
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_LENGTH = 26


def new_uuid() -> uuid.UUID:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 bits below them, 62 random bits."""
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    below = rest * 4096 // 1_000_000
    value = milliseconds << 80 | 7 << 76 | below << 64 | 2 << 62 | secrets.randbits(62)
    return uuid.UUID(int=value)


def encode(prefix: str, value: uuid.UUID) -> str:
    """The id as people and programs see it."""
    number = value.int
    letters = []
    for _place in range(_LENGTH):
        number, digit = divmod(number, 32)
        letters.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(letters))}"


def decode(prefix: str, text: str) -> uuid.UUID:
    """The UUID inside an id; ValueError when it is malformed or of another kind."""
    head, _underscore, body = text.partition("_")
    if head != prefix or len(body) != _LENGTH:
        raise ValueError(f"not a {prefix} id")
    number = 0
    for letter in body:
        if letter not in _VALUES:
            raise ValueError(f"not a {prefix} id")
        number = number * 32 + _VALUES[letter]
    if number >> 128:
        raise ValueError(f"not a {prefix} id")
    return uuid.UUID(int=number)


def new_id(prefix: str) -> str:
    return encode(prefix, new_uuid())


class IdField(models.UUIDField):  # type: ignore[type-arg]
    """A typed id. As a primary key it makes its own values; otherwise it refers loosely to one."""

    description = _("A typed, sortable id")

    def __init__(self, prefix: str = "", **options: Any) -> None:
        self.prefix = prefix
        if options.get("primary_key"):
            options["editable"] = False
            options["default"] = self.make
        super().__init__(**options)

    def make(self) -> str:
        return new_id(self.prefix)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, positional, options = super().deconstruct()
        options["prefix"] = self.prefix
        if self.primary_key:
            options.pop("default", None)
            options.pop("editable", None)
        return str(name), path, list(positional), options

    def from_db_value(self, value: uuid.UUID | None, *_rest: object) -> str | None:
        return None if value is None else encode(self.prefix, value)

    def to_python(self, value: Any) -> str | None:
        if value is None or value == "":
            return None
        if isinstance(value, uuid.UUID):
            return encode(self.prefix, value)
        try:
            return encode(self.prefix, decode(self.prefix, str(value)))
        except ValueError as error:
            raise ValidationError(_("This is not a valid id."), code="invalid") from error

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None or value == "" else self._uuid(value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return None if value is None or value == "" else self._uuid(value)

    def _uuid(self, value: Any) -> uuid.UUID:
        if isinstance(value, uuid.UUID):
            return value
        try:
            return decode(self.prefix, str(value))
        except ValueError as error:
            raise ValidationError(_("This is not a valid id."), code="invalid") from error
