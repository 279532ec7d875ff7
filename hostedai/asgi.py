"""The portal as gunicorn serves it."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hostedai.settings.dev")
# Under ASGI each request has a thread of its own: connections must outlive threads.
os.environ.setdefault("DATABASE_POOL", "64")

# Django must be set up before anything that has models is imported.
_portal = get_asgi_application()

from apps.instances.reconcilers import open_console  # noqa: E402
from apps.panels.terminal.socket import Terminal  # noqa: E402

_terminal = Terminal(open_console)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Pages, APIs and streams by Django; WebSockets by the terminal."""
    if scope["type"] == "websocket":
        await _terminal(scope, receive, send)
    else:
        await _portal(scope, receive, send)
