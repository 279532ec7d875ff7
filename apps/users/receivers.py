"""What people do at the door is noted in the audit log."""

from typing import Any

from allauth.account import signals as account
from allauth.mfa import signals as mfa
from django.dispatch import Signal
from django.http import HttpRequest

from apps.core.actor import Actor
from apps.users import services
from apps.users.models import User

NOTED: dict[str, Signal] = {
    "user.signed_up": account.user_signed_up,
    "user.signed_in": account.user_logged_in,
    "user.signed_out": account.user_logged_out,
    "user.password_set": account.password_set,
    "user.password_changed": account.password_changed,
    "user.password_reset": account.password_reset,
    "user.email_changed": account.email_changed,
    "user.factor_added": mfa.authenticator_added,
    "user.factor_removed": mfa.authenticator_removed,
    "user.factor_reset": mfa.authenticator_reset,
}


def note(action: str, user: User | None, request: HttpRequest | None) -> None:
    if user is not None and user.pk:
        services.note_deed(actor=_actor_of(user, request), action=action, user=user)


def _actor_of(user: User, request: HttpRequest | None) -> Actor:
    ip = request.META.get("REMOTE_ADDR") if request else None
    named = getattr(request, "request_id", None)
    return Actor(user.label, kind="user", user_id=user.pk, ip=ip or None, request_id=named)


def connect() -> None:
    for action, signal in NOTED.items():
        signal.connect(_listener(action), weak=False, dispatch_uid=f"users.{action}")


def _listener(action: str) -> Any:
    def listen(user: User | None = None, request: HttpRequest | None = None, **_: object) -> None:
        note(action, user, request)

    return listen
