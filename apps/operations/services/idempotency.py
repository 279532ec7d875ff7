"""A request repeated with the same key is done once and answered alike."""

from collections.abc import Callable

from django.db import transaction
from django.utils.translation import gettext as _

from apps.core import statements
from apps.operations.errors import BadKey, KeyReused
from apps.operations.models import IdempotencyKey
from apps.operations.specs import Answer

_CLAIM = (
    "INSERT INTO operations_idempotencykey (owner, key, fingerprint) VALUES (%s, %s, %s)"
    " ON CONFLICT (owner, key) DO NOTHING RETURNING id"
)


@transaction.atomic
def once(*, owner: str, key: str, fingerprint: str, act: Callable[[], Answer]) -> Answer:
    """Do `act` unless `owner` (a key, or a person in a team) did it before under this key.

    The key and what `act` writes commit together: a refusal or a crash leaves the key unused, and a
    twin that arrives meanwhile waits and then gets the first one's answer. `fingerprint` is a hash
    of the whole request; another request under the same key raises KeyReused.
    """
    if not 1 <= len(key) <= 255 or not key.isprintable():
        raise BadKey(_("An idempotency key has 1 to 255 printable characters."), field="Idempotency-Key")
    claimed = statements.fetch_one(_CLAIM, [owner, key, fingerprint])
    if claimed is None:
        return _replay(owner, key, fingerprint)
    answer = act()
    changes = {"status": answer.status, "body": answer.body}
    statements.update(IdempotencyKey, {"id": claimed[0]}, changes)
    return answer


def _replay(owner: str, key: str, fingerprint: str) -> Answer:
    known = IdempotencyKey.objects.get(owner=owner, key=key)
    if known.fingerprint != fingerprint:
        raise KeyReused(_("This idempotency key was used for another request."), field="Idempotency-Key")
    return Answer(known.status or 200, known.body, is_replay=True)
