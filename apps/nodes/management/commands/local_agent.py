"""`manage.py local_agent`: this machine as a node of the region `local`, ready for its agent to enrol."""

import json
import os
import socket
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from apps.core import tenancy
from apps.core.actor import SYSTEM
from apps.nodes.models import Node, NodeCredential
from apps.nodes.services import Invitation, add_node, invite_agent
from apps.nodes.specs import hash_of
from apps.nodes.states import State
from apps.regions import services as regions
from apps.regions.models import Region


class Command(BaseCommand):
    help = "Write a token for the agent of this machine into its folder, unless it has enrolled already."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="the agent's state folder")

    def handle(self, *, folder: Path, **_options: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tenancy.everything():
            if _is_known(folder / "identity.json"):
                return
            invitation = _invite(socket.gethostname().partition(".")[0].lower())
        (folder / "identity.json").unlink(missing_ok=True)
        (folder / "enrolling.json").unlink(missing_ok=True)
        handle = os.open(folder / "token", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(invitation.secret)


def _is_known(file: Path) -> bool:
    """Whether the agent has a credential that this installation accepts."""
    try:
        secret = json.loads(file.read_text())["credential"]
    except (OSError, ValueError, KeyError):
        return False
    known = NodeCredential.objects.good().exclude(node__state=State.RETIRED)
    return bool(known.filter(hash=hash_of(secret)).exists())


def _invite(name: str) -> Invitation:
    """A token for this machine: the node that the hypervisor beside us reports, or one of its own."""
    region = Region.objects.filter(slug="local").first()
    if region is None:
        region = regions.create_region(actor=SYSTEM, slug="local", name="This machine", location="Here")
    node = Node.objects.present().filter(region=region).order_by("created_at").first()
    if node is None:
        return add_node(actor=SYSTEM, region=region, name=name)
    return invite_agent(actor=SYSTEM, node=node)
