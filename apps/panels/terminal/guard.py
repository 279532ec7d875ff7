"""Who may open a screen and who may keep it: asked of the database, in threads with a scope of their own."""

from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import close_old_connections

from apps.core import tenancy
from apps.core.actor import team_scope
from apps.core.errors import NotPermitted
from apps.core.permissions import Permission
from apps.instances import services
from apps.instances.models import Instance
from apps.instances.specs import Admission
from apps.instances.states import State
from apps.operations.streams import session_holder

KEPT_OPEN = {
    "terminal": (State.RUNNING,),
    "console": (State.RUNNING, State.PROVISIONING, State.STARTING, State.STOPPING),
}


def header(scope: dict[str, Any], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def origin_of(scope: dict[str, Any]) -> str:
    """The origin of the page that asks; NotPermitted unless it is one of ours."""
    origin = header(scope, b"origin")
    ours = {_bare(settings.PUBLIC_URL), *(_bare(one) for one in settings.CSRF_TRUSTED_ORIGINS)}
    if not origin or (urlsplit(origin).netloc != header(scope, b"host") and _bare(origin) not in ours):
        raise NotPermitted("This page may not open a terminal.")
    return origin


def _bare(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}".lower()


def session_of(scope: dict[str, Any]) -> str:
    try:
        jar = SimpleCookie(header(scope, b"cookie"))
    except CookieError:
        return ""
    found = jar.get(settings.SESSION_COOKIE_NAME)
    return found.value if found else ""


def admit(*, secret: str, origin: str, access: str, session_key: str) -> Admission:
    """Use the ticket up; its person must be the one who is signed in on this connection."""
    close_old_connections()
    with tenancy.everything():
        admission = services.redeem_ticket(secret=secret, origin=origin, access=access)
        if not may_stay(admission, session_key):
            raise NotPermitted("This ticket is somebody else's.")
        return admission


def stays(admission: Admission, session_key: str) -> bool:
    """Whether the screen may go on: person, session, permission and machine as before."""
    close_old_connections()
    with tenancy.everything():
        return may_stay(admission, session_key)


def may_stay(admission: Admission, session_key: str) -> bool:
    person = session_holder(session_key)() if session_key else None
    if person is None or person.user_id != admission.user_id:
        return False
    if not person.can(Permission.INSTANCE_ACCESS, team_scope(admission.team_id)):
        return False
    states = KEPT_OPEN[admission.access]
    return Instance.objects.filter(pk=admission.instance_id, state__in=states).exists()


def note_closed(*, admission: Admission, recording: str, sha256: str, reason: str) -> None:
    close_old_connections()
    with tenancy.everything():
        services.note_closed(admission=admission, recording=recording, sha256=sha256, reason=reason)
