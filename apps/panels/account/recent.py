"""Sensitive pages ask who one is when that was last proven more than five minutes ago."""

import time
from typing import Any

from allauth.account.internal.flows.reauthentication import get_reauthentication_flows
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from apps.users.selectors import proven_at


def is_recent(request: Any) -> bool:
    """Whether the person signed in, or proved who they are again, within the last five minutes."""
    newest = proven_at(request.session, request.user.pk)
    return time.time() - newest < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT


def confirm_first(request: Any) -> HttpResponseRedirect | None:
    """Where to prove who one is before going on; None when that is recent enough. A form is sent again."""
    if is_recent(request):
        return None
    ways = get_reauthentication_flows(request.user)
    if not ways:
        return None
    if request.method == "POST":
        messages.info(request, _("Confirm that it is you, then send the form again."))
    name = "account_reauthenticate" if ways[0]["id"] == "reauthenticate" else "mfa_reauthenticate"
    return HttpResponseRedirect(f"{reverse(name)}?{urlencode({'next': request.path})}")
