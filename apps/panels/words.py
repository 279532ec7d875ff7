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
    "endpoint.create": _("Launch a model"),
    "endpoint.update": _("Update"),
    "endpoint.delete": _("Delete"),
    "node.drain": _("Drain a node"),
    "node.enrol": _("Enrol a node"),
}

STEPS: dict[str, Any] = {
    "accepted": _("Request accepted, money held"),
    "placed": _("Place found on a node"),
    "provision": _("Create disk and machine"),
    "boot": _("Boot and answer"),
    "engine": _("Start the engine"),
    "load": _("Load the model"),
    "route": _("Take requests"),
    "drain": _("Finish open requests"),
    "shut_down": _("Shut down"),
    "power_on": _("Power on"),
    "restart": _("Restart"),
    "resize": _("Change the machine"),
    "copy": _("Copy the disk"),
    "remove": _("Remove and prove it gone"),
    "restore": _("Put the disk back"),
    "release": _("Release what it held"),
    "cordon": _("Take no new machines"),
    "add": _("Added"),
    "keys": _("Token shown, credential made"),
    "test": _("First word from it"),
    "initialize": _("Its parts are well"),
    "join": _("In service"),
    "scan": _("GPUs counted"),
    "pool": _("GPUs in a pool"),
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
    "instance.reboot_done": _("Restarted"),
    "instance.resize_done": _("Resized"),
    "instance.restore_done": _("Snapshot restored"),
    "instance.snapshot_done": _("Snapshot taken"),
    "instance.unsnapshot_done": _("Snapshot deleted"),
    "endpoint.created": _("Launch accepted"),
    "endpoint.deploying": _("Being deployed"),
    "endpoint.ready": _("Ready"),
    "endpoint.degraded": _("Too few replicas"),
    "endpoint.scaled": _("Number of replicas changed"),
    "endpoint.scale_set": _("Scale rules changed"),
    "endpoint.scaled_to_zero": _("Asleep"),
    "endpoint.updated": _("Serves something else"),
    "endpoint.rolled_back": _("Rolled back"),
    "endpoint.canary_set": _("Canary begun"),
    "endpoint.canary_weighed": _("Canary has another share"),
    "endpoint.canary_promoted": _("Canary takes over"),
    "endpoint.canary_dropped": _("Canary taken away"),
    "endpoint.revoked": _("Its model was revoked"),
    "endpoint.deleting": _("Being deleted"),
    "endpoint.deleted": _("Deleted"),
    "replica.pending": _("Replica wanted"),
    "replica.key_given": _("A provider's new key is being tried"),
    "replica.key_not_taken": _("A provider does not take its new key"),
    "replica.key_replaced": _("A provider's new key is in use"),
    "replica.provisioning": _("Engine being started"),
    "replica.starting": _("Engine loads the model"),
    "replica.ready": _("Replica ready"),
    "replica.unhealthy": _("Replica does not answer"),
    "replica.draining": _("Replica finishes open requests"),
    "replica.stopped": _("Replica gone"),
    "replica.preempted": _("Replica taken back by the provider"),
    "replica.failed": _("Replica failed"),
    "replica.released": _("Replica gone"),
    "replica.stopped_unpaid": _("Replica stopped: the balance ran out"),
    "node.registered": _("Its agent registered"),
    "node.agent_revoked": _("Its agent is refused"),
    "node.credential_rotated": _("Its credential was rotated"),
    "node.fenced": _("It fenced itself"),
    "node.notice_given": _("Its provider will take it away"),
    "operation.opened": _("Operation accepted"),
    "operation.advanced": _("Operation moved on"),
    "operation.succeeded": _("Operation succeeded"),
    "operation.failed": _("Operation failed"),
    "operation.cancelled": _("Operation cancelled"),
}


SHORT = {"api": "API", "gpu": "GPU", "ssh": "SSH", "mfa": "MFA", "cpu": "CPU"}


def spoken(words: str) -> str:
    """`api key` as “API key”."""
    return " ".join(SHORT.get(word, word) for word in words.replace("_", " ").split())


def readable(name: str) -> str:
    """`instance.snapshot_delete` as “Instance: snapshot delete”."""
    head, _dot, rest = name.partition(".")
    head, rest = spoken(head), spoken(rest)
    head = head[:1].upper() + head[1:]
    return f"{head}: {rest}" if rest else head


def kind(name: str) -> Any:
    return KINDS.get(name) or readable(name)


def step(name: str) -> Any:
    return STEPS.get(name) or readable(name)


def event(name: str) -> Any:
    return EVENTS.get(name) or readable(name)
