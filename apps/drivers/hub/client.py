"""Listing and reading a repository. The address is the provider's; where it redirects to is checked."""

import fnmatch
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import httpx
import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from apps.drivers.egress import may_reach
from apps.drivers.errors import Rejected, Transient

PATIENCE = httpx.Timeout(60, connect=10)
CHUNK = 1024 * 1024
MOST_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file as the hub lists it; `sha256` only for large ones."""

    path: str
    size: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit."""

    commit: str
    files: tuple[HubFile, ...]
    licence: str = ""

    def matching(self, patterns: Sequence[str]) -> tuple[HubFile, ...]:
        """Those whose path is named or matched; all of them when nothing is named."""
        if not patterns:
            return self.files
        return tuple(one for one in self.files if any(fnmatch.fnmatch(one.path, p) for p in patterns))


class Hub:
    """One hub, asked with one token (or none). Raises DriverErrors only."""

    def __init__(self, endpoint: str, token: str = "") -> None:
        self._endpoint = endpoint.rstrip("/")
        self._token = token
        self._api = HfApi(endpoint=self._endpoint, token=token or False)

    def listing(self, repository: str, revision: str) -> Listing:
        """What the repository holds at a branch, tag or commit."""
        with _translated():
            found = self._api.model_info(repository, revision=revision, files_metadata=True, timeout=30)
        files = tuple(
            HubFile(one.rfilename, one.size or 0, (one.lfs.sha256 if one.lfs else "") or "")
            for one in found.siblings or ()
        )
        card = found.card_data
        licence = card.get("license") if card else None
        return Listing(found.sha or revision, files, licence if isinstance(licence, str) else "")

    @contextmanager
    def reading(
        self, repository: str, commit: str, path: str, offset: int, length: int
    ) -> Iterator[Iterator[bytes]]:
        """The bytes of a part of a file, as they come."""
        address = f"{self._endpoint}/{repository}/resolve/{quote(commit, safe='')}/{quote(path)}"
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        with (
            _translated(),
            httpx.Client(timeout=PATIENCE, follow_redirects=False, trust_env=True) as client,
            _following(client, address, headers, self._token) as answer,
        ):
            if answer.status_code != httpx.codes.PARTIAL_CONTENT:
                raise Rejected(f"The hub did not send {path}.", detail=f"status {answer.status_code}")
            yield answer.iter_bytes(CHUNK)


@contextmanager
def _following(
    client: httpx.Client, address: str, headers: dict[str, str], token: str
) -> Iterator[httpx.Response]:
    """The answer after redirects. The token stays with the hub itself, and elsewhere only public addresses
    over TLS are spoken to, looked at on the connection that is really open."""
    home = httpx.URL(address)
    target = home
    for _hop in range(MOST_REDIRECTS + 1):
        at_home = (target.scheme, target.host, target.port) == (home.scheme, home.host, home.port)
        if not at_home and target.scheme != "https":
            raise Rejected("The hub sends us to an address without TLS.", detail=str(target))
        known = {"Authorization": f"Bearer {token}"} if token and at_home else {}
        with client.stream("GET", target, headers=headers | known) as answer:
            if not at_home:
                _refuse_private(answer)
            if not answer.is_redirect:
                answer.raise_for_status()
                yield answer
                return
            target = target.join(answer.headers["Location"])
    raise Rejected("The hub sends us in circles.", detail=address)


def _refuse_private(answer: httpx.Response) -> None:
    stream = answer.extensions.get("network_stream")
    peer = stream.get_extra_info("server_addr") if stream else None
    if not peer or not may_reach(peer[0]):
        raise Rejected("The hub sends us to a private address.", detail=f"{answer.url.host} is {peer}")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except GatedRepoError as error:
        message = "The hub asks for a token whose owner has accepted the model's licence."
        raise Rejected(message, detail=str(error)) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        message = "The hub has no such repository or revision, or the token may not see it."
        raise Rejected(message, detail=str(error)) from error
    except HfHubHTTPError as error:
        raise _of_status(error.response.status_code if error.response else 0, str(error)) from error
    except httpx.HTTPStatusError as error:
        raise _of_status(error.response.status_code, str(error)) from error
    except (httpx.HTTPError, httpx2.HTTPError, OSError, ValueError) as error:
        raise Transient("The hub does not answer.", detail=str(error)) from error


def _of_status(status: int, detail: str) -> Rejected | Transient:
    if status in (401, 403):
        return Rejected("The hub refuses: the model needs a token with access.", detail=detail)
    if status in (400, 404, 416):
        return Rejected("The hub has no such file.", detail=detail)
    return Transient("The hub is busy.", detail=detail)
