"""The way in: sign-up, confirmation, sign-in, second factors, sessions; with the portal's narrow scope."""

import re
import secrets
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from apps.audit.models import Record
from apps.core import tenancy
from apps.core.actor import SYSTEM
from apps.core.permissions import Role
from apps.teams.models import Membership
from apps.teams.services import invite_member
from apps.users.models import User
from apps.users.services import deactivate_user
from hostedai.cache import SteadyCache
from tests.factories.teams import TeamFactory, actor_of
from tests.factories.users import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db

EMAIL = "ada@example.com"


@pytest.fixture
def portal(client: Client, settings: Any) -> Iterator[Client]:
    """A browser before the portal, whose database connection sees nothing until somebody is known."""
    settings.DB_SCOPE = ""
    tenancy.enter_as_user(None)
    yield client
    settings.DB_SCOPE = "*"
    tenancy.see_everything()


def person(**fields: Any) -> User:
    with tenancy.everything():
        made: User = UserFactory(**fields)
    return made


def sign_up(browser: Client, email: str = EMAIL) -> Any:
    return browser.post(reverse("account_signup"), {"email": email, "password1": PASSWORD})


def sign_in(browser: Client, email: str = EMAIL, password: str = PASSWORD) -> Any:
    return browser.post(reverse("account_login"), {"login": email, "password": password})


def link_in(message: Any) -> str:
    found = re.search(r"https?://\S+", message.body)
    assert found
    return urlsplit(found[0]).path


def is_signed_in(browser: Client) -> bool:
    return "_auth_user_id" in browser.session


def test_sign_up_confirm_and_arrive_in_a_team_of_ones_own(portal: Client) -> None:
    answer = sign_up(portal)
    assert answer.url == reverse("account_email_verification_sent")
    assert not is_signed_in(portal)
    path = link_in(mail.outbox[-1])
    assert portal.get(path).status_code == 200
    assert portal.post(path).status_code == 302
    assert is_signed_in(portal)
    with tenancy.everything():
        member = Membership.objects.get(user__email=EMAIL)
        assert (member.role, member.team.name) == (Role.TEAM_ADMIN, "ada")
    home = portal.get("/", follow=True)
    assert home.status_code == 200
    assert home.redirect_chain[0][0].startswith(f"/console/{member.team.slug}/default/")
    with tenancy.everything():
        assert set(Record.objects.filter(user_id=member.user_id).values_list("action", flat=True)) >= {
            "user.signed_up", "user.signed_in", "team.created",
        }  # fmt: skip


def test_an_invited_person_joins_the_team_that_waits(portal: Client) -> None:
    with tenancy.everything():
        team = TeamFactory()
        invite_member(actor=actor_of(team), team=team, email=EMAIL, role=Role.TEAM_VIEWER)
    sign_up(portal)
    portal.post(link_in(mail.outbox[-1]))
    with tenancy.everything():
        assert [m.team for m in Membership.objects.filter(user__email=EMAIL)] == [team]


def test_without_confirmation_there_is_no_way_in(portal: Client) -> None:
    sign_up(portal)
    assert sign_in(portal).url == reverse("account_email_verification_sent")
    assert not is_signed_in(portal)


def test_a_taken_address_is_answered_like_a_free_one(portal: Client) -> None:
    person(email=EMAIL)
    answer = sign_up(portal)
    assert answer.url == reverse("account_email_verification_sent")
    assert "already" in mail.outbox[-1].body
    assert User.objects.filter(email__iexact=EMAIL).count() == 1


@pytest.mark.parametrize(
    "given",
    [
        {"email": "nonsense", "password1": PASSWORD},
        {"email": EMAIL, "password1": "short"},
        {"email": EMAIL, "password1": "password123"},
        {"email": "x" * 300 + "@example.com", "password1": PASSWORD},
        {},
    ],
)
def test_bad_sign_ups_are_told_why_and_change_nothing(portal: Client, given: dict[str, str]) -> None:
    answer = portal.post(reverse("account_signup"), given)
    assert answer.status_code == 200
    assert b"field-err" in answer.content
    assert not User.objects.exists()


def test_a_wrong_password_and_a_stranger_get_one_answer(portal: Client) -> None:
    person(email=EMAIL)
    wrong, unknown = sign_in(portal, password="x"), sign_in(portal, email="nobody@example.com")
    assert wrong.status_code == unknown.status_code == 200
    assert not is_signed_in(portal)


def test_guessing_is_slowed_down(portal: Client, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {}
    # Limits are counted in Redis by address and account: both are new, so that no other run is in the way.
    portal.defaults["REMOTE_ADDR"] = f"2001:db8:{secrets.randbits(16):x}:{secrets.randbits(16):x}::1"
    email = f"guess-{secrets.token_hex(8)}@example.com"
    person(email=email)
    texts = [sign_in(portal, email, "wrong").content for _ in range(7)]
    assert b"Too many failed" in texts[-1]
    assert sign_in(portal, email).status_code == 200
    assert not is_signed_in(portal)


def test_a_person_shut_out_is_out_at_the_next_request(portal: Client) -> None:
    user = person(email=EMAIL)
    sign_in(portal)
    assert is_signed_in(portal)
    with tenancy.everything():
        deactivate_user(actor=SYSTEM, user=user, reason="x")
    assert portal.get(reverse("mfa_index")).status_code == 302
    assert sign_in(portal).url == reverse("account_inactive")


def test_the_session_id_changes_at_sign_in_and_visitors_have_none(portal: Client) -> None:
    for name in ("account_login", "account_signup", "account_reset_password"):
        assert portal.get(reverse(name)).status_code == 200
    portal.get("/")
    assert not Session.objects.exists()
    person(email=EMAIL)
    sign_in(portal)
    first = portal.session.session_key
    portal.post(reverse("account_logout"))
    sign_in(portal)
    assert portal.session.session_key != first
    assert Session.objects.count() == 1


def test_a_forgotten_password_is_replaced_by_mail(portal: Client) -> None:
    person(email=EMAIL)
    portal.post(reverse("account_reset_password"), {"email": EMAIL})
    arrived = portal.get(link_in(mail.outbox[-1]), follow=True)
    new = "an entirely different one"
    answer = portal.post(arrived.request["PATH_INFO"], {"password1": new, "password2": new})
    assert answer.status_code == 302
    assert sign_in(portal, password=new).status_code == 302
    assert is_signed_in(portal)


@pytest.mark.parametrize("key", ["usr_0-x-y", "nonsense-set-password", "usr_00000000000000000000000000-a-b"])
def test_broken_reset_links_say_so(portal: Client, key: str) -> None:
    assert portal.get(f"/accounts/password/reset/key/{key}/").status_code == 200


def test_sessions_are_listed_and_the_others_are_ended(portal: Client) -> None:
    person(email=EMAIL)
    other = Client()
    for browser in (portal, other):
        sign_in(browser)
    page = portal.get(reverse("usersessions_list"), follow=True)
    assert page.redirect_chain == [(reverse("account-security"), 302)]
    assert len(page.context["sessions"]) == 2
    portal.post(reverse("account-security"), {"end": "others"})
    assert other.get(reverse("mfa_index")).status_code == 302
    assert portal.get(reverse("mfa_index")).status_code == 200
    assert UserSession.objects.count() == 1


@pytest.mark.parametrize(
    ("staff", "began", "seen", "stays"),
    [
        (None, 0, 10 * 3600, True),
        (None, 0, 13 * 3600, False),
        (None, 8 * 86_400, 0, False),
        (Role.OPERATOR, 0, 20 * 60, True),
        (Role.OPERATOR, 0, 40 * 60, False),
        (Role.OPERATOR, 9 * 3600, 0, False),
    ],
)
def test_sessions_end_after_idling_and_in_the_end(
    portal: Client, staff: Role | None, began: int, seen: int, stays: bool
) -> None:
    person(email=EMAIL, staff=staff)
    sign_in(portal)
    now, session = time.time(), portal.session
    session["began"], session["seen"] = now - max(began, seen), now - seen
    session.save()
    answer = portal.get(reverse("account_email"))
    assert (answer.status_code == 200) is stays
    assert is_signed_in(portal) is stays


def test_a_second_factor_is_asked_for_and_a_recovery_code_will_do(portal: Client) -> None:
    user = person(email=EMAIL)
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    Authenticator.objects.get(user=user, type="totp")
    assert sign_in(portal).url == reverse("mfa_authenticate")
    assert not is_signed_in(portal)
    assert portal.post(reverse("mfa_authenticate"), {"code": "000000x"}).status_code == 200
    code = format_hotp_value(hotp_value(secret, int(time.time()) // 30))
    portal.post(reverse("mfa_authenticate"), {"code": code})
    assert is_signed_in(portal)


def test_staff_without_a_second_factor_wait_at_the_door_where_one_is_required(
    portal: Client, settings: Any
) -> None:
    settings.STAFF_MFA_REQUIRED = True
    user = person(email=EMAIL, staff=Role.FULL_ADMINISTRATOR)
    sign_in(portal)
    assert portal.get("/admin/").url == reverse("mfa_index")
    TOTP.activate(user, generate_totp_secret())
    assert portal.get("/admin/", follow=True).status_code == 200
    assert portal.get("/admin/").url != reverse("mfa_index")


def test_setting_up_a_second_factor_needs_the_password_again(portal: Client) -> None:
    person(email=EMAIL)
    sign_in(portal)
    session = portal.session
    session["account_authentication_methods"] = [
        {**one, "at": one["at"] - 3600} for one in session["account_authentication_methods"]
    ]
    session.save()
    answer = portal.get(reverse("mfa_activate_totp"))
    assert answer.url.startswith(reverse("account_reauthenticate"))
    portal.post(answer.url, {"password": PASSWORD})
    assert portal.get(reverse("mfa_activate_totp")).status_code == 200


def test_every_page_of_the_door_renders_for_the_signed_in(portal: Client) -> None:
    person(email=EMAIL)
    sign_in(portal)
    portal.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    for name in (
        "account_email", "account_change_password", "mfa_index", "mfa_activate_totp", "mfa_add_webauthn",
        "mfa_list_webauthn", "account-security", "account_logout", "account_reauthenticate",
    ):  # fmt: skip
        answer = portal.get(reverse(name))
        assert answer.status_code == 200, name
        assert b"style=" not in answer.content, name
    assert EmailAddress.objects.get(email=EMAIL).verified


def test_the_answer_to_a_health_check_needs_no_database(
    portal: Client, django_assert_num_queries: Any
) -> None:
    tenancy.leave()
    with django_assert_num_queries(0):
        assert portal.get("/health").status_code == 200


def test_without_redis_one_signs_in_and_attempts_are_counted_all_the_same(
    client: Client, settings: Any
) -> None:
    known = person(email=EMAIL)
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": "redis://127.0.0.1:1/0"}}
    settings.ACCOUNT_RATE_LIMITS = {"login": "3/h/ip"}
    cache.clear()
    try:
        tries = [sign_in(client, password="wrong").status_code for _each in range(4)]
        assert tries == [200, 200, 200, 429]
        cache.clear()
        assert sign_in(client).status_code == 302
        assert client.session["_auth_user_id"] == str(known.pk)
    finally:
        cache.clear()
        SteadyCache.quiet_until = 0.0
