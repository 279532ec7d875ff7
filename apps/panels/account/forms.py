"""allauth's forms where we know better."""

from typing import Any

from allauth.account.forms import SignupForm as AllauthSignupForm
from allauth.account.forms import UserTokenForm as AllauthUserTokenForm
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator

from apps.users.models import User


class SignupForm(AllauthSignupForm):
    """An address that is too long is refused, where allauth would cut it."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["email"].validators.append(MaxLengthValidator(254))


class UserTokenForm(AllauthUserTokenForm):
    """The link in a reset mail; an id that is none is answered like a stranger's."""

    def _get_user(self, uidb36: str) -> User | None:
        try:
            found: User | None = super()._get_user(uidb36)
        except ValidationError:
            return None
        return found
