"""One bucket of one store. Every call may be made again; memory never grows with an object's size."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import boto3
import httpx
from botocore.config import Config

from apps.drivers.errors import Rejected, Transient
from apps.drivers.objects.config import StoreConfig
from apps.drivers.objects.errors import Missing, translated

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

CHUNK = 1024 * 1024
URL_SECONDS = 6 * 3600
PATIENCE = httpx.Timeout(60, connect=5)
# Checksums of newer SDKs are not understood everywhere; every file is hashed by us anyway.
_CONFIG = Config(
    signature_version="s3v4",
    connect_timeout=5,
    read_timeout=60,
    retries={"max_attempts": 3, "mode": "standard"},
    max_pool_connections=16,
    s3={"addressing_style": "path"},
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part that has arrived."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Item:
    """An object in a listing."""

    key: str
    size: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that was begun and neither completed nor aborted."""

    key: str
    upload_id: str
    begun_at: datetime


class ObjectStore:
    """What the portal asks of a bucket. `translated` makes DriverErrors of what goes wrong."""

    def __init__(self, config: StoreConfig) -> None:
        self.bucket = config.bucket
        who = (config.access_key, config.secret_key, config.region)
        self._client = _client(config.url, *who)
        self._public = _client(config.public_url or config.url, *who)

    # ------------------------------------------------------------ uploads

    def begin(self, key: str) -> str:
        """Begin a multipart upload; its id."""
        with translated():
            try:
                return self._begin(key)
            except self._client.exceptions.NoSuchBucket:
                self._make_bucket()
                return self._begin(key)

    def _begin(self, key: str) -> str:
        begun = self._client.create_multipart_upload(Bucket=self.bucket, Key=key)
        return begun["UploadId"]

    def _make_bucket(self) -> None:
        """Two processes may come at once; the second finds it there."""
        taken = self._client.exceptions
        with suppress(taken.BucketAlreadyExists, taken.BucketAlreadyOwnedByYou):
            self._client.create_bucket(Bucket=self.bucket)

    def sign_part(self, key: str, upload_id: str, number: int, *, length: int) -> str:
        """Where a client may PUT one part of so many bytes, no more and no fewer; asks nobody."""
        return self._sign(self._public, key, upload_id, number, length)

    def _sign(self, client: "S3Client", key: str, upload_id: str, number: int, length: int) -> str:
        about = {"Bucket": self.bucket, "Key": key, "UploadId": upload_id, "PartNumber": number}
        exactly = about | {"ContentLength": length}
        return client.generate_presigned_url("upload_part", Params=exactly, ExpiresIn=URL_SECONDS)

    def put_part(self, key: str, upload_id: str, number: int, chunks: Iterable[bytes], *, length: int) -> str:
        """Send one part as it comes, without holding it; its ETag."""
        url = self._sign(self._client, key, upload_id, number, length)
        with translated():
            answer = httpx.put(url, content=chunks, headers={"Content-Length": str(length)}, timeout=PATIENCE)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise Missing("The object store has no such upload.", detail=answer.text[:500])
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise Transient("The object store is busy.", detail=answer.text[:500])
        if answer.is_error:
            raise Rejected("The object store refused a part.", detail=answer.text[:500])
        found: str = answer.headers.get("ETag", "")
        return found

    def parts(self, key: str, upload_id: str) -> Mapping[int, Part]:
        """The parts that have arrived, by number; raises Missing when the store knows no such upload."""
        with translated():
            pages = self._client.get_paginator("list_parts").paginate(
                Bucket=self.bucket, Key=key, UploadId=upload_id
            )
            found = [
                Part(part["PartNumber"], part["Size"], part["ETag"])
                for page in pages
                for part in page.get("Parts", [])
            ]
        return {part.number: part for part in found}

    def complete(self, key: str, upload_id: str, parts: Iterable[Part]) -> None:
        """Make one object of the parts; raises Missing when the upload is gone (or was completed)."""
        wanted: Any = [{"PartNumber": part.number, "ETag": part.etag} for part in sorted(parts, key=_number)]
        with translated():
            self._client.complete_multipart_upload(
                Bucket=self.bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": wanted}
            )

    def abort(self, key: str, upload_id: str) -> None:
        """Give an upload up; one that is gone already is not an error."""
        with suppress(Missing), translated():
            self._client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)

    def uploads(self, prefix: str) -> list[Upload]:
        """The unfinished uploads beneath a prefix."""
        with suppress(Missing), translated():
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=prefix
            )
            return [
                Upload(one["Key"], one["UploadId"], one["Initiated"])
                for page in pages
                for one in page.get("Uploads", [])
                if one["Key"].startswith(prefix)
            ]
        return []

    # ------------------------------------------------------------ objects

    def put(self, key: str, body: bytes) -> None:
        """Write a small object at once."""
        with translated():
            try:
                self._client.put_object(Bucket=self.bucket, Key=key, Body=body)
            except self._client.exceptions.NoSuchBucket:
                self._make_bucket()
                self._client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def size(self, key: str) -> int | None:
        """How many bytes the object has; None when there is none."""
        with suppress(Missing), translated():
            return self._client.head_object(Bucket=self.bucket, Key=key)["ContentLength"]
        return None

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Some bytes from the middle; fewer at the end."""
        if length <= 0:
            return b""
        span = f"bytes={offset}-{offset + length - 1}"
        with translated():
            return self._client.get_object(Bucket=self.bucket, Key=key, Range=span)["Body"].read()

    def stream(self, key: str) -> Iterator[bytes]:
        """The whole object, a mebibyte at a time."""
        with translated():
            body = self._client.get_object(Bucket=self.bucket, Key=key)["Body"]
            yield from body.iter_chunks(CHUNK)

    def sign_read(self, key: str, *, seconds: int = URL_SECONDS) -> str:
        """Where an engine may GET the object; asks nobody."""
        about = {"Bucket": self.bucket, "Key": key}
        return self._client.generate_presigned_url("get_object", Params=about, ExpiresIn=seconds)

    def objects(self, prefix: str) -> list[Item]:
        """The objects beneath a prefix."""
        with suppress(Missing), translated():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return [
                Item(one["Key"], one["Size"], one["LastModified"])
                for page in pages
                for one in page.get("Contents", [])
            ]
        return []

    def delete(self, key: str) -> None:
        """Remove an object; one that is gone already is not an error."""
        with suppress(Missing), translated():
            self._client.delete_object(Bucket=self.bucket, Key=key)

    def purge(self, prefix: str) -> bool:
        """Remove everything beneath a prefix, unfinished uploads too; True when a listing proves it gone."""
        for upload in self.uploads(prefix):
            self.abort(upload.key, upload.upload_id)
        for item in self.objects(prefix):
            self.delete(item.key)
        return not self.objects(prefix) and not self.uploads(prefix)


def _number(part: Part) -> int:
    return part.number


@lru_cache(maxsize=8)
def _client(url: str, access_key: str, secret_key: str, region: str) -> "S3Client":
    """Making a client takes long; threads and buckets may share one."""
    return boto3.session.Session().client(
        "s3",
        endpoint_url=url or None,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=region,
        config=_CONFIG,
    )


def store_for(config: StoreConfig) -> ObjectStore:
    """The store of a configuration."""
    return ObjectStore(config)
