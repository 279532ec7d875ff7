"""How a host becomes a node of ours: a one-time token, then a credential that the host made itself."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models.functions import Least, Now
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.core.actor import Actor, node_scope
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid
from apps.core.leases import in_time
from apps.core.permissions import Permission
from apps.nodes.errors import UnknownAgent
from apps.nodes.models import EnrolmentToken, Node, NodeAgent, NodeCredential
from apps.nodes.services.enrolment import begin, reached
from apps.nodes.services.life import locked
from apps.nodes.specs import hash_of, mint_token
from apps.nodes.states import State
from apps.operations import services as operations
from apps.regions.models import Region
from apps.regions.services import agents_cluster

TOKEN_LASTS = timedelta(hours=1)
# A host may be out of reach for weeks and must still be known when it comes back.
CREDENTIAL_LASTS = timedelta(days=30)
ROTATE_AFTER = timedelta(days=1)
OVERLAP = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Invitation:
    """A token and its secret, for the one moment at which both are known."""

    node: Node
    token: EnrolmentToken
    secret: str


@transaction.atomic
def add_node(*, actor: Actor, region: Region, name: str, rack: str = "") -> Invitation:
    """Expect a host that will report itself; its agent enrols with the returned token."""
    actor.require(Permission.NODE_ENROL, region.scope)
    name, rack = name.strip(), " ".join(rack.split())
    if not 1 <= len(name) <= 63 or not all(part.isalnum() for part in name.replace(".", "-").split("-")):
        raise Invalid(_("A node's name has letters, digits, hyphens and dots, at most 63."), field="name")
    if len(rack) > 40:
        raise Invalid(_("A rack's name has at most 40 characters."), field="rack")
    node = Node(region=region, cluster=agents_cluster(region=region), name=name.lower(), rack=rack)
    try:
        with transaction.atomic():
            node.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(_("There is a node of that name."), code="name_taken", field="name") from error
    node.refresh_from_db()
    audit.record(actor=actor, action="node.added", target=node)
    operations.emit(type="node.appeared", subject=node.pk, region_id=node.region_id, data={"name": node.name})
    return invite_agent(actor=actor, node=node)


@transaction.atomic
def invite_agent(*, actor: Actor, node: Node) -> Invitation:
    """A fresh one-time token for a node's agent; unused older ones end. Also the way back for a host that
    has lost its credential."""
    actor.require(Permission.NODE_ENROL, node.region.scope)
    node = locked(node)
    if node.state == State.RETIRED:
        raise Conflict(_("The node is retired; enrol it first."), code="node_retired")
    node.tokens.filter(redeemed_at=None, revoked_at=None).update(revoked_at=Now())
    secret = mint_token()
    token = EnrolmentToken.objects.create(
        node=node, hash=hash_of(secret), created_by_label=actor.label, expires_at=db_now() + TOKEN_LASTS
    )
    audit.record(actor=actor, action="node.agent_invited", target=node, token=token.pk)
    if node.state == State.ENROLLING and node.operation_id is None:
        begin(actor=actor, node=node)
    return Invitation(node, token, secret)


@transaction.atomic
def register_agent(*, actor: Actor, token: EnrolmentToken, credential: str, version: str) -> Node:
    """Redeem a token for the credential of which the SHA-256 is given; older credentials of the node end.

    The same token with the same credential again changes nothing, so a lost answer does no harm.
    """
    actor.require(Permission.NODE_REPORT, node_scope(token.node_id))
    node = locked(token.node)
    token = EnrolmentToken.objects.select_for_update(of=("self",)).get(pk=token.pk)
    if token.redeemed_at:
        if token.redeemed_for != credential:
            raise UnknownAgent(_("This token was used."), code="token_used")
        return node
    if NodeCredential.objects.filter(hash=credential).exists():
        raise Invalid(_("Make a credential of your own."), field="credential_sha256")
    node.credentials.filter(revoked_at=None).update(revoked_at=Now())
    NodeCredential.objects.create(node=node, hash=credential, expires_at=db_now() + CREDENTIAL_LASTS)
    EnrolmentToken.objects.filter(pk=token.pk).update(redeemed_at=Now(), redeemed_for=credential)
    NodeAgent.objects.update_or_create(node=node, defaults={"version": version[:40], "is_stopped": False})
    audit.record(actor=actor, action="node.agent_registered", target=node, version=version[:40])
    operations.emit(type="node.registered", subject=node.pk, region_id=node.region_id)
    reached(node=node, step="test")
    return node


@transaction.atomic
def revoke_agent(*, actor: Actor, node: Node) -> Node:
    """Close the door to the node's agent at once; again is harmless."""
    actor.require(Permission.NODE_ENROL, node.region.scope)
    node = locked(node)
    ended = node.credentials.filter(revoked_at=None).update(revoked_at=Now())
    node.tokens.filter(redeemed_at=None, revoked_at=None).update(revoked_at=Now())
    if ended:
        audit.record(actor=actor, action="node.agent_revoked", target=node)
        operations.emit(type="node.agent_revoked", subject=node.pk, region_id=node.region_id)
    return node


def introduce(*, node: Node, credential: str, now: datetime) -> str:
    """Know a successor of the node's credential; returns its hash, or nothing when there is none or it cannot
    be had. One waits at a time: another takes its place, but not at once."""
    others = node.credentials.filter(first_used_at=None, revoked_at=None).exclude(hash=credential)
    if not credential or others.filter(created_at__gt=in_time(-OVERLAP)).exists():
        return ""
    others.update(revoked_at=Now())
    known, is_new = NodeCredential.objects.get_or_create(
        hash=credential, defaults={"node": node, "expires_at": now + CREDENTIAL_LASTS}
    )
    if known.node_id != node.pk or known.revoked_at:
        return ""
    if is_new:
        operations.emit(type="node.credential_rotated", subject=node.pk, region_id=node.region_id)
    return credential


def note_first_use(*, credential: NodeCredential) -> None:
    """A credential is in use: those before it live for the overlap only."""
    NodeCredential.objects.filter(pk=credential.pk).update(first_used_at=Now())
    older = NodeCredential.objects.filter(node_id=credential.node_id, revoked_at=None)
    older.exclude(pk=credential.pk).filter(first_used_at__isnull=False).update(
        expires_at=Least("expires_at", in_time(OVERLAP))
    )
