"""The node agent as one file, so that a host needs nothing but Python and this address."""

import hashlib
import io
import zipapp
from functools import cache
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

MAIN = "hostedai_agent.__main__:entry"
KEPT = {".py", ".typed", ".service"}


@cache
def archive() -> tuple[bytes, str]:
    """The program, and the SHA-256 of it."""
    packed = io.BytesIO()
    source = settings.BASE_DIR / "agent"
    zipapp.create_archive(
        source, packed, interpreter="/usr/bin/env python3", main=MAIN, filter=_is_part, compressed=True
    )
    return packed.getvalue(), hashlib.sha256(packed.getvalue()).hexdigest()


def _is_part(path: Path) -> bool:
    return path.parts[0] == "hostedai_agent" and (path.suffix in KEPT)


@require_safe
def packed(request: HttpRequest) -> HttpResponse:
    """Public: it holds nothing that is not in the repository."""
    program, digest = archive()
    response = HttpResponse(program, content_type="application/octet-stream")
    response.headers["X-Content-SHA256"] = digest
    response.headers["Content-Disposition"] = 'attachment; filename="hostedai-agent.pyz"'
    return response
