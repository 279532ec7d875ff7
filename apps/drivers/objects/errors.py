"""From botocore's words to ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from apps.drivers.errors import BadCredentials, DriverError, Rejected, Transient

_GONE = {"NoSuchUpload", "NoSuchKey", "NoSuchBucket", "404", "NotFound"}
_DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403"}
_LATER = {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "500", "502", "503", "504"}


class Missing(DriverError):
    """The store has no such object or no such upload."""


@contextmanager
def translated() -> Iterator[None]:
    """Whatever goes wrong inside is a DriverError outside."""
    try:
        yield
    except ClientError as error:
        raise _of_client(error) from error
    except (BotoCoreError, httpx.HTTPError, OSError) as error:
        raise Transient("The object store does not answer.", detail=str(error)) from error


def _of_client(error: ClientError) -> DriverError:
    about = error.response.get("Error", {})
    code, detail = str(about.get("Code", "")), str(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _GONE:
        return Missing("The object store has no such thing.", detail=detail)
    if code in _DENIED:
        return BadCredentials("The object store refuses the portal's credentials.", detail=detail)
    if code in _LATER or status >= 500:
        return Transient("The object store is busy.", detail=detail)
    return Rejected("The object store refused.", detail=detail)
