"""Reads of the fleet."""

from apps.gpupools.selectors.offering import Offer, offers

__all__ = ["Offer", "offers"]
