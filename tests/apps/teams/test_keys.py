"""API keys: their format, what they may do, and when they end."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid, NotPermitted
from apps.core.permissions import Permission, Role
from apps.teams import specs
from apps.teams.errors import BadKey, ScopeExceeded
from apps.teams.models import ApiKey
from apps.teams.selectors.actors import actor_for_key, is_allowed_from
from apps.teams.services import (
    bootstrap_administrator,
    change_role,
    create_api_key,
    remove_member,
    revoke_api_key,
    rotate_api_key,
    suspend_team,
)
from apps.teams.specs import KeyWish
from apps.users.models import User
from apps.users.services import deactivate_user
from tests.factories.teams import TeamFactory, actor_of, key_of, member_of, workspace_of
from tests.factories.users import UserFactory

READ = Permission.INSTANCE_READ


def test_a_minted_key_is_well_formed_and_its_parts_fit() -> None:
    minted = specs.mint()
    assert len(minted.secret) == len("hai_live_") + 36
    assert specs.is_well_formed(minted.secret)
    assert minted.secret.startswith(minted.prefix)
    assert minted.hash == specs.hash_of(minted.secret)


@settings(derandomize=True, deadline=None, database=None)
@given(st.integers(min_value=9, max_value=44), st.sampled_from(specs._ALPHABET))
def test_one_changed_letter_is_noticed(position: int, letter: str) -> None:
    secret = specs.mint().secret
    changed = secret[:position] + letter + secret[position + 1 :]
    assert specs.is_well_formed(changed) is (changed == secret)


@settings(derandomize=True, deadline=None, database=None)
@given(st.text(max_size=60))
def test_garbage_is_never_well_formed_and_never_raises(text: str) -> None:
    assert not specs.is_well_formed(text)


@pytest.mark.parametrize(
    ("ip", "networks", "expected"),
    [
        ("203.0.113.7", ["203.0.113.0/24"], True),
        ("203.0.114.7", ["203.0.113.0/24", "203.0.114.7/32"], True),
        ("203.0.114.8", ["203.0.113.0/24"], False),
        ("::ffff:203.0.113.7", ["203.0.113.0/24"], True),
        ("2001:db8::1", ["203.0.113.0/24"], False),
        (None, ["203.0.113.0/24"], False),
        ("nonsense", ["203.0.113.0/24"], False),
    ],
)
def test_addresses_are_held_against_networks(ip: str | None, networks: list[str], expected: bool) -> None:
    assert is_allowed_from(ip, networks) is expected


@pytest.mark.django_db
class TestUse:
    def test_a_key_acts_for_its_team_with_its_scopes_only(self) -> None:
        team = TeamFactory()
        issued = key_of(team, READ)
        actor = actor_for_key(issued.secret, "192.0.2.1")
        assert actor.kind == "key"
        assert actor.key_id == issued.key.pk
        assert actor.grants == {team.scope: frozenset({READ})}

    def test_only_the_hash_is_kept(self) -> None:
        issued = key_of(TeamFactory(), READ)
        row = ApiKey.objects.filter(pk=issued.key.pk).values().get()
        assert issued.secret not in str(row)
        assert row["hash"] == specs.hash_of(issued.secret)

    def test_an_unknown_key_of_good_form_is_refused(self) -> None:
        with pytest.raises(BadKey):
            actor_for_key(specs.mint().secret, None)

    def test_a_key_with_the_right_prefix_and_another_secret_is_refused(self) -> None:
        issued = key_of(TeamFactory(), READ)
        body = issued.secret[len(specs.HEAD) : -specs.CHECK]
        other = body[:8] + body[8:][::-1]
        with pytest.raises(BadKey):
            actor_for_key(f"{specs.HEAD}{other}{specs.checksum(other)}", None)

    def test_revocation_and_expiry_end_it_at_once(self) -> None:
        team = TeamFactory()
        revoked, expired = key_of(team, READ), key_of(team, READ)
        revoke_api_key(actor=actor_of(team), key=revoked.key)
        ApiKey.objects.filter(pk=expired.key.pk).update(expires_at=db_now() - timedelta(seconds=1))
        for issued in (revoked, expired):
            with pytest.raises(BadKey):
                actor_for_key(issued.secret, None)

    def test_it_is_bound_to_its_networks_and_its_workspace(self) -> None:
        team = TeamFactory()
        workspace = workspace_of(team)
        issued = key_of(team, READ, allowed_networks=("203.0.113.7",), workspace=workspace)
        assert actor_for_key(issued.secret, "203.0.113.7").workspace_id == workspace.pk
        with pytest.raises(BadKey):
            actor_for_key(issued.secret, "203.0.113.8")

    def test_what_concerns_the_whole_team_is_beyond_a_workspace(self) -> None:
        team = TeamFactory()
        asked = (READ, Permission.MODEL_MANAGE, Permission.MEMBER_MANAGE)
        everywhere, bound = key_of(team, *asked), key_of(team, *asked, workspace=workspace_of(team))
        assert actor_for_key(everywhere.secret, None).grants == {team.scope: frozenset(asked)}
        assert actor_for_key(bound.secret, None).grants == {team.scope: frozenset({READ})}

    def test_it_never_does_more_than_its_maker_still_may(self) -> None:
        team = TeamFactory()
        user = member_of(team, Role.TEAM_MEMBER)
        issued = key_of(team, Permission.INSTANCE_CREATE, READ, user=user)
        member = team.memberships.get(user=user)
        change_role(actor=actor_of(team), member=member, role=Role.TEAM_VIEWER)
        assert actor_for_key(issued.secret, None).grants == {team.scope: frozenset({READ})}
        remove_member(actor=actor_of(team), member=member)
        with pytest.raises(BadKey):
            actor_for_key(issued.secret, None)

    def test_it_only_reads_while_the_team_is_suspended(self) -> None:
        team = TeamFactory()
        issued = key_of(team, Permission.INSTANCE_CREATE, READ)
        suspend_team(actor=SYSTEM, team=team, reason="unpaid")
        assert actor_for_key(issued.secret, None).grants == {team.scope: frozenset({READ})}

    def test_it_ends_with_its_maker(self) -> None:
        team = TeamFactory()
        user = member_of(team)
        issued = key_of(team, READ, user=user)
        deactivate_user(actor=SYSTEM, user=user, reason="left")
        with pytest.raises(BadKey):
            actor_for_key(issued.secret, None)

    def test_use_is_written_once_a_minute(self, django_assert_num_queries) -> None:
        issued = key_of(TeamFactory(), READ)
        with django_assert_num_queries(4):
            actor_for_key(issued.secret, None)
        with django_assert_num_queries(3):
            actor_for_key(issued.secret, None)
        assert ApiKey.objects.get(pk=issued.key.pk).last_used_at is not None


@pytest.mark.django_db
class TestMaking:
    def test_scopes_stay_within_the_makers(self) -> None:
        team = TeamFactory()
        viewer = member_of(team, Role.TEAM_MEMBER)
        with pytest.raises(ScopeExceeded):
            key_of(team, Permission.MEMBER_MANAGE, user=viewer)

    def test_a_keys_key_is_no_freer(self) -> None:
        """It ends no later, is used from no other network, calls no other model; so does what it rotates."""
        team = TeamFactory()
        soon = db_now() + timedelta(days=1)
        bounds: dict[str, Any] = {
            "expires_at": soon,
            "allowed_networks": ("10.0.0.0/8", "2001:db8::/32"),
            "models": ("chat", "small"),
        }
        free, bound = key_of(team), key_of(team, **bounds)
        actor = actor_for_key(bound.secret, "10.1.1.1")
        freer: tuple[dict[str, Any], ...] = (
            {"expires_at": None},
            {"expires_at": soon + timedelta(seconds=1)},
            {"allowed_networks": ()},
            {"allowed_networks": ("10.1.0.0/16", "192.0.2.1")},
            {"models": ()},
            {"models": ("chat", "large")},
        )
        for wish in freer:
            with pytest.raises(ScopeExceeded):
                create_api_key(
                    actor=actor, team=team, wish=KeyWish("x", frozenset({str(READ)}), **(bounds | wish))
                )
        with pytest.raises(ScopeExceeded):
            rotate_api_key(actor=actor, key=free.key)
        narrower = bounds | {"allowed_networks": ("10.1.0.0/16",), "models": ("chat",)}
        create_api_key(actor=actor, team=team, wish=KeyWish("x", frozenset({str(READ)}), **narrower))
        assert rotate_api_key(actor=actor, key=bound.key).key.expires_at == soon

    def test_viewers_make_none(self) -> None:
        team = TeamFactory()
        with pytest.raises(NotPermitted):
            key_of(team, READ, user=member_of(team, Role.TEAM_VIEWER))

    @pytest.mark.parametrize(
        "wish",
        [
            {"name": " "},
            {"scopes": frozenset()},
            {"allowed_networks": ("10.0.0.1/8",)},
            {"allowed_networks": ("nowhere",)},
        ],
    )
    def test_what_is_not_sound_is_refused(self, wish: dict) -> None:
        team = TeamFactory()
        wanted = KeyWish(**{"name": "x", "scopes": frozenset({str(READ)}), **wish})
        with pytest.raises(Invalid):
            create_api_key(actor=actor_of(team), team=team, wish=wanted)

    def test_a_date_in_the_past_is_refused(self) -> None:
        with pytest.raises(Invalid):
            key_of(TeamFactory(), READ, expires_at=db_now())

    def test_rotation_overlaps(self) -> None:
        team = TeamFactory()
        old = key_of(team, READ)
        new = rotate_api_key(actor=actor_of(team), key=old.key, overlap=timedelta(hours=1))
        assert actor_for_key(old.secret, None).grants == actor_for_key(new.secret, None).grants
        rotated = ApiKey.objects.get(pk=old.key.pk)
        assert rotated.expires_at is not None
        assert new.key.expires_at is None
        assert new.key.rotated_from_id == old.key.pk

    def test_only_its_maker_rotates_it_and_admins_revoke_it(self) -> None:
        team = TeamFactory()
        issued = key_of(team, READ, user=member_of(team))
        with pytest.raises(NotPermitted):
            rotate_api_key(actor=actor_of(team), key=issued.key)
        with pytest.raises(NotPermitted):
            revoke_api_key(actor=actor_of(team, member_of(team)), key=issued.key)
        assert revoke_api_key(actor=actor_of(team), key=issued.key).revoked_at is not None

    def test_a_foreign_key_is_out_of_reach(self) -> None:
        issued = key_of(TeamFactory(), READ)
        with pytest.raises(NotPermitted):
            revoke_api_key(actor=actor_of(TeamFactory()), key=issued.key)

    def test_customers_have_no_staff_keys(self) -> None:
        wish = KeyWish("x", frozenset({str(READ)}))
        with pytest.raises(NotPermitted):
            create_api_key(actor=actor_of(TeamFactory()), team=None, wish=wish)


@pytest.mark.django_db
def test_the_bootstrap_key_works_exactly_once_and_only_on_an_empty_platform() -> None:
    issued = bootstrap_administrator(actor=SYSTEM, email="root@example.com")
    assert actor_for_key(issued.secret, None).is_staff
    with pytest.raises(BadKey):
        actor_for_key(issued.secret, None)
    with pytest.raises(Conflict):
        bootstrap_administrator(actor=SYSTEM, email="second@example.com")
    assert User.objects.get(email="root@example.com").staff_roles.count() == 1


@pytest.mark.django_db
def test_a_staff_key_reaches_as_far_as_its_holder() -> None:
    user = UserFactory(staff=Role.AUDITOR)
    from apps.teams.selectors.actors import actor_for_user

    actor = actor_for_user(user)
    issued = create_api_key(actor=actor, team=None, wish=KeyWish("audit", frozenset({str(READ)})))
    assert actor_for_key(issued.secret, None).is_staff
    user.staff_roles.all().delete()
    assert actor_for_key(issued.secret, None).grants == {}
