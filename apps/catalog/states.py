"""What may become of what is offered."""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from apps.core.states import Machine


class OfferState(TextChoices):
    """Of an image or an instance type."""

    DRAFT = "draft", _("Draft")
    ACTIVE = "active", _("Active")
    DEPRECATED = "deprecated", _("Deprecated")  # still launches, is no longer shown first
    RETIRED = "retired", _("Retired")


OFFER = Machine.of(
    ("publish", {OfferState.DRAFT, OfferState.DEPRECATED, OfferState.RETIRED}, OfferState.ACTIVE),
    ("deprecate", {OfferState.ACTIVE}, OfferState.DEPRECATED),
    ("retire", {OfferState.DRAFT, OfferState.ACTIVE, OfferState.DEPRECATED}, OfferState.RETIRED),
)

LAUNCHABLE = frozenset({OfferState.ACTIVE, OfferState.DEPRECATED})
