"""Receipts: what a settled request was, served by whom, at what price; signed (ed25519)."""

import base64
import hashlib
import json
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from apps.billing.models import PriceVersion, TokenRequest
from apps.core.ids import decode, encode
from apps.core.money import plain
from apps.inference.models import Replica
from apps.inference.states import Isolation
from apps.teams.models import ApiKey

KINDS = ("input", "cached", "output", "embedding")


def find(key_id: str, receipt_id: str) -> bytes:
    """The receipt of that id as JSON, signed; empty when there is none that the key may see: of its team, or
    of its workspace when it is for one only."""
    within = Q(workspace_id=None) | Q(workspace_id=OuterRef("workspace_id"))
    key = ApiKey.objects.filter(within, pk=key_id, team_id=OuterRef("team_id"))
    try:
        request = TokenRequest.objects.filter(Exists(key), pk=decode("rcp", receipt_id)).first()
    except ValueError:
        return b""
    return signed(content_of(request)) if request is not None else b""


def content_of(request: TokenRequest) -> dict[str, Any]:
    """What a receipt says. The digest is of what answered, which need not be what the endpoint serves: there
    are canaries; of what an external provider answered nobody knows it."""
    replica = Replica.objects.select_related("revision", "endpoint").filter(pk=request.replica_id).first()
    isolation = replica.isolation if replica else None
    is_external = isolation == Isolation.EXTERNAL
    digest = replica.revision.digest if replica and replica.revision else request.digest
    return {
        "id": encode("rcp", request.request_id),
        "object": "receipt",
        "team": request.team_id,
        "workspace": request.workspace_id,
        "api_key": request.key_id,
        "model": request.slug,
        "model_digest": None if is_external else digest,
        "external": is_external,
        "endpoint": request.endpoint_id,
        "replica": request.replica_id,
        "isolation": isolation,
        "outcome": request.outcome,
        "stream": request.stream,
        "tokens": {kind: getattr(request, kind) for kind in KINDS},
        "prices": _prices(request),
        "currency": request.currency,
        "amount": plain(request.amount),
        "started_at": request.started_at.isoformat(),
        "finished_at": request.finished_at.isoformat(),
    }


def _prices(request: TokenRequest) -> dict[str, dict[str, str]]:
    """What each kind cost per million tokens, and by which version of its price."""
    ids = {kind: one for kind, one in zip(KINDS, request.version_ids, strict=True) if one is not None}
    versions = {str(row.pk): row for row in PriceVersion.objects.filter(pk__in=set(ids.values()))}
    shown = {}
    for kind, uuid in ids.items():
        row = versions[encode("prv", uuid)]
        shown[kind] = {"per_million": plain(row.unit_price), "version": str(row.pk)}
    return shown


def signed(content: dict[str, Any]) -> bytes:
    """The receipt with the signature of everything else in it, as canonical JSON (sorted, no blanks)."""
    key, public = _key()
    signature = base64.b64encode(key.sign(canonical(content))).decode()
    return canonical(
        content | {"signature": {"algorithm": "ed25519", "public_key": public, "value": signature}}
    )


def canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@lru_cache(maxsize=1)
def _key() -> tuple[Ed25519PrivateKey, str]:
    """Derived from the newest master key, so that every gateway of the installation signs alike."""
    master = base64.b64decode(next(iter(settings.MASTER_KEYS.values())))
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"hostedai receipts:" + master).digest())
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return key, base64.b64encode(public).decode()
