"""Writes: what the inventory shows, the life of nodes, their health, and resource groups."""

from apps.nodes.services.agents import Invitation, add_node, invite_agent, register_agent, revoke_agent
from apps.nodes.services.enrolment import advance_enrolment, enrol_node, fail_enrolment
from apps.nodes.services.groups import create_group, delete_group, set_group_nodes
from apps.nodes.services.health import judge
from apps.nodes.services.heartbeats import prune_samples, record_heartbeat
from apps.nodes.services.inventory import record_inventory
from apps.nodes.services.life import (
    annotate_node,
    cordon_node,
    drain_node,
    finish_drain,
    maintain_node,
    retire_node,
    uncordon_node,
)

__all__ = [
    "Invitation",
    "add_node",
    "advance_enrolment",
    "annotate_node",
    "cordon_node",
    "create_group",
    "delete_group",
    "drain_node",
    "enrol_node",
    "fail_enrolment",
    "finish_drain",
    "invite_agent",
    "judge",
    "maintain_node",
    "prune_samples",
    "record_heartbeat",
    "record_inventory",
    "register_agent",
    "retire_node",
    "revoke_agent",
    "set_group_nodes",
    "uncordon_node",
]
