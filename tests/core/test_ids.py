"""Ids are typed, sortable and never mistaken for one another."""

import uuid

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from apps.core.ids import IdField, decode, encode, new_id, new_uuid


@given(st.uuids())
def test_every_uuid_survives_the_round_trip(value: uuid.UUID) -> None:
    assert decode("ins", encode("ins", value)) == value


def test_ids_sort_by_the_time_of_their_making() -> None:
    made = [new_id("op") for _ in range(200)]
    assert [one[:14] for one in made] == sorted(one[:14] for one in made)


def test_a_new_uuid_says_its_version_and_variant() -> None:
    made = new_uuid()
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ins",
        "ins_",
        "ins_abc",
        "op_" + "0" * 26,
        "ins_" + "u" * 26,
        "ins_" + "z" * 26,
        "ins_" + "0" * 27,
        "0" * 26,
    ],
)
def test_malformed_and_foreign_ids_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a ins id"):
        decode("ins", text)


@pytest.mark.parametrize("value", ["nonsense", "team_" + "0" * 26, 7])
def test_a_field_refuses_what_is_not_its_kind(value: object) -> None:
    with pytest.raises(ValidationError):
        IdField(prefix="ins").to_python(value)
