"""Writes: launches and other wishes of people, and what reconcilers bring about."""

from apps.instances.services.launch import create_instance
from apps.instances.services.shapes import resize_instance
from apps.instances.services.snapshots import create_snapshot, delete_snapshot, restore_snapshot
from apps.instances.services.tickets import (
    forget_tickets,
    issue_console_ticket,
    issue_terminal_ticket,
    note_closed,
    redeem_ticket,
)
from apps.instances.services.wishes import (
    call_off,
    clear_node,
    delete_instance,
    halt_unpaid,
    reboot_instance,
    rename_instance,
    start_instance,
    stop_instance,
)

__all__ = [
    "call_off",
    "clear_node",
    "create_instance",
    "create_snapshot",
    "delete_instance",
    "delete_snapshot",
    "forget_tickets",
    "halt_unpaid",
    "issue_console_ticket",
    "issue_terminal_ticket",
    "note_closed",
    "reboot_instance",
    "redeem_ticket",
    "rename_instance",
    "resize_instance",
    "restore_snapshot",
    "start_instance",
    "stop_instance",
]
