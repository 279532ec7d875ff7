"""A confirmed address gives a person a place."""

from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.dispatch import receiver

from apps.core.actor import Actor
from apps.teams.services import welcome_user


@receiver(email_confirmed, dispatch_uid="teams.welcome")
def welcome(email_address: EmailAddress, **_: object) -> None:
    user = email_address.user
    welcome_user(actor=Actor(user.label, kind="user", user_id=user.pk), user=user)
