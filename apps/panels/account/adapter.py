"""Where allauth asks us: how a person begins, and where one goes afterwards."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from apps.users.models import User


class AccountAdapter(DefaultAccountAdapter):
    """Links lead to the portal's public address; a new person gets the language they signed up in."""

    def new_user(self, request: HttpRequest) -> User:
        language = getattr(request, "LANGUAGE_CODE", settings.LANGUAGE_CODE)
        return User(language=language if language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE)

    def post_login(self, request: HttpRequest, user: User, **more: Any) -> Any:
        answer = super().post_login(request, user, **more)
        speak(answer, user.language)
        return answer

    def get_email_verification_redirect_url(self, email_address: EmailAddress) -> str:
        return str(settings.LOGIN_REDIRECT_URL)

    def get_reset_password_from_key_url(self, key: str) -> str:
        return f"{settings.PUBLIC_URL.rstrip('/')}/accounts/password/reset/key/{key}/"

    def get_client_ip(self, request: HttpRequest) -> Any:
        """The address as the server in front of us has established it; no header is trusted here."""
        return request.META.get("REMOTE_ADDR") or "0.0.0.0"  # noqa: S104 - an address to show, not to bind


def speak(answer: HttpResponse, language: str) -> None:
    """Have this browser's pages in that language from now on."""
    answer.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=365 * 86_400,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )
