"""Where a version's files are."""

from django.conf import settings

from apps.drivers.objects import ObjectStore, StoreConfig, store_for
from apps.registry.models import ModelVersion, VersionFile

File = tuple[str, int, str, str]


def open_store() -> ObjectStore:
    """The installation's object store, as the settings name it."""
    return store_for(
        StoreConfig(
            url=settings.S3_ENDPOINT_URL,
            access_key=settings.S3_ACCESS_KEY,
            secret_key=settings.S3_SECRET_KEY,
            bucket=settings.S3_BUCKET,
            region=settings.S3_REGION,
            public_url=settings.S3_PUBLIC_ENDPOINT_URL,
        )
    )


def root() -> str:
    """Beneath this everything in the bucket is ours; another installation's is never touched."""
    return f"{settings.INSTALLATION_ID}/models/"


def prefix_of(version: ModelVersion) -> str:
    """Where the version's files are in the bucket, ending in a slash."""
    return version.prefix or f"{root()}{version.model_id}/{version.pk}/"


def key_of(version: ModelVersion, file: VersionFile) -> str:
    """The object that a file is."""
    return prefix_of(version) + file.path


def uri_of(version: ModelVersion) -> str:
    """The folder as engines name it."""
    return f"s3://{settings.S3_BUCKET}/{prefix_of(version)}"


def files(version: ModelVersion, *, seconds: int = 6 * 3600) -> list[File]:
    """What an engine fetches: (path, bytes, SHA-256, address); the addresses work for `seconds`."""
    store, prefix = open_store(), prefix_of(version)
    return [
        (one["path"], one["size"], one["sha256"], store.sign_read(prefix + one["path"], seconds=seconds))
        for one in version.manifest
    ]
