"""Decisions, pure: the next step of a replica, an endpoint's replicas, and how many there shall be."""
