"""Webhooks as they leave: signed as Standard Webhooks say, sent to addresses that customers wrote down."""

from apps.drivers.hooks.client import Answer, send
from apps.drivers.hooks.signing import new_secret, sign

__all__ = ["Answer", "new_secret", "send", "sign"]
