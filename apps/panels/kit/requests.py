"""What the middleware has added to a request, for the type checker."""

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from apps.core.actor import Actor
from apps.users.models import User


class PanelRequest(HttpRequest):
    actor: Actor
    request_id: str
    user: User | AnonymousUser
