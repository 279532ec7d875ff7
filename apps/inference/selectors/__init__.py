"""Reads: endpoints and replicas as an actor may see them, and the gateway's table of routes."""
