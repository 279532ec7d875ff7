"""A hub of models (huggingface.co or one that speaks like it), at the provider's address."""

from apps.drivers.hub.client import Hub, HubFile, Listing

__all__ = ["Hub", "HubFile", "Listing"]
