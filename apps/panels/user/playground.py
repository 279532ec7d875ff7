"""The playground: models tried out in the browser, with the rights of who sits there; no key is shown."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.billing.models import TokenRequest
from apps.billing.selectors import token_use
from apps.billing.selectors.tokens import prices_for
from apps.core.clock import db_now
from apps.core.envelope import seal, unseal
from apps.core.errors import DomainError, Invalid
from apps.core.ids import decode
from apps.core.permissions import Permission
from apps.inference.models import Endpoint
from apps.panels.kit.views import PanelView
from apps.teams import services
from apps.teams.selectors import rows
from apps.teams.specs import KeyWish

KEY_LASTS = timedelta(hours=12)
# A new key is known to the gateway within two seconds.
KEY_KNOWN_LOOKS = 20  # half a second apart
MOST_MESSAGES, MOST_TEXT = 200, 400_000
NUMBERS = {"temperature": (0.0, 2.0), "top_p": (0.0, 1.0), "max_tokens": (1, 32_768)}
ROLES = frozenset({"system", "user", "assistant"})


def models_of(view: PanelView) -> list[dict[str, Any]]:
    """What may be talked to here, each with what a million tokens cost."""
    team = view.team
    table = prices_for(str(team.pk), team.currency)
    found = Endpoint.objects.callable_by(view.actor).filter(modality="chat").order_by("team", "slug")
    models = []
    for one in found:
        prices = table.get(one.price_slug)
        cost = {kind: str(getattr(prices, kind)) for kind in ("input", "cached", "output")} if prices else {}
        models.append({"slug": one.slug, "name": one.name, "currency": team.currency, **cost})
    return models


class Playground(PanelView):
    """Choose, ask, compare; the thread lives in the browser only."""

    panel = "console"
    permission = Permission.INFERENCE_USE
    title = _("Playground")

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return self.render(
            "console/playground.html",
            {
                "models": models_of(self),
                "scripts": ["dist/chat.js"],
                "asked": request.GET.get("model", ""),
                "ask_url": self.url("playground-ask"),
                "usage_url": self.url("playground-usage"),
                "base": settings.PUBLIC_URL,
                "csrf": get_token(request),
                "launch_url": self.url("endpoint-new"),
                "top_up_url": self.url("top-up") if self.can(Permission.BILLING_MANAGE) else "",
            },
        )


class PlaygroundAsk(PanelView):
    """One question, passed to the gateway and streamed back; charged as any other call."""

    panel = "console"
    permission = Permission.INFERENCE_USE
    nav = "playground"

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            asked = checked(request.body)
            secret = self._secret()
        except DomainError as error:
            return JsonResponse({"error": {"message": error.message, "code": error.reason}}, status=422)
        response = StreamingHttpResponse(answer(asked, secret), content_type="text/event-stream")
        response.headers["Cache-Control"] = "no-store, no-transform"
        response.headers["X-Accel-Buffering"] = "no"
        return response

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse(status=405, headers={"Allow": "POST"})

    def _secret(self) -> str:
        """A key of this person, workspace and session; sealed in the session, never in the page."""
        team, workspace = self.team, self.workspace
        name = f"playground:{workspace.pk}"
        kept = self.request.session.get(name)
        if kept and self._is_good(kept["key"]):
            return unseal(kept["secret"], context=name).decode()
        wish = KeyWish(
            "Playground", frozenset({str(Permission.INFERENCE_USE)}), expires_at=db_now() + KEY_LASTS
        )
        issued = services.create_api_key(actor=self.actor, team=team, wish=wish, workspace=workspace)
        sealed = seal(issued.secret.encode(), context=name)
        self.request.session[name] = {"key": str(issued.key.pk), "secret": sealed}
        return issued.secret

    def _is_good(self, key_id: str) -> bool:
        try:
            key = rows.api_key(self.actor, key_id)
        except DomainError:
            return False
        ends: datetime | None = key.expires_at
        return key.revoked_at is None and (ends is None or ends > db_now() + timedelta(minutes=1))


class PlaygroundUsage(PanelView):
    """What an answer used that did not tell it itself, because it was stopped or broke off."""

    panel = "console"
    permission = Permission.USAGE_READ
    nav = "playground"

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """As the gateway tells usage; null until it is settled, which takes a second."""
        try:
            receipt = decode("rcp", request.GET.get("receipt", ""))
        except ValueError:
            return JsonResponse({"usage": None}, status=422)
        found = token_use.request_of(actor=self.actor, team_id=str(self.team.pk), request_id=str(receipt))
        return JsonResponse({"usage": used(found) if found else None})


def used(row: TokenRequest) -> dict[str, Any]:
    return {
        "prompt_tokens": row.input + row.cached,
        "completion_tokens": row.output,
        "prompt_tokens_details": {"cached_tokens": row.cached},
    }


def checked(body: bytes) -> dict[str, Any]:
    """The question as the gateway takes it: only what the page can ask for; raises Invalid."""
    try:
        given = json.loads(body)
        messages = [{"role": str(one["role"]), "content": str(one["content"])} for one in given["messages"]]
        asked: dict[str, Any] = {"model": str(given["model"])[:200], "messages": messages}
        for name, (least, most) in NUMBERS.items():
            if given.get(name) is not None:
                asked[name] = min(max(type(least)(given[name]), least), most)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise Invalid(_now("This question cannot be read.")) from error
    if not messages or len(messages) > MOST_MESSAGES or not {one["role"] for one in messages} <= ROLES:
        raise Invalid(_now("A talk has 1 to %(most)s messages.") % {"most": MOST_MESSAGES})
    if sum(len(one["content"]) for one in messages) > MOST_TEXT:
        raise Invalid(_now("The talk is too long; begin a new one."))
    return {**asked, "stream": True, "stream_options": {"include_usage": True}}


async def answer(asked: dict[str, Any], secret: str) -> AsyncIterator[bytes]:
    """The gateway's events as they come; a refusal is an event of its own kind."""
    try:
        async with httpx.AsyncClient(timeout=httpx.Timeout(300, connect=5), trust_env=False) as client:
            async for piece in _pieces(await _ask_patiently(client, asked, secret)):
                yield piece
    except httpx.HTTPError:
        yield refusal(b"")


async def _ask_patiently(client: httpx.AsyncClient, asked: dict[str, Any], secret: str) -> httpx.Response:
    """The gateway's answer, its body still to be read; a fresh key is waited for."""
    url = f"http://{settings.GATEWAY_HOST}:{settings.GATEWAY_PORT}/v1/chat/completions"
    question: dict[str, Any] = {"json": asked, "headers": {"Authorization": f"Bearer {secret}"}}
    response = await client.send(client.build_request("POST", url, **question), stream=True)
    for _look in range(KEY_KNOWN_LOOKS):
        if response.status_code != 401:
            break
        await response.aclose()
        await asyncio.sleep(0.5)
        response = await client.send(client.build_request("POST", url, **question), stream=True)
    return response


async def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        if response.status_code != 200:
            yield refusal(await response.aread())
            return
        if receipt := response.headers.get("X-Receipt-Id"):
            yield event("receipt", {"id": receipt})
        async for piece in response.aiter_bytes():
            yield piece
    finally:
        await response.aclose()


def refusal(said: bytes) -> bytes:
    """What the gateway refused with, in words; or that it did not answer."""
    try:
        error = json.loads(said)["error"]
        told = {"message": str(error["message"]), "code": str(error.get("code"))}
    except (ValueError, KeyError, TypeError, AttributeError):
        told = {"message": _now("The gateway does not answer."), "code": "gateway_away"}
    return event("refused", told)


def event(kind: str, told: dict[str, str]) -> bytes:
    """An event of ours among those of the gateway."""
    return f"event: {kind}\ndata: {json.dumps(told)}\n\n".encode()
