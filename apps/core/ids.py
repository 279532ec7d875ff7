"""Typed, sortable ids: a prefix that names the kind, and a UUIDv7 in Crockford base32.

The database holds a plain `uuid`; Python and JSON see `ins_01k…` and nothing else.
"""

import uuid
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core.uuids import decode, encode, new_id, new_uuid

__all__ = ["IdField", "decode", "encode", "new_id", "new_uuid"]


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
