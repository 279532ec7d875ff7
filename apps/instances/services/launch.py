"""Accepting a launch: rules, money, place and rows in one transaction; the reconciler makes it real."""

from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.errors import BudgetUsedUp, NoHeadroom
from apps.billing.services import charging
from apps.billing.specs import Quote, Spender, as_json
from apps.core import statements
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import DomainError
from apps.core.failpoints import failpoint
from apps.core.permissions import Permission
from apps.core.queue import enqueue
from apps.gpupools.errors import PoolExhausted
from apps.gpupools.services import reservations
from apps.gpupools.specs import Placed
from apps.instances.errors import NameTaken
from apps.instances.models import Instance
from apps.instances.selectors import explaining, offers
from apps.instances.selectors.offers import Offer
from apps.instances.services import disks
from apps.instances.services.lifecycle import happening
from apps.instances.services.wishes import RECONCILE, target_of
from apps.instances.specs import CREATE, InstanceSpec
from apps.operations import services as operations
from apps.policies.errors import PolicyRefused
from apps.teams.models import Team, Workspace


@dataclass(frozen=True, slots=True)
class Launch:
    """Who launches what, where it is kept, and when."""

    actor: Actor
    team: Team
    workspace: Workspace
    spec: InstanceSpec
    offer: Offer
    now: datetime


def create_instance(*, actor: Actor, team: Team, workspace: Workspace, spec: InstanceSpec) -> Instance:
    """Accept a request for an instance. A refusal for want of rights, money or room carries the whole
    explanation in its context."""
    actor.require(Permission.INSTANCE_CREATE, team.scope)
    offer = offers.find(spec)
    try:
        with transaction.atomic():
            instance = _accept(Launch(actor, team, workspace, spec, offer, db_now()))
            failpoint("instances.create.written")
    except (PolicyRefused, NoHeadroom, BudgetUsedUp, PoolExhausted) as refusal:
        _explain(refusal, actor, team, spec)
        raise
    failpoint("instances.create.committed")
    return instance


def _explain(refusal: DomainError, actor: Actor, team: Team, spec: InstanceSpec) -> None:
    refusal.context["explanation"] = explaining.explain(actor=actor, team=team, spec=spec).as_json()


def _accept(launch: Launch) -> Instance:
    spec, offer = launch.spec, launch.offer
    offers.require_allowed(team_id=launch.team.pk, offer=offer)
    instance = _draft(launch)
    quote = charging.reserve(
        team_id=launch.team.pk,
        resource_id=str(instance.pk),
        rates=offer.rates(spec),
        now=launch.now,
        spender=Spender(
            launch.team.pk, launch.workspace.pk, launch.actor.key_id, user_id=launch.actor.user_id
        ),
    )
    wanted = offer.wanted(spec)
    placed = reservations.reserve(
        holder_id=str(instance.pk), team_id=launch.team.pk, wanted=wanted, now=launch.now
    )
    failpoint("instances.create.reserved")
    _settle(instance, quote, placed, offer)
    _save(instance, launch)
    return instance


def _draft(launch: Launch) -> Instance:
    spec, offer = launch.spec, launch.offer
    instance = Instance(
        team=launch.team,
        team_name=launch.team.name,
        workspace=launch.workspace,
        region=offer.region,
        type=offer.type,
        image=offer.image,
        name=spec.name,
        vcpus=offer.type.vcpus,
        memory_mib=offer.type.memory_mib,
        disk_gib=offer.disk_gib(spec),
        gpus=offer.type.gpus,
        user=offer.image.default_user,
        ssh_keys=list(spec.ssh_keys),
        user_data=spec.user_data,
        created_by_id=launch.actor.user_id,
        created_by_label=launch.actor.label[:200],
        created_at=launch.now,
        state_at=launch.now,
        due_at=launch.now,
        rates=as_json(offer.rates(spec)),
        rest_rates=as_json(offer.rest_rates(spec)),
    )
    _give_key(instance)
    return instance


def _give_key(instance: Instance) -> None:
    """The portal's own key pair, with which its terminals sign in."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    instance.access_public_key = f"{public.decode()} hostedai-portal"
    instance.seal_private_key(private.decode())


def _settle(instance: Instance, quote: Quote, placed: Placed, offer: Offer) -> None:
    instance.cluster_id, instance.node_id = placed.cluster_id, placed.node_id
    instance.hourly, instance.currency = quote.hourly, quote.currency
    if offer.is_shared(placed.pool_id):
        instance.mdev_uuids = [offers.mdev_of(one) for one in placed.slice_ids]
    else:
        instance.pci_addresses = list(placed.pci_addresses)


def _save(instance: Instance, launch: Launch) -> None:
    operation = operations.open_operation(
        actor=launch.actor,
        target=target_of(instance),
        plan=CREATE,
        now=launch.now,
        also=[happening(instance, "instance.created")],
    )
    instance.operation_id = operation.pk
    instance.deadline_at = operation.deadline_at
    try:
        statements.insert(instance)
    except IntegrityError as error:
        if "instances_name_once" not in str(error):
            raise
        raise NameTaken(_("Another instance in this workspace has this name."), field="name") from error
    disks.make_root(instance)
    audit.record(
        actor=launch.actor,
        action="instance.created",
        target=instance,
        type=launch.spec.type,
        image=launch.spec.image,
        operation=str(operation.pk),
    )
    enqueue(RECONCILE, instance_id=str(instance.pk))
