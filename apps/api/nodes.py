"""Nodes as the staff's APIs show them."""

from typing import Any, ClassVar

import django_filters
from django.conf import settings
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import ApiViewSet, Call
from apps.api.fields import In, Nothing, Out, RowOut, TypedIdField
from apps.api.operations import OperationDetailOut
from apps.core.permissions import Permission
from apps.gpupools.selectors.cards import with_cards
from apps.nodes import selectors, services
from apps.nodes.models import Node, NodeAgent
from apps.nodes.states import Health, State
from apps.operations.selectors import get_operation


class NodeFilters(django_filters.FilterSet):
    """What nodes may be asked for."""

    state = django_filters.MultipleChoiceFilter(choices=State.choices)
    health = django_filters.MultipleChoiceFilter(choices=Health.choices)
    cluster = django_filters.CharFilter(field_name="cluster__slug")
    rack = django_filters.CharFilter()
    name = django_filters.CharFilter()


class NodeOut(RowOut):
    """A host: what it has, what is used of it, where it is in its life."""

    region = serializers.CharField(source="region.slug", read_only=True)
    cluster = serializers.CharField(source="cluster.slug", read_only=True)
    zone = serializers.CharField(source="zone.slug", read_only=True, allow_null=True, default=None)
    gpus = serializers.IntegerField(source="cards", read_only=True)
    gpus_used = serializers.IntegerField(source="cards_held", read_only=True)
    gpus_out_of_order = serializers.IntegerField(source="cards_sick", read_only=True)

    class Meta:
        model = Node
        fields = (
            "id", "name", "region", "cluster", "zone", "rack", "hypervisor", "state", "health", "problem",
            "note", "vcpus", "vcpus_used", "memory_mib", "memory_mib_used", "disk_gib", "disk_gib_used",
            "gpus", "gpus_used", "gpus_out_of_order", "operation_id", "last_seen_at", "created_at",
        )  # fmt: skip


class OccupantOut(Out):
    """A machine on the node, and what draining would do to it."""

    id = serializers.CharField()
    name = serializers.CharField()
    team = serializers.CharField()
    state = serializers.CharField()
    gpus = serializers.IntegerField()
    consequence = serializers.CharField()


class OccupantsOut(Out):
    """Everything that is on a node."""

    id = TypedIdField("node")
    occupants = OccupantOut(many=True)


class NodeReasonIn(In):
    """Why, for the colleagues."""

    reason = serializers.CharField(max_length=300, required=False, allow_blank=True)


class NodeNoteIn(In):
    """A note for the colleagues."""

    note = serializers.CharField(max_length=300, allow_blank=True)


class InvitationOut(Out):
    """A one-time token, shown this once; `command` enrols the host on which it is run."""

    node = NodeOut()
    token = serializers.CharField()
    expires_at = serializers.DateTimeField()
    command = serializers.CharField()


class AgentOut(RowOut):
    """What a node's agent said last."""

    id = TypedIdField("node", source="node_id")

    class Meta:
        model = NodeAgent
        fields = (
            "id", "version", "last_heard_at", "skew_seconds", "facts", "latest", "notice", "fenced_at",
            "is_stopped",
        )  # fmt: skip


P = Permission


class NodeActions(ApiViewSet, abstract=True):
    """Hosts of the fleet. What takes long answers 202 with its operation."""

    id_prefix = "node"
    filters = NodeFilters
    calls: ClassVar = {
        "list": Call(P.NODE_READ, NodeOut, summary="List nodes"),
        "retrieve": Call(P.NODE_READ, NodeOut, summary="Look at a node"),
        "partial_update": Call(P.NODE_MANAGE, NodeOut, NodeNoteIn, summary="Leave a note at a node"),
        "occupants": Call(P.NODE_READ, OccupantsOut, summary="See what draining would affect"),
        "enrol": Call(P.NODE_ENROL, OperationDetailOut, Nothing, 202, summary="Take a node into service"),
        "cordon": Call(P.NODE_CORDON, NodeOut, NodeReasonIn, summary="Place nothing new on a node"),
        "uncordon": Call(P.NODE_CORDON, NodeOut, Nothing, summary="Place new machines on a node again"),
        "drain": Call(P.NODE_DRAIN, OperationDetailOut, NodeReasonIn, 202, summary="Clear a node"),
        "maintain": Call(P.NODE_MANAGE, NodeOut, NodeReasonIn, summary="Put an empty node into maintenance"),
        "invite": Call(P.NODE_ENROL, InvitationOut, Nothing, 201, summary="Make a token for a node's agent"),
        "revoke": Call(P.NODE_ENROL, NodeOut, Nothing, summary="Close the door to a node's agent"),
        "agent": Call(P.NODE_READ, AgentOut, summary="See what a node's agent said last"),
        "retire": Call(P.NODE_MANAGE, NodeOut, Nothing, summary="Take an empty node out of the fleet"),
    }

    def list(self, request: Request) -> Response:
        """Newest first; retired ones included."""
        return self.page(with_cards(selectors.list_nodes(actor=self.actor)))

    def retrieve(self, request: Request, id: str) -> Response:
        """With what is used of it."""
        return self._shown(self.id_of("node", id))

    def partial_update(self, request: Request, id: str) -> Response:
        """The note stays until the node changes its state."""
        node = self.unchanged(self._node(id))
        services.annotate_node(actor=self.actor, node=node, **self.body())
        return self._shown(node.pk)

    @action(detail=True, methods=["get"])
    def occupants(self, request: Request, id: str) -> Response:
        """Every machine on the node with the consequence for it."""
        node = self._node(id)
        return self.answer({"id": node.pk, "occupants": selectors.occupants_of(node)})

    @action(detail=True, methods=["post"])
    def enrol(self, request: Request, id: str) -> Response:
        """Test, initialize, join; each step is proven by the cluster's inventory."""
        self.body()
        return self._operation(services.enrol_node(actor=self.actor, node=self._node(id)))

    @action(detail=True, methods=["post"])
    def cordon(self, request: Request, id: str) -> Response:
        """What runs there goes on."""
        node = services.cordon_node(actor=self.actor, node=self._node(id), **self.body())
        return self._shown(node.pk)

    @action(detail=True, methods=["post"])
    def uncordon(self, request: Request, id: str) -> Response:
        """A drain that is under way is called off."""
        self.body()
        return self._shown(services.uncordon_node(actor=self.actor, node=self._node(id)).pk)

    @action(detail=True, methods=["post"])
    def drain(self, request: Request, id: str) -> Response:
        """Cordon it and wish its machines away; it goes into maintenance when the last has left."""
        return self._operation(services.drain_node(actor=self.actor, node=self._node(id), **self.body()))

    @action(detail=True, methods=["post"])
    def maintain(self, request: Request, id: str) -> Response:
        """A node with machines on it is drained first."""
        node = services.maintain_node(actor=self.actor, node=self._node(id), **self.body())
        return self._shown(node.pk)

    @action(detail=True, methods=["post"])
    def retire(self, request: Request, id: str) -> Response:
        """Its history stays; it may be enrolled again."""
        self.body()
        return self._shown(services.retire_node(actor=self.actor, node=self._node(id)).pk)

    @action(detail=True, methods=["post"])
    def invite(self, request: Request, id: str) -> Response:
        """Unused tokens made before end; the agent that is there goes on until the new one has registered."""
        self.body()
        return self._invited(services.invite_agent(actor=self.actor, node=self._node(id)))

    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, id: str) -> Response:
        """At once. What runs on the node goes on, unseen."""
        self.body()
        return self._shown(services.revoke_agent(actor=self.actor, node=self._node(id)).pk)

    @action(detail=True, methods=["get"])
    def agent(self, request: Request, id: str) -> Response:
        """Facts, the last measurement, notices."""
        return self.answer(selectors.find_agent(actor=self.actor, node_id=self.id_of("node", id)))

    def _invited(self, invitation: services.Invitation) -> Response:
        node = with_cards(selectors.list_nodes(actor=self.actor)).get(pk=invitation.node.pk)
        command = selectors.enrolment_command(url=settings.PUBLIC_URL, secret=invitation.secret)
        token = {"token": invitation.secret, "expires_at": invitation.token.expires_at, "command": command}
        return self.answer({"node": node, **token})

    def _node(self, id: str) -> Node:
        return selectors.find_node(actor=self.actor, node_id=self.id_of("node", id))

    def _shown(self, node_id: str) -> Response:
        selectors.find_node(actor=self.actor, node_id=node_id)
        return self.answer(with_cards(selectors.list_nodes(actor=self.actor)).get(pk=node_id))

    def _operation(self, operation: Any) -> Response:
        return self.answer(get_operation(actor=self.actor, operation_id=operation.pk))
