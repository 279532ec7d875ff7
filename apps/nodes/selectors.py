"""Reads of nodes and resource groups."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from apps.core import tenancy
from apps.core.actor import Actor, node_scope
from apps.core.errors import NotFound
from apps.core.permissions import Permission
from apps.nodes.errors import UnknownAgent
from apps.nodes.models import EnrolmentToken, Node, NodeAgent, NodeCredential, NodeSample, ResourceGroup
from apps.nodes.signals import occupants_asked
from apps.nodes.specs import CREDENTIAL_HEAD, TOKEN_HEAD, Occupant, hash_of
from apps.nodes.states import State


def list_nodes(*, actor: Actor) -> QuerySet[Any]:
    return Node.objects.visible_to(actor).select_related("region", "cluster", "zone")


def find_node(*, actor: Actor, node_id: str) -> Node:
    """A node as its region's staff sees it; raises NotFound."""
    found: Node | None = list_nodes(actor=actor).filter(pk=node_id).first()
    if found is None:
        raise NotFound(_("There is no such node."))
    return found


def list_groups(*, actor: Actor) -> QuerySet[Any]:
    return ResourceGroup.objects.visible_to(actor).select_related("region").prefetch_related("nodes")


def find_group(*, actor: Actor, group_id: str) -> ResourceGroup:
    found: ResourceGroup | None = list_groups(actor=actor).filter(pk=group_id).first()
    if found is None:
        raise NotFound(_("There is no such group."))
    return found


def occupants_of(node: Node) -> list[Occupant]:
    """Everything that is on the node, asked of whoever puts things there."""
    answers: list[tuple[Any, Any]] = occupants_asked.send(Node, node=node)
    found: list[Occupant] = [one for _receiver, answer in answers for one in answer or ()]
    return sorted(found, key=lambda one: (one.team, one.name))


def token_of(secret: str) -> EnrolmentToken:
    """The enrolment token of which this is the secret; raises UnknownAgent. A used one still finds its node,
    so that a registration may be repeated."""
    rows = EnrolmentToken.objects.good().exclude(node__state=State.RETIRED)
    found = rows.filter(hash=hash_of(secret)).select_related("node").first()
    if not secret.startswith(TOKEN_HEAD) or found is None:
        raise UnknownAgent(_("This is no enrolment token, or it has run out."), code="bad_token")
    token: EnrolmentToken = found
    return token


def credential_of(secret: str) -> NodeCredential:
    """The credential of which this is the secret, with its node; raises UnknownAgent."""
    rows = NodeCredential.objects.good().exclude(node__state=State.RETIRED)
    found = rows.filter(hash=hash_of(secret)).select_related("node").first()
    if not secret.startswith(CREDENTIAL_HEAD) or found is None:
        raise UnknownAgent(_("This is no credential of a node, or no longer one."), code="bad_credential")
    credential: NodeCredential = found
    return credential


def actor_for_agent(node: Node, *, ip: str | None = None) -> Actor:
    """The agent of one node: it may report that node and nothing else."""
    tenancy.see_everything()
    grants = {node_scope(node.pk): frozenset({Permission.NODE_REPORT})}
    return Actor(f"agent of {node.name}", grants, kind="agent", ip=ip)


def find_agent(*, actor: Actor, node_id: str) -> NodeAgent:
    """What the agent of a visible node said last; an empty row when it never had one. Raises NotFound."""
    node = find_node(actor=actor, node_id=node_id)
    found: NodeAgent | None = NodeAgent.objects.filter(node=node).first()
    return found or NodeAgent(node=node)


def list_samples(*, actor: Actor, node_id: str) -> QuerySet[Any]:
    """What the node's agent measured, by time."""
    return NodeSample.objects.visible_to(actor).filter(node_id=node_id).order_by("at")


def enrolment_command(*, url: str, secret: str) -> str:
    """What to paste into a root shell of the host."""
    return (
        f"curl -fsSL {url}/agent/hostedai-agent.pyz -o /usr/local/bin/hostedai-agent"
        " && chmod 755 /usr/local/bin/hostedai-agent"
        f" && echo {secret} | hostedai-agent install --url {url} --token-file -"
    )
