"""Where the object store is and who we are there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """`public_url` is the endpoint as customers reach it, where that differs from ours."""

    url: str
    access_key: str
    secret_key: str
    bucket: str
    region: str = "us-east-1"
    public_url: str = ""
