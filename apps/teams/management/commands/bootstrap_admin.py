"""The first full administrator of a new installation."""

from typing import Any

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.core import tenancy
from apps.core.actor import SYSTEM
from apps.core.errors import DomainError
from apps.teams.services import IssuedKey, bootstrap_administrator


class Command(BaseCommand):
    help = "Make the first full administrator; print a link to set a password and a key that works once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")

    def handle(self, *_args: Any, email: str, **_options: Any) -> None:
        try:
            with tenancy.everything():
                issued = bootstrap_administrator(actor=SYSTEM, email=email)
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"Set a password: {_password_link(issued)}")
        self.stdout.write(f"Admin API key, good once and for an hour: {issued.secret}")


def _password_link(issued: IssuedKey) -> str:
    user = issued.key.user
    token = f"{user_pk_to_url_str(user)}-{default_token_generator.make_token(user)}"
    return f"{settings.PUBLIC_URL.rstrip('/')}/accounts/password/reset/key/{token}/"
