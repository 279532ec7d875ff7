"""Engines that others run: anything that speaks OpenAI's protocol at an address, asked with a key of ours."""

from apps.drivers.external.client import look

__all__ = ["look"]
