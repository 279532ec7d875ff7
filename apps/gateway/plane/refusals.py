"""What a caller is told when it gets no answer: OpenAI's shape, our stable codes."""

from typing import NamedTuple

import msgspec


class Refusal(NamedTuple):
    """A status, OpenAI's type of error, our code, a sentence, and perhaps more headers."""

    status: int
    type: str
    code: str
    message: str
    headers: bytes = b""
    param: str | None = None

    def body(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(
            {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}
        )

    def with_headers(self, headers: bytes) -> "Refusal":
        return self._replace(headers=self.headers + headers)


_INVALID, _AUTH, _PERMISSION = "invalid_request_error", "authentication_error", "permission_error"
_LIMIT, _QUOTA, _SERVER, _ABSENT = "rate_limit_error", "insufficient_quota", "server_error", "not_found_error"

_ALL = (
    Refusal(400, _INVALID, "malformed", "The body is not a JSON object that we can read."),
    Refusal(400, _INVALID, "invalid", "A field is missing or wrong."),
    Refusal(401, _AUTH, "no_key", "Send an API key: `Authorization: Bearer hai_live_…`."),
    Refusal(401, _AUTH, "bad_key", "This API key is unknown or no longer good."),
    Refusal(403, _PERMISSION, "address_not_allowed", "This API key is not accepted from this address."),
    Refusal(403, _PERMISSION, "not_permitted", "This API key lacks the scope `inference:use`."),
    Refusal(403, _PERMISSION, "no_team", "This API key belongs to no team; make one in the Console."),
    Refusal(403, _PERMISSION, "team_suspended", "The team is suspended."),
    Refusal(
        404, _ABSENT, "model_not_found", "There is no such model, or this key may not use it.", b"", "model"
    ),
    Refusal(
        404,
        _ABSENT,
        "model_revoked",
        "What this model served was revoked; its owner has to serve another version.",
        b"",
        "model",
    ),
    Refusal(404, _ABSENT, "not_found", "There is nothing at this address."),
    Refusal(404, _ABSENT, "not_supported", "The engine of this model does not know this address."),
    Refusal(404, _ABSENT, "receipt_not_found", "There is no such receipt."),
    Refusal(405, _INVALID, "method_not_allowed", "This address does not take that method."),
    Refusal(408, _INVALID, "too_slow", "The request did not arrive in time."),
    Refusal(408, _INVALID, "not_taken", "The answer was not read in time."),
    Refusal(402, _QUOTA, "payment_required", "The balance or a budget is used up. Add funds first."),
    Refusal(402, _QUOTA, "insufficient_quota", "What is left does not pay for the smallest answer."),
    Refusal(429, _LIMIT, "rate_limited", "Too many requests."),
    Refusal(429, _LIMIT, "tokens_used_up", "The tokens of the day are used up."),
    Refusal(500, _SERVER, "internal_error", "The gateway has failed at this request."),
    Refusal(502, _SERVER, "engine_failed", "The engine failed to answer.", b"retry-after: 1\r\n"),
    Refusal(503, _SERVER, "no_engine", "No engine of this model is ready.", b"retry-after: 2\r\n"),
    Refusal(
        503, _SERVER, "queue_full", "The model is waking up and its queue is full.", b"retry-after: 5\r\n"
    ),
    Refusal(503, _SERVER, "no_price", "The model has no price yet."),
    Refusal(503, _SERVER, "billing_away", "Billing cannot be asked right now.", b"retry-after: 2\r\n"),
    Refusal(503, _SERVER, "limits_away", "Limits cannot be counted right now.", b"retry-after: 2\r\n"),
    Refusal(503, _SERVER, "starting", "The gateway is starting.", b"retry-after: 1\r\n"),
    Refusal(504, _SERVER, "engine_slow", "The engine did not answer in time."),
)
BY_CODE = {one.code: one for one in _ALL}


def refusal(code: str, message: str = "", *, param: str | None = None) -> Refusal:
    """The refusal of that code, perhaps in other words."""
    found = BY_CODE.get(code) or BY_CODE["bad_key"]
    return (
        found._replace(message=message or found.message, param=param or found.param)
        if message or param
        else found
    )
