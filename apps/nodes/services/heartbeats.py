"""A heartbeat becomes rows, in a constant number of statements however much it carries."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from apps.core.actor import SYSTEM, Actor, node_scope
from apps.core.leases import in_time
from apps.core.permissions import Permission
from apps.drivers.base import GpuInfo, Health, NodeInfo
from apps.nodes.models import Node, NodeAgent, NodeCredential, NodeSample
from apps.nodes.services.agents import ROTATE_AFTER, introduce, note_first_use
from apps.nodes.services.enrolment import advance_by_agent
from apps.nodes.services.inventory import MOST_WORDS, record_inventory
from apps.nodes.services.life import drain_node
from apps.nodes.signals import agent_reported, cards_asked, engines_asked, notice_given
from apps.nodes.specs import EngineAt, Facts, Notice, Orders, Report, Sample
from apps.nodes.states import LEASE_SECONDS, MACHINE, State
from apps.operations import services as operations
from apps.regions.states import AGENTS

# Beyond this the host's clock is a problem of its own.
MOST_SKEW_SECONDS = 120.0
KEEP_SAMPLES = timedelta(days=7)
MOST_PRUNED = 50_000


@transaction.atomic
def record_heartbeat(*, actor: Actor, credential: NodeCredential, report: Report, now: datetime) -> Orders:
    """Take in what a node's agent reports, and answer what it is to do. Repeating it changes nothing."""
    actor.require(Permission.NODE_REPORT, node_scope(credential.node_id))
    rows = Node.objects.select_for_update(of=("self",), no_key=True)
    node = rows.select_related("cluster", "region").get(pk=credential.node_id)
    if credential.first_used_at is None:
        note_first_use(credential=credential)
    agent, _made = NodeAgent.objects.get_or_create(node=node, defaults={"version": report.version})
    _keep_samples(node, agent, report, now)
    _note(agent, report, now)
    if node.cluster.kind == AGENTS:
        node = _believe(node, agent, report, now)
    _heed(node, agent, report)
    agent.save()
    agent_reported.send(Node, node=node, now=now, report=report)
    is_old = now - credential.created_at >= ROTATE_AFTER
    accepted = introduce(node=node, credential=report.next_credential, now=now) if is_old else ""
    return Orders(
        acknowledged=agent.acknowledged,
        interval_seconds=settings.NODE_HEARTBEAT_SECONDS,
        lease_seconds=LEASE_SECONDS,
        rotate=is_old,
        accepted_credential=accepted,
        want_facts=not agent.facts,
        engines=_engines(node),
    )


@transaction.atomic
def prune_samples(*, actor: Actor = SYSTEM) -> int:
    """Forget what is older than a week; a bounded number at a time."""
    actor.require(Permission.NODE_MANAGE)
    old = NodeSample.objects.filter(at__lt=in_time(-KEEP_SAMPLES)).order_by("pk").values("pk")[:MOST_PRUNED]
    return int(NodeSample.objects.filter(pk__in=old).delete()[0])


def _keep_samples(node: Node, agent: NodeAgent, report: Report, now: datetime) -> None:
    """Each entry of a journal once, in order; a new journal counts from its own beginning. None is of the
    future, whatever the host's clock says: it would never be old enough to go."""
    if agent.journal != report.journal:
        agent.journal, agent.acknowledged = report.journal, 0
    fresh = [replace(one, at=min(one.at, now)) for one in report.samples if one.seq > agent.acknowledged]
    if not fresh:
        return
    NodeSample.objects.bulk_create(
        [NodeSample(node=node, journal=report.journal, **_columns(one)) for one in fresh],
        ignore_conflicts=True,
    )
    last = max(fresh, key=lambda one: one.seq)
    agent.acknowledged = last.seq
    agent.latest = json.loads(json.dumps(_columns(last), default=str))


def _columns(sample: Sample) -> dict[str, Any]:
    return {**asdict(sample), "gpus": list(sample.gpus), "engines": list(sample.engines)}


def _note(agent: NodeAgent, report: Report, now: datetime) -> None:
    agent.version = report.version[:40]
    agent.last_heard_at = now
    agent.skew_seconds = round((report.sent_at - now).total_seconds(), 1)
    agent.is_stopped = report.is_stopping


def _believe(node: Node, agent: NodeAgent, report: Report, now: datetime) -> Node:
    """The agent is what speaks for this host: it is there, and this is what it has."""
    facts = report.facts
    known = None if agent.facts.get("disputed") else agent.facts.get("fingerprint")
    if facts is not None and (seen := _fingerprint(facts)) != known:
        wrong = record_inventory(
            cluster=node.cluster, nodes=[_info(node, facts)], now=now, is_complete=facts.gpus is not None
        )
        agent.facts = {**asdict(facts), "gpus": _plain(facts.gpus), "fingerprint": seen}
        agent.facts["disputed"] = wrong.get(node.pk, "")
        agent.facts["checks"] = _plain(facts.checks)
        node.refresh_from_db()
    problem = _problem(agent)
    Node.objects.filter(pk=node.pk).update(last_seen_at=now, problem=problem)
    node.last_seen_at, node.problem = now, problem
    return advance_by_agent(node=node, facts=facts, cards=_cards(node) if node.operation_id else (0, 0))


def _problem(agent: NodeAgent) -> str:
    """What staff should look at."""
    checks = agent.facts.get("checks", ())
    said = [f"{one['name']}: {one['detail']}" for one in checks if not one["ok"]]
    sick = [f"{g['pci_address']}: {g['reason']}" for g in agent.facts.get("gpus") or () if g["reason"]]
    late = _("Its clock is %(n)s s off.") % {"n": round(agent.skew_seconds)}
    clock = [late] if abs(agent.skew_seconds) > MOST_SKEW_SECONDS else []
    return " ".join(filter(None, [agent.facts.get("disputed"), *said, *sick, *clock]))[:MOST_WORDS]


def _fingerprint(facts: Facts) -> str:
    text = json.dumps(asdict(facts), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(items: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    return None if items is None else [dict(one) for one in items]


def _info(node: Node, facts: Facts) -> NodeInfo:
    return NodeInfo(
        name=node.name,
        vcpus=facts.vcpus,
        memory_mib=facts.memory_mib,
        disk_gib=facts.disk_gib,
        hypervisor="",
        rack=node.rack,
        gpus=tuple(_card(one) for one in facts.gpus or ()),
    )


def _card(one: Mapping[str, Any]) -> GpuInfo:
    return GpuInfo(
        uuid=one["uuid"],
        vendor=one["vendor"],
        model=one["model"],
        memory_mib=one["memory_mib"],
        pci_address=one["pci_address"],
        numa_node=one["numa_node"],
        health=Health(one["health"]),
    )


def _cards(node: Node) -> tuple[int, int]:
    answers: list[tuple[Any, Any]] = cards_asked.send(Node, node=node)
    return next(((int(all_), int(pooled)) for _receiver, (all_, pooled) in answers), (0, 0))


def _engines(node: Node) -> list[EngineAt]:
    answers: list[tuple[Any, Any]] = engines_asked.send(Node, node=node)
    return [one for _receiver, answer in answers for one in answer or ()]


def _heed(node: Node, agent: NodeAgent, report: Report) -> None:
    """What happened to the host: it fenced itself, or its provider will take it away."""
    if report.fenced_at != agent.fenced_at:
        agent.fenced_at = report.fenced_at
        if report.fenced_at:
            _tell(node, "node.fenced", at=report.fenced_at.isoformat())
    if report.notice is None:
        return
    said = json.loads(json.dumps(asdict(report.notice), default=str))
    if said != agent.notice:
        agent.notice = said
        _give_notice(node, report.notice)


def _give_notice(node: Node, notice: Notice) -> None:
    """Tell whoever has work there, and clear the node while there is time."""
    _tell(node, "node.notice_given", action=notice.action, at=notice.at and notice.at.isoformat())
    notice_given.send(Node, node_id=node.pk, region_id=node.region_id, notice=notice)
    is_free = node.operation_id is None and MACHINE.allows("drain", node.state)
    if is_free and node.state in (State.READY, State.CORDONED):
        drain_node(actor=SYSTEM, node=node, reason=_("Its provider will take it away."))


def _tell(node: Node, event: str, **data: object) -> None:
    operations.emit(type=event, subject=node.pk, region_id=node.region_id, data={"name": node.name, **data})
