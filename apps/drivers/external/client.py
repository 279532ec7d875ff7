"""How an external provider is: asked for its list of models, which costs nothing and proves the key."""

import http.client
import ssl
from http import HTTPStatus
from urllib.parse import urlsplit

from apps.drivers.egress import Networks, may_reach
from apps.drivers.engines import Engine, Phase
from apps.drivers.errors import BadCredentials, Rejected, Transient

PATIENCE = 5.0  # seconds
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
# There is no such list, or it was asked for too often: it answers all the same.
_THERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.TOO_MANY_REQUESTS})


def look(url: str, api_key: str, known: Networks) -> Engine:
    """The provider as it is now; raises DriverError while it does not serve. The key is sent to an address
    only that may be reached."""
    status = _ask(url, api_key, known)
    if status in _REFUSED:
        raise BadCredentials("The provider refuses the key.", detail=f"status {status}")
    if not 200 <= status < 300 and status not in _THERE:
        raise Transient("The provider answers with an error.", detail=f"status {status}")
    return Engine(Phase.SERVING, url=url)


def _ask(url: str, api_key: str, known: Networks) -> int:
    parts = urlsplit(url)
    has_tls = parts.scheme == "https"
    kind = http.client.HTTPSConnection if has_tls else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=PATIENCE)
    headers = {"Accept": "application/json", "User-Agent": "hostedai"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    try:
        connection.connect()
        peer = connection.sock.getpeername()[0]
        if not may_reach(peer, known, has_tls=has_tls):
            raise Rejected("The provider's address leads to where we must not go.", detail=peer)
        connection.request("GET", f"{parts.path.rstrip('/')}/models", headers=headers)
        return connection.getresponse().status
    except ssl.SSLError as error:
        raise Transient("The provider's certificate cannot be trusted.", detail=str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise Transient("The provider does not answer.", detail=repr(error)) from error
    finally:
        connection.close()
