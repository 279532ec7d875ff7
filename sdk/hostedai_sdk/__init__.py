"""The client of hostedai's User API."""

from hostedai_sdk.client import Client
from hostedai_sdk.errors import ApiError, HostedaiError
from hostedai_sdk.shapes import Instance, Model, Version

__version__ = "0.1.0"

__all__ = ["ApiError", "Client", "HostedaiError", "Instance", "Model", "Version"]
