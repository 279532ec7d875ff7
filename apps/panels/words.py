"""What operations, their steps and events are called on a page; unknown names are made readable."""

from typing import Any

from django.utils.translation import gettext_lazy as _

KINDS: dict[str, Any] = {
    "instance.create": _("Launch"),
    "instance.start": _("Start"),
    "instance.stop": _("Stop"),
    "instance.reboot": _("Restart"),
    "instance.resize": _("Resize"),
    "instance.delete": _("Delete"),
    "instance.snapshot": _("Take a snapshot"),
    "instance.snapshot_delete": _("Delete a snapshot"),
    "instance.snapshot_restore": _("Restore a snapshot"),
    "node.drain": _("Drain a node"),
    "node.enrol": _("Enrol a node"),
}

STEPS: dict[str, Any] = {
    "accepted": _("Request accepted, money held"),
    "placed": _("Place found on a node"),
    "provision": _("Create disk and machine"),
    "boot": _("Boot and answer"),
    "shut_down": _("Shut down"),
    "power_on": _("Power on"),
    "restart": _("Restart"),
    "resize": _("Change the machine"),
    "copy": _("Copy the disk"),
    "remove": _("Remove and prove it gone"),
    "restore": _("Put the disk back"),
    "release": _("Release what it held"),
    "cordon": _("Take no new machines"),
    "move": _("Wait for its machines to go"),
}

EVENTS: dict[str, Any] = {
    "instance.created": _("Launch accepted"),
    "instance.placed": _("Place found"),
    "instance.provisioning": _("Being prepared"),
    "instance.running": _("Running"),
    "instance.stopping": _("Stopping"),
    "instance.stopped": _("Stopped"),
    "instance.starting": _("Starting"),
    "instance.deleting": _("Being deleted"),
    "instance.deleted": _("Deleted"),
    "instance.failed": _("Failed"),
    "instance.interrupted": _("Interrupted"),
    "instance.renamed": _("Renamed"),
    "instance.resized": _("Resized"),
    "operation.opened": _("Operation accepted"),
    "operation.advanced": _("Operation moved on"),
    "operation.succeeded": _("Operation succeeded"),
    "operation.failed": _("Operation failed"),
    "operation.cancelled": _("Operation cancelled"),
}


def readable(name: str) -> str:
    """`instance.snapshot_delete` as “Instance: snapshot delete”."""
    head, _dot, rest = name.replace("_", " ").partition(".")
    return f"{head.capitalize()}: {rest}" if rest else head.capitalize()


def kind(name: str) -> Any:
    return KINDS.get(name) or readable(name)


def step(name: str) -> Any:
    return STEPS.get(name) or readable(name)


def event(name: str) -> Any:
    return EVENTS.get(name) or readable(name)
