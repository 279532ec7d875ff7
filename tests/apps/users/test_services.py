"""People, staff roles and SSH keys."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import asyncssh
import pytest
from django.db import connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.actor import PLATFORM, SYSTEM, Actor
from apps.core.errors import Conflict, Invalid, NotFound, NotPermitted
from apps.core.ids import new_id
from apps.core.permissions import GRANTS, Role
from apps.users import services
from apps.users.errors import BadPublicKey, DuplicateKey, EmailTaken, LastAdministrator
from apps.users.models import StaffRole, User
from apps.users.specs import parse_public_key
from tests.factories.users import UserFactory

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
SK = (
    "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5"
    "C9okWi0dh2l9GKJlAAAABHNzaDo="
)


def person(user: User) -> Actor:
    return Actor(user.label, kind="user", user_id=user.pk)


def staff(role: Role) -> Actor:
    return Actor(role, {PLATFORM: GRANTS[role]}, kind="user", user_id=new_id("usr"))


class TestPublicKeys:
    @pytest.mark.parametrize(
        ("algorithm", "options"),
        [
            ("ssh-ed25519", {}),
            ("ecdsa-sha2-nistp256", {}),
            ("ecdsa-sha2-nistp384", {}),
            ("ecdsa-sha2-nistp521", {}),
            ("ssh-rsa", {"key_size": 2048}),
        ],
    )
    def test_good_keys_are_written_anew(self, algorithm: str, options: dict[str, int]) -> None:
        key = asyncssh.generate_private_key(algorithm, comment="me@laptop", **options)
        parsed = parse_public_key(f"  {key.export_public_key().decode().strip()}  \n")
        assert parsed.kind == algorithm
        assert parsed.line == " ".join(key.export_public_key().decode().split()[:2])
        assert parsed.fingerprint == key.get_fingerprint()
        assert parsed.comment == "me@laptop"

    def test_hardware_keys_keep_their_kind(self) -> None:
        assert parse_public_key(SK).line == SK

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "hello",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            f"{ED25519[:-8]}",
            f'command="rm" {ED25519}',
            f"{ED25519}\n{ED25519}",
            f"{ED25519} two\x00",
            ED25519.replace("ssh-ed25519 ", "ssh-rsa "),
            "ssh-dss AAAAB3NzaC1kc3M=",
        ],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(BadPublicKey):
            parse_public_key(text)

    def test_private_and_small_keys_are_refused_by_name(self) -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        with pytest.raises(BadPublicKey, match="private"):
            parse_public_key(key.export_private_key().decode())
        small = asyncssh.generate_private_key("ssh-rsa", key_size=1024)
        with pytest.raises(BadPublicKey, match="2048"):
            parse_public_key(small.export_public_key().decode())

    @settings(derandomize=True, deadline=None, database=None)
    @given(st.text(max_size=200))
    def test_no_text_makes_it_stumble(self, text: str) -> None:
        with pytest.raises(BadPublicKey):
            parse_public_key(text)


@pytest.mark.django_db
class TestSshKeys:
    def test_a_key_is_kept_once_and_named_after_its_comment(self) -> None:
        actor = person(UserFactory())
        key = services.add_ssh_key(actor=actor, name="", public_key=f"{ED25519} me@laptop")
        assert (key.name, key.public_key) == ("me@laptop", ED25519)
        with pytest.raises(DuplicateKey):
            services.add_ssh_key(actor=actor, name="again", public_key=ED25519)
        with pytest.raises(DuplicateKey):
            services.add_ssh_key(actor=actor, name="me@laptop", public_key=SK)
        services.delete_ssh_key(actor=actor, key=key)

    def test_nobody_touches_anothers(self) -> None:
        key = services.add_ssh_key(actor=person(UserFactory()), name="x", public_key=ED25519)
        with pytest.raises(NotFound):
            services.delete_ssh_key(actor=person(UserFactory()), key=key)
        with pytest.raises(NotPermitted):
            services.add_ssh_key(actor=SYSTEM, name="x", public_key=ED25519)


@pytest.mark.django_db
class TestPeople:
    def test_addresses_are_taken_whatever_their_case(self) -> None:
        UserFactory(email="ada@example.com")
        with pytest.raises(EmailTaken):
            UserFactory(email="ADA@example.com")

    def test_registering_is_for_staff(self) -> None:
        with pytest.raises(NotPermitted):
            services.register_user(actor=person(UserFactory()), email="x@example.com")

    def test_operators_do_not_shut_staff_out(self) -> None:
        administrator = UserFactory(staff=Role.FULL_ADMINISTRATOR)
        with pytest.raises(NotPermitted):
            services.deactivate_user(actor=staff(Role.OPERATOR), user=administrator, reason="x")
        customer = services.deactivate_user(actor=staff(Role.OPERATOR), user=UserFactory(), reason="x")
        assert not customer.is_active

    def test_roles_stand_where_they_belong(self) -> None:
        user, region = UserFactory(), new_id("reg")
        with pytest.raises(Invalid):
            services.grant_staff_role(actor=SYSTEM, user=user, role=Role.REGION_OPERATOR)
        with pytest.raises(Invalid):
            services.grant_staff_role(
                actor=SYSTEM, user=user, role=Role.OPERATOR, region_id=region, region_slug="hel-1"
            )
        with pytest.raises(Invalid):
            services.grant_staff_role(actor=SYSTEM, user=user, role=Role.TEAM_ADMIN)
        with pytest.raises(NotPermitted):
            services.grant_staff_role(actor=staff(Role.OPERATOR), user=user, role=Role.AUDITOR)

    def test_granting_twice_is_granting_once(self) -> None:
        user = UserFactory()
        one = services.grant_staff_role(actor=SYSTEM, user=user, role=Role.AUDITOR)
        assert services.grant_staff_role(actor=SYSTEM, user=user, role=Role.AUDITOR) == one

    def test_the_last_full_administrator_stays(self) -> None:
        first = UserFactory(staff=Role.FULL_ADMINISTRATOR)
        with pytest.raises(LastAdministrator):
            services.revoke_staff_role(actor=SYSTEM, held=first.staff_roles.get())
        with pytest.raises(LastAdministrator):
            services.deactivate_user(actor=SYSTEM, user=first, reason="x")
        UserFactory(staff=Role.FULL_ADMINISTRATOR)
        services.revoke_staff_role(actor=SYSTEM, held=first.staff_roles.get())
        services.deactivate_user(actor=SYSTEM, user=first, reason="x")

    def test_nobody_shuts_themselves_out(self) -> None:
        user = UserFactory(staff=Role.FULL_ADMINISTRATOR)
        with pytest.raises(Conflict):
            services.deactivate_user(
                actor=Actor("me", SYSTEM.grants, kind="user", user_id=user.pk), user=user, reason="x"
            )


@pytest.mark.django_db(transaction=True)
def test_two_full_administrators_who_go_at_once_cannot_both() -> None:
    roles = [UserFactory(staff=Role.FULL_ADMINISTRATOR).staff_roles.get() for _ in range(2)]
    gate = Barrier(2, timeout=60)

    def go(held: StaffRole) -> bool:
        try:
            with transaction.atomic():
                gate.wait()
                services.revoke_staff_role(actor=SYSTEM, held=held)
        except LastAdministrator:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(go, roles)) == [False, True]
    assert StaffRole.objects.filter(role=Role.FULL_ADMINISTRATOR).count() == 1
