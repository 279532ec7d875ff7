"""What is refused about people."""

from apps.core.errors import Conflict, Invalid


class EmailTaken(Conflict):
    code = "email_taken"


class LastAdministrator(Conflict):
    """The platform keeps at least one full administrator."""

    code = "last_administrator"


class BadPublicKey(Invalid):
    """Not a public SSH key, or not one that is safe to put on a machine."""

    code = "bad_public_key"


class DuplicateKey(Conflict):
    code = "duplicate_key"
