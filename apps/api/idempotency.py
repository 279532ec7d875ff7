"""`Idempotency-Key`: a POST that is repeated is done once."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.rendering import Renderer
from apps.core.actor import Actor
from apps.operations import services
from apps.operations.specs import Answer

HEADER = "Idempotency-Key"
Handler = Callable[..., Response]


def once(handler: Handler, *, actor: Actor, scope: str) -> Handler:
    """The handler, run at most once per caller, scope and key; a refusal leaves the key unused."""

    def answer(request: Request, *args: Any, **kwargs: Any) -> Response:
        fresh: list[Response] = []

        def act() -> Answer:
            fresh.append(handler(request, *args, **kwargs))
            return Answer(fresh[0].status_code, _text(fresh[0].data))

        known = services.once(
            owner=f"{actor.key_id or actor.user_id}:{scope}",
            key=request.headers[HEADER],
            fingerprint=fingerprint(request),
            act=act,
        )
        if fresh:
            return fresh[0]
        kept = None if known.body is None else json.loads(str(known.body))
        return Response(kept, status=known.status, headers={"Idempotent-Replay": "true"})

    return answer


def fingerprint(request: Request) -> str:
    """What makes two requests the same: method, address and body, whatever the order of its names."""
    body = json.dumps(request.data, sort_keys=True, default=str)
    whole = "\n".join([str(request.method), request.get_full_path(), body])
    return hashlib.sha256(whole.encode()).hexdigest()


def _text(data: Any) -> str | None:
    """The data exactly as it goes over the wire; kept as text, for the order of its names."""
    return None if data is None else Renderer().render(data).decode()
