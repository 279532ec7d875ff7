"""Writes: endpoints as people wish them, their replicas, and what reconcilers bring about."""
