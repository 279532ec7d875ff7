"""Hosts speak for themselves: they register once and then report, each with a credential of its own."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.auth import EnrolmentAuthentication, NodeAuthentication
from apps.api.base import ApiViewSet, Call
from apps.api.fields import FiniteField, In, Out, TypedIdField
from apps.core.actor import Actor, Scope, node_scope
from apps.core.clock import db_now
from apps.core.errors import NotFound
from apps.core.permissions import Permission
from apps.nodes import services
from apps.nodes.specs import Facts, Notice, Report, Sample

P = Permission
HASH = r"^[0-9a-f]{64}$"
LATEST = 32_503_680_000  # the year 3000
MOST_SAMPLES, MOST_GPUS, MOST_ENGINES = 200, 64, 64


def _moment(**options: Any) -> FiniteField:
    """Seconds since 1970, UTC."""
    return FiniteField(min_value=0, max_value=LATEST, **options)


def _many(child: In, most: int, **options: Any) -> serializers.ListSerializer[Any]:
    return serializers.ListSerializer(child=child, max_length=most, **options)


class RegisterIn(In):
    """The agent keeps its credential and tells its SHA-256 only."""

    credential_sha256 = serializers.RegexField(HASH)
    hostname = serializers.CharField(max_length=120)
    version = serializers.CharField(max_length=40)


class RegisteredOut(Out):
    """Who the host is from now on."""

    node_id = TypedIdField("node")
    name = serializers.CharField()


class CardIn(In):
    """A GPU."""

    uuid = serializers.CharField(max_length=80)
    vendor = serializers.CharField(max_length=40)
    model = serializers.CharField(max_length=80)
    memory_mib = serializers.IntegerField(min_value=1, max_value=1 << 24)
    pci_address = serializers.CharField(max_length=40)
    numa_node = serializers.IntegerField(min_value=0, max_value=255)
    health = serializers.ChoiceField(("healthy", "degraded", "failed"))
    reason = serializers.CharField(max_length=200, allow_blank=True)


class CheckIn(In):
    """One thing that must be right before the host may serve."""

    name = serializers.CharField(max_length=40)
    ok = serializers.BooleanField()
    detail = serializers.CharField(max_length=300, allow_blank=True)


class FactsIn(In):
    """What the host is; `gpus` is null when its cards cannot be asked."""

    hostname = serializers.CharField(max_length=120)
    vcpus = serializers.IntegerField(min_value=1, max_value=65536)
    memory_mib = serializers.IntegerField(min_value=1, max_value=1 << 30)
    disk_gib = serializers.IntegerField(min_value=0, max_value=1 << 30)
    kernel = serializers.CharField(max_length=80, allow_blank=True)
    gpus: Any = _many(CardIn(), MOST_GPUS, allow_null=True)
    checks: Any = _many(CheckIn(), 40)


class CardReadingIn(In):
    """What a card does; what it does not tell is null."""

    uuid = serializers.CharField(max_length=80)
    busy_percent = FiniteField(min_value=0, max_value=100, allow_null=True)
    memory_used_mib = serializers.IntegerField(min_value=0, max_value=1 << 24, allow_null=True)
    temperature_c = FiniteField(min_value=-100, max_value=1000, allow_null=True)
    power_w = FiniteField(min_value=0, max_value=100_000, allow_null=True)
    ecc_errors = serializers.IntegerField(min_value=0, max_value=1 << 53, allow_null=True)
    xid = serializers.IntegerField(min_value=0, max_value=1 << 31, allow_null=True)


class EngineReadingIn(In):
    """How an engine on the host is; what its metrics do not show is left out."""

    name = serializers.CharField(max_length=200)
    healthy = serializers.BooleanField()
    problem = serializers.CharField(max_length=200, required=False, allow_blank=True)
    running = FiniteField(min_value=0, max_value=1e18, required=False)
    waiting = FiniteField(min_value=0, max_value=1e18, required=False)
    cache_share = FiniteField(min_value=0, max_value=1e18, required=False)
    prompt_tokens = FiniteField(min_value=0, max_value=1e18, required=False)
    output_tokens = FiniteField(min_value=0, max_value=1e18, required=False)


class SampleIn(In):
    """What the host did during the `seconds` before `at`; `seq` counts the entries of the journal."""

    seq = serializers.IntegerField(min_value=1, max_value=1 << 53)
    at = _moment()
    seconds = FiniteField(min_value=0, max_value=1e9)
    cpu_percent = FiniteField(min_value=-1, max_value=101)
    memory_used_mib = serializers.IntegerField(min_value=0, max_value=1 << 30)
    disk_used_gib = serializers.IntegerField(min_value=0, max_value=1 << 30)
    gpus: Any = _many(CardReadingIn(), MOST_GPUS)
    engines: Any = _many(EngineReadingIn(), MOST_ENGINES)


class NoticeIn(In):
    """The provider will take the host away."""

    action = serializers.CharField(max_length=40)
    at = _moment(allow_null=True)
    source: Any = serializers.CharField(max_length=40, allow_blank=True)


class HeartbeatIn(In):
    """Every ten seconds: the journal's entries that were not acknowledged, oldest first."""

    journal = serializers.UUIDField()
    version = serializers.CharField(max_length=40)
    sent_at = _moment()
    samples: Any = _many(SampleIn(), MOST_SAMPLES)
    stopping = serializers.BooleanField(required=False)
    facts: Any = FactsIn(required=False)
    notice: Any = NoticeIn(required=False)
    fenced_at = _moment(required=False)
    next_credential_sha256 = serializers.RegexField(HASH, required=False)


class EngineOut(Out):
    """An engine on the host to watch; `key` opens its metrics, where they are closed."""

    name = serializers.CharField()
    url = serializers.CharField()
    key = serializers.CharField(allow_blank=True)


class OrdersOut(Out):
    """What the agent is to do. Up to `acknowledged` its journal is safe here."""

    acknowledged = serializers.IntegerField()
    interval_seconds = serializers.FloatField()
    lease_seconds = serializers.IntegerField()
    rotate = serializers.BooleanField()
    accepted_credential = serializers.CharField(allow_blank=True)
    want_facts = serializers.BooleanField()
    engines: Any = EngineOut(many=True)


class AgentViewSet(ApiViewSet, abstract=True):
    """What only a host may call, about itself alone."""

    audience = "agent"
    scope_kind = "node"
    id_prefix = "node"

    def find_scope(self, caller: Actor) -> Scope:
        mine = caller.ids("node")
        if "id" in self.kwargs and self.id_of("node", self.kwargs["id"]) not in mine:
            raise NotFound("not your node")
        return node_scope(next(iter(mine)))

    @property
    def known(self) -> Any:
        """The token or credential that was shown."""
        return self.request.user


class RegistrationViewSet(AgentViewSet):
    """A host becomes a node: `Authorization: Bearer hai_enrol_…`, once."""

    authentication_classes = (EnrolmentAuthentication,)
    calls: ClassVar = {
        "register": Call(P.NODE_REPORT, RegisteredOut, RegisterIn, 201, summary="Register a host"),
    }

    @action(detail=False, methods=["post"])
    def register(self, request: Request) -> Response:
        """The same token with the same credential again is the same registration."""
        given = self.body()
        node = services.register_agent(
            actor=self.actor,
            token=self.known,
            credential=given["credential_sha256"],
            version=given["version"],
        )
        return self.answer({"node_id": node.pk, "name": node.name})


class HeartbeatViewSet(AgentViewSet):
    """A node reports: `Authorization: Bearer hai_node_…`; a credential opens its own node only."""

    authentication_classes = (NodeAuthentication,)
    calls: ClassVar = {
        "heartbeat": Call(P.NODE_REPORT, OrdersOut, HeartbeatIn, summary="Report a node"),
    }

    @action(detail=True, methods=["post"])
    def heartbeat(self, request: Request, id: str) -> Response:
        """What was counted before is not counted again: repeat it until it is acknowledged."""
        return self.answer(
            services.record_heartbeat(
                actor=self.actor, credential=self.known, report=report_of(self.body()), now=db_now()
            )
        )


def report_of(given: dict[str, Any]) -> Report:
    """The heartbeat as the domain knows it."""
    facts, notice, fenced = given.get("facts"), given.get("notice"), given.get("fenced_at")
    return Report(
        journal=given["journal"],
        version=given["version"],
        sent_at=_at(given["sent_at"]),
        samples=[Sample(**{**one, "at": _at(one["at"])}) for one in given["samples"]],
        facts=Facts(**facts) if facts else None,
        notice=Notice(**{**notice, "at": notice["at"] and _at(notice["at"])}) if notice else None,
        fenced_at=_at(fenced) if fenced is not None else None,
        next_credential=given.get("next_credential_sha256", ""),
        is_stopping=given.get("stopping", False),
    )


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
