"""Serializers of the APIs: strict ones for what comes in, read-only ones for what goes out."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core import ids, money


class In(serializers.Serializer[Any]):
    """A request body. What it does not name is refused, so that a typing error is never ignored."""

    default_error_messages = {"unknown": _("This field is not known here.")}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            unknown = sorted(set(map(str, data)) - set(self.fields))
            if unknown:
                message = self.error_messages["unknown"]
                raise serializers.ValidationError(
                    {name: [serializers.ErrorDetail(str(message), "unknown_field")] for name in unknown}
                )
        return super().to_internal_value(data)


class Nothing(In):
    """A request without a body."""


class Out(serializers.Serializer[Any]):
    """An answer, built by hand: for values that are no rows."""


class RowOut(serializers.ModelSerializer[Any]):
    """A row as one audience sees it; name the fields in `Meta.fields`, they are read-only."""

    serializer_field_mapping = {**serializers.ModelSerializer.serializer_field_mapping}

    def get_fields(self) -> Any:
        fields = super().get_fields()
        for field in fields.values():
            field.read_only = True
        return fields


@extend_schema_field({"type": "string", "format": "decimal", "examples": ["12.5"]})
class MoneyField(serializers.DecimalField):
    """An amount: a decimal as a string, both ways, never a float."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_digits": 26, "decimal_places": 12, **options})

    def to_internal_value(self, data: Any) -> Decimal:
        if not isinstance(data, str):
            raise serializers.ValidationError(_("Write amounts as strings."), code="not_a_string")
        return super().to_internal_value(data)

    def to_representation(self, value: Any) -> str:
        return money.plain(Decimal(value))


class FiniteField(serializers.FloatField):
    """A number that is one: a text such as "NaN" is none, though Python reads it."""

    def to_internal_value(self, data: Any) -> float:
        number = super().to_internal_value(data)
        if not math.isfinite(number):
            self.fail("invalid")
        return number


class TypedIdField(serializers.CharField):
    """A typed id such as `ins_01k…`; well-formed and of the right kind, not looked up."""

    default_error_messages = {"malformed": _("This is not an id of this kind.")}

    def __init__(self, prefix: str = "", **options: Any) -> None:
        self.prefix = prefix
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> str:
        try:
            return ids.encode(self.prefix, ids.decode(self.prefix, str(data)))
        except ValueError:
            self.fail("malformed")

    def to_representation(self, value: Any) -> str:
        return str(value)


RowOut.serializer_field_mapping |= {
    ids.IdField: TypedIdField,
    money.AmountField: MoneyField,
    money.PriceField: MoneyField,
}


def read_id(prefix: str, text: str) -> str | None:
    """The id in canonical form, or None when it is none: for lookups that then find nothing."""
    try:
        return ids.encode(prefix, ids.decode(prefix, text))
    except (ValueError, ValidationError):
        return None
