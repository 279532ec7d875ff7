"""The client of hostedai's User API."""

from hostedai_sdk.client import Client
from hostedai_sdk.errors import (
    ApiError,
    BadKey,
    Conflict,
    Failed,
    HostedaiError,
    Invalid,
    Later,
    NotFound,
    NotPermitted,
    PaymentNeeded,
    TooLong,
    Unreachable,
)
from hostedai_sdk.shapes import Endpoint, Instance, Model, Version

__version__ = "0.1.0"

__all__ = [
    "ApiError",
    "BadKey",
    "Client",
    "Conflict",
    "Endpoint",
    "Failed",
    "HostedaiError",
    "Instance",
    "Invalid",
    "Later",
    "Model",
    "NotFound",
    "NotPermitted",
    "PaymentNeeded",
    "TooLong",
    "Unreachable",
    "Version",
]
