"""What of a program's words may leave its host: nobody's secrets, and nothing that a terminal would obey."""

import re
from collections.abc import Iterable

MASK = "***"
LEAST_SECRET = 6  # shorter ones are words that stand anywhere
_ORDERS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_NAMED = re.compile(
    r"((?:api[-_]?key|access[-_]?key(?:[-_]?id)?|secret(?:[-_]?access)?[-_]?key|session[-_]?token|password)"
    r"[\"']?\s*[=:]\s*[\"']?|x-amz-(?:signature|credential|security-token)=|bearer\s+)[^\s\"'&,;]+",
    re.IGNORECASE,
)
_SHAPED = re.compile(r"\b(?:A[KS]IA[0-9A-Z]{16}|hai_[a-z]+_[\w-]{20,}|sk-[\w-]{20,}|hf_\w{20,})")


def plain(text: str, secrets: Iterable[str] = ()) -> str:
    """The text in lines, without what is known, named or shaped as a secret."""
    text = _ORDERS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= LEAST_SECRET:
            text = text.replace(secret, MASK)
    return _SHAPED.sub(MASK, _NAMED.sub(rf"\g<1>{MASK}", text))
