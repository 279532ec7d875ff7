"""The node agent: tells the control plane what this host has and how it is; dials out only."""

__version__ = "0.1.0"
