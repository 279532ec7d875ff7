"""Upward news of nodes."""

from django.dispatch import Signal

# What a cluster's inventory says was recorded: `cluster` (Cluster), `seen` (dict of node id to the
# driver's NodeInfo), `now`, `is_complete` (whether what is not shown is not there). Sent inside the
# transaction that recorded the nodes. Receivers answer what is wrong with nodes, in words by their ids.
inventory_recorded = Signal()

# Staff drain a node: `node` (Node, locked), `actor`, `operation_id`. Receivers wish its machines away,
# inside the transaction.
drain_requested = Signal()

# Who is on a node: `node`. Receivers answer with a list of nodes.specs.Occupant.
occupants_asked = Signal()

# A node was found unreachable: `node_id`, `region_id`, `last_seen_at` (the last proof). Sent inside
# the transaction.
node_lost = Signal()

# A node that was unreachable shows itself again: `node_id`, `region_id`.
node_found = Signal()

# A node's agent reported: `node` (Node, locked), `now`, `report` (specs.Report). Sent inside the transaction
# that recorded it, at every heartbeat: receivers cost a constant number of statements, or none.
agent_reported = Signal()

# The provider announced to take a node away: `node_id`, `region_id`, `notice` (specs.Notice). Sent once per
# notice, inside the transaction, before the drain is asked for.
notice_given = Signal()

# Which engines of ours a node's agent shall watch: `node`. Receivers answer with a list of specs.EngineAt.
engines_asked = Signal()

# How many cards of a node there are, and how many are in a pool: `node`. Receivers answer (all, pooled).
cards_asked = Signal()
