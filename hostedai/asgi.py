"""The portal as gunicorn serves it."""

import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hostedai.settings.dev")
# Under ASGI each request has a thread of its own: connections must outlive threads.
os.environ.setdefault("DATABASE_POOL", "64")

# Django must be set up before anything that has models is imported.
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402

from apps.core.proxies import client_of  # noqa: E402
from apps.instances.reconcilers import open_console  # noqa: E402
from apps.panels.terminal.socket import Terminal  # noqa: E402
from hostedai.gateway import Gateway  # noqa: E402
from hostedai.portal import Portal  # noqa: E402

_portal = Portal()
_terminal = Terminal(open_console)
_gateway = Gateway()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Pages, APIs and streams by Django; WebSockets by the terminal; `/v1` by the gateway."""
    if scope["type"] in ("http", "websocket"):
        scope["client"] = client_of(scope, settings.TRUSTED_PROXY_COUNT)
    if scope["type"] == "websocket":
        await _terminal(scope, receive, send)
    elif scope["type"] == "http" and scope["path"].startswith("/v1/"):
        await _gateway(scope, receive, send)
    else:
        await _portal(scope, receive, send)
