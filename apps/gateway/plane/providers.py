"""External providers: what they are told, and how what they say is spelled here.

They see their own name for the model and nothing that only engines of our own understand. What they say is
read and written anew, because their JSON may be spelled in any way and ours is read by its bytes; it comes
under the endpoint's name, and a key that they repeat is left out.
"""

from typing import Any

import msgspec

from apps.drivers.egress import may_reach, networks_of
from apps.gateway.messages import ProviderRow
from apps.gateway.plane import asks

_json = msgspec.json.Decoder()
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_RESPONSES = b"/v1/responses"


class Provider:
    """What an engine has that others run."""

    __slots__ = ("_key", "_known", "_model", "_tls")

    def __init__(self, row: ProviderRow, key: str, *, tls: bool):
        self._model, self._key, self._tls = row.model, key.encode(), tls
        self._known = networks_of(row.networks)

    def may_be_at(self, peer: Any) -> bool:
        """Whether the address that a connection has reached may be spoken to."""
        return may_reach(str(peer[0]), self._known, has_tls=self._tls)

    def asked(self, body: bytes, path: bytes, most: int) -> bytes:
        """The request as it is told; it may answer with so many tokens at most."""
        whole = asks.read_whole(body)
        whole["model"] = self._model
        for name in asks.OURS:
            whole.pop(name, None)
        if whole.pop("stream_options", None) is not None and path != _RESPONSES:
            whole["stream_options"] = {"include_usage": True}
        given = [name for name in _LIMITS if isinstance(whole.get(name), int)]
        for name in given:
            whole[name] = min(whole[name], most)
        if not given and path != b"/v1/embeddings":
            whole["max_output_tokens" if path == _RESPONSES else "max_tokens"] = most
        return asks.write_whole(whole)

    def told(self, data: bytes, name: str) -> bytes:
        """What it has said, under our name for the model."""
        try:
            whole = _json.decode(data)
        except _UNREADABLE:
            return self._without_key(data)
        if isinstance(whole, dict):
            inner = whole.get("response")  # the Responses API's events
            for one in (whole, inner):
                if isinstance(one, dict) and "model" in one:
                    one["model"] = name
        return self._without_key(msgspec.json.encode(whole))

    def _without_key(self, data: bytes) -> bytes:
        return data.replace(self._key, b"***") if self._key else data
