"""Upward news of nodes."""

from django.dispatch import Signal

# What a cluster's inventory says was recorded: `cluster` (Cluster), `seen` (dict of node id to the
# driver's NodeInfo), `now`, `is_complete` (whether what is not shown is not there). Sent inside the
# transaction that recorded the nodes.
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
