"""Refusals of payments."""

from apps.core.errors import Conflict, Invalid, NotPermitted, Unavailable


class ProviderMissing(Unavailable):
    """This way of paying is not set up on this installation."""

    code = "provider_not_configured"


class BadSignature(NotPermitted):
    """What claims to come from the payment provider does not."""

    code = "bad_signature"


class BadAmount(Invalid):
    """Too little, too much, or with more decimals than the currency has."""

    code = "bad_amount"


class NoMethod(Invalid):
    """There is no saved card to charge."""

    code = "no_payment_method"


class NotRefundable(Conflict):
    """There is nothing left of the payment to give back."""

    code = "not_refundable"


class SamePerson(NotPermitted):
    """A second person has to approve this refund."""

    code = "needs_second_person"
