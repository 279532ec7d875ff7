"""Work of this app that comes round."""

from datetime import timedelta

from django.contrib.sessions.backends.db import SessionStore

from apps.audit.services import seal_block
from apps.operations import reconcilers, services
from apps.operations.schedule import periodic


@periodic("operations.expire", every=timedelta(minutes=1))
def expire() -> None:
    services.expire_forgotten()


@periodic("operations.prune", every=timedelta(hours=1))
def prune() -> None:
    services.prune()


@periodic("operations.deliver", every=timedelta(seconds=1))
def deliver() -> None:
    reconcilers.deliver_due()


@periodic("operations.mail", every=timedelta(seconds=30))
def mail() -> None:
    services.mail_given_up()


@periodic("audit.seal", every=timedelta(seconds=30))
def seal_audit() -> None:
    """The audit log stands below this app and cannot register its own work."""
    seal_block()


@periodic("users.clear_sessions", every=timedelta(hours=1))
def clear_sessions() -> None:
    """Sessions that have run out are of no use to anybody."""
    SessionStore.clear_expired()
