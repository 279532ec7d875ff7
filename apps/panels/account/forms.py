"""allauth's forms where they need to know our ids."""

from allauth.account.forms import UserTokenForm as AllauthUserTokenForm
from django.core.exceptions import ValidationError

from apps.users.models import User


class UserTokenForm(AllauthUserTokenForm):  # type: ignore[misc]
    """The link in a reset mail; an id that is none is answered like a stranger's."""

    def _get_user(self, uidb36: str) -> User | None:
        try:
            found: User | None = super()._get_user(uidb36)
        except ValidationError:
            return None
        return found
