"""States, actors, money, envelopes and failpoints: the small things all apps rest on."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core import failpoints
from apps.core.actor import PLATFORM, SYSTEM, Actor, region_scope, team_scope
from apps.core.envelope import Unsealable, seal, unseal
from apps.core.errors import NotPermitted
from apps.core.money import plain, round_minor, round_up
from apps.core.permissions import (
    GRANTS,
    PLATFORM_ROLES,
    REGION_ROLES,
    TEAM_ROLES,
    WHILE_SUSPENDED,
    Permission,
    Role,
)
from apps.core.states import IllegalTransition, Machine

DOOR = Machine.of(("open", {"shut"}, "open"), ("close", {"open"}, "shut"), ("lock", {"shut"}, "locked"))


def test_a_machine_moves_only_along_its_table() -> None:
    assert DOOR.target("open", "shut") == "open"
    assert DOOR.edges() == [("open", "shut"), ("shut", "locked"), ("shut", "open")]
    with pytest.raises(IllegalTransition, match="Cannot lock while open"):
        DOOR.target("lock", "open")


def test_every_role_is_granted_something_in_exactly_one_kind_of_scope() -> None:
    assert sorted(PLATFORM_ROLES + REGION_ROLES + TEAM_ROLES) == sorted(Role)
    assert all(GRANTS[role] for role in Role)


def test_an_auditor_can_change_nothing() -> None:
    assert {permission.split(":")[1] for permission in GRANTS[Role.AUDITOR]} == {"read"}


def test_a_suspended_team_keeps_reading_and_paying_only() -> None:
    assert Permission.INSTANCE_CREATE not in WHILE_SUSPENDED
    assert Permission.BILLING_MANAGE in WHILE_SUSPENDED


def test_a_grant_holds_in_its_scope_and_nowhere_else() -> None:
    mine, other = team_scope("team_a"), team_scope("team_b")
    actor = Actor("ada", {mine: frozenset({Permission.INSTANCE_READ})})
    assert actor.can(Permission.INSTANCE_READ, mine)
    assert not actor.can(Permission.INSTANCE_READ, other)
    assert not actor.can(Permission.INSTANCE_READ, region_scope("team_a"))
    assert actor.scopes(Permission.INSTANCE_READ, "team") == {"team_a"}
    with pytest.raises(NotPermitted):
        actor.require(Permission.INSTANCE_READ, other)


def test_a_platform_grant_holds_everywhere() -> None:
    assert SYSTEM.can(Permission.NODE_DRAIN, region_scope("reg_x"))
    assert SYSTEM.scopes(Permission.INSTANCE_READ, "team") == {"*"}
    SYSTEM.require(Permission.PRICE_MANAGE, PLATFORM)


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("1.005", "EUR", "1.00"),
        ("1.015", "EUR", "1.02"),
        ("2.5", "JPY", "2"),
        ("3.5", "JPY", "4"),
        ("0.0005", "KWD", "0.000"),
    ],
)
def test_amounts_are_rounded_half_to_even_in_minor_units(amount: str, currency: str, rounded: str) -> None:
    assert round_minor(Decimal(amount), currency) == Decimal(rounded)


def test_what_is_needed_is_never_told_as_less() -> None:
    assert [plain(round_up(Decimal(one), "EUR")) for one in ("0.003333", "0.02", "1.0001")] == [
        "0.01", "0.02", "1.01",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("amount", "shown"), [("10.500", "10.5"), ("100", "100"), ("0E-12", "0"), ("1E+3", "1000")]
)
def test_amounts_are_shown_without_exponent(amount: str, shown: str) -> None:
    assert plain(Decimal(amount)) == shown


@given(st.binary(max_size=64))
def test_a_sealed_value_opens_in_its_own_place_only(secret: bytes) -> None:
    sealed = seal(secret, context="regions.cluster:clu_1")
    assert unseal(sealed, context="regions.cluster:clu_1") == secret
    with pytest.raises(Unsealable):
        unseal(sealed, context="regions.cluster:clu_2")


def test_an_old_master_key_still_opens_what_it_sealed(settings) -> None:
    sealed = seal(b"secret", context="here")
    old = dict(settings.MASTER_KEYS)
    settings.MASTER_KEYS = {"k9": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", **old}
    assert unseal(sealed, context="here") == b"secret"
    assert seal(b"secret", context="here").startswith("k9:")
    settings.MASTER_KEYS = {"k9": settings.MASTER_KEYS["k9"]}
    with pytest.raises(Unsealable):
        unseal(sealed, context="here")


def test_a_failpoint_fires_once_and_only_when_armed() -> None:
    failpoints.failpoint("here")
    failpoints.load("here=raise")
    with pytest.raises(failpoints.FailpointError):
        failpoints.failpoint("here")
    failpoints.failpoint("here")


def test_passed_failpoints_are_seen() -> None:
    seen: list[str] = []
    with failpoints.watching(seen.append):
        failpoints.failpoint("a")
        failpoints.failpoint("b")
    failpoints.failpoint("c")
    assert seen == ["a", "b"]


def test_an_unknown_failpoint_action_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown failpoint action"):
        failpoints.load("here=explode")
