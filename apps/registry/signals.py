"""Upward news."""

from django.dispatch import Signal

# A version must not be served any more: `version_id`. Sent inside the transaction; endpoints drain.
version_revoked = Signal()

# A version is about to be retired: `version_id`. A receiver answers what still uses it as a list of
# names, and the retirement is refused.
users_asked = Signal()
