"""Plausible request bodies, made from the serializers: good enough to get past them."""

from typing import Any

from rest_framework import serializers

from apps.api.fields import In, MoneyField, TypedIdField
from apps.api.isolation.specimens import missing

SAMPLES: dict[str, Any] = {
    "email": "nobody@example.invalid",
    "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGXx0jIYnqKuk8jB8LxSY7qgkLCnrnmGkmSBFNqUAlFW test",
    "slug": "sample",
    "region": "no-such-region",
}


def body_for(takes: type[In] | None, references: dict[str, str] | None = None) -> dict[str, Any] | None:
    """A body for the serializer; ids in it come from `references` by prefix, or are nobody's."""
    if takes is None:
        return None
    return _object(takes(), references or {})


def _object(takes: Any, references: dict[str, str]) -> dict[str, Any]:
    return {
        name: _value(name, field, references)
        for name, field in takes.fields.items()
        if field.required or isinstance(field, TypedIdField)
    }


def _value(name: str, field: Any, references: dict[str, str]) -> Any:
    match field:
        case TypedIdField():
            return references.get(field.prefix) or missing(field.prefix)
        case serializers.ListSerializer():
            return [_value(name, field.child, references)]
        case serializers.Serializer():
            return _object(field, references)
        case serializers.ListField():
            return [] if field.allow_empty else [_value(name, field.child, references)]
        case serializers.ChoiceField():
            return next(iter(field.choices))
        case _:
            return _plain(name, field)


def _plain(name: str, field: Any) -> Any:
    match field:
        case MoneyField():
            return "1"
        case serializers.DateTimeField():
            return "2100-01-01T00:00:00Z"
        case serializers.BooleanField():
            return True
        case serializers.DictField() | serializers.JSONField():
            return {}
        case serializers.IntegerField() | serializers.FloatField() | serializers.DecimalField():
            return 1 if field.min_value is None else field.min_value
        case _:
            return SAMPLES.get(name, "sample")
