"""The five policies of the teams."""

from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.base import Call, PlatformViewSet
from apps.api.fields import In, Out, RowOut, TypedIdField
from apps.core.permissions import Permission
from apps.policies import selectors, services
from apps.policies.models import (
    Assignment,
    ImagePolicy,
    InstanceTypePolicy,
    PricingPolicy,
    ResourcePolicy,
    ServicePolicy,
)
from apps.policies.specs import Limit
from apps.policies.states import Access, Kind, Level

P = Permission
SHARED = ("id", "slug", "name", "description", "is_default", "created_at")


class NewIn(In):
    """A new policy; it allows everything until it is narrowed."""

    slug = serializers.CharField(max_length=40)
    name = serializers.CharField(max_length=80)
    description = serializers.CharField(max_length=300, required=False, allow_blank=True)


class LimitIO(In):
    """One line: at a level, in one place or all of it, at most so much of a metric."""

    level = serializers.ChoiceField(choices=Level.choices)
    target = serializers.CharField(
        max_length=40, required=False, allow_blank=True, default="", help_text="A region's or group's id."
    )
    metric = serializers.CharField(max_length=60, help_text="`vcpus`, `memory_mib`, `gpu:<model>`, `gpu:*`…")
    access = serializers.ChoiceField(choices=Access.choices)
    maximum = serializers.IntegerField(min_value=0, max_value=2**53 - 1, required=False, allow_null=True)


class LimitsIn(In):
    """All lines of the policy."""

    limits = LimitIO(many=True)


class ChoiceIn(In):
    """All of them, or only those named."""

    is_open = serializers.BooleanField()
    slugs = serializers.ListField(child=serializers.CharField(max_length=60), required=False, max_length=1000)


class PricingIn(In):
    """By which price list the policy's teams pay, and what every month beside it."""

    price_list = serializers.SlugField(max_length=40)
    base_fee = serializers.DecimalField(max_digits=38, decimal_places=12, min_value=0)
    included_amount = serializers.DecimalField(max_digits=38, decimal_places=12, min_value=0)


class ResourcePolicyOut(RowOut):
    """How much a team may use; what no line names is unlimited."""

    limits = LimitIO(many=True, read_only=True)

    class Meta:
        model = ResourcePolicy
        fields = (*SHARED, "limits")


class PricingPolicyOut(RowOut):
    """In what currency and by which price list a team pays."""

    class Meta:
        model = PricingPolicy
        fields = (*SHARED, "currency", "price_list", "base_fee", "included_amount")


class ServicePolicyOut(RowOut):
    """Which services a team sees."""

    class Meta:
        model = ServicePolicy
        fields = (*SHARED, "is_open", "slugs")


class TypePolicyOut(RowOut):
    """Which shapes a team may launch."""

    class Meta:
        model = InstanceTypePolicy
        fields = (*SHARED, "is_open", "slugs")


class ImagePolicyOut(RowOut):
    """Which images a team may launch."""

    class Meta:
        model = ImagePolicy
        fields = (*SHARED, "is_open", "slugs")


class PolicyViewSet(PlatformViewSet, abstract=True):
    """What the viewsets of the five kinds share."""

    kind: str

    def list(self, request: Request) -> Response:
        """Newest first."""
        return self.page(selectors.MODELS[self.kind].objects.visible_to(self.actor))

    def create(self, request: Request) -> Response:
        """No team is held to it yet."""
        return self.answer(services.create_policy(actor=self.actor, kind=self.kind, **self.body()))

    def retrieve(self, request: Request, id: str) -> Response:
        """One policy."""
        return self.answer(self._policy(id))

    def destroy(self, request: Request, id: str) -> Response:
        """Only one that no team is held to."""
        services.delete_policy(actor=self.actor, policy=self._policy(id))
        return Response(status=204)

    def _policy(self, id: str) -> Any:
        return selectors.get_policy(kind=self.kind, policy_id=self.id_of(self.id_prefix, id))


def _calls(out: Any, what: str) -> dict[str, Call]:
    return {
        "list": Call(P.POLICY_READ, out, summary=f"List {what} policies"),
        "create": Call(P.POLICY_MANAGE, out, NewIn, 201, summary=f"Make a {what} policy"),
        "retrieve": Call(P.POLICY_READ, out, summary=f"Look at a {what} policy"),
        "destroy": Call(P.POLICY_MANAGE, status=204, summary=f"Forget a {what} policy"),
    }


class ResourcePolicyViewSet(PolicyViewSet):
    """How much teams may use."""

    kind = Kind.RESOURCE
    id_prefix = "rpo"
    calls = {
        **_calls(ResourcePolicyOut, "resource"),
        "limits": Call(P.POLICY_MANAGE, ResourcePolicyOut, LimitsIn, summary="Set a policy's limits"),
    }

    @action(detail=True, methods=["post"])
    def limits(self, request: Request, id: str) -> Response:
        """Replaces all lines; a lower level may not allow more than a higher one."""
        lines = [Limit(**line) for line in self.body()["limits"]]
        policy = self._policy(id)
        services.set_limits(actor=self.actor, policy=policy, limits=lines)
        return self.answer(self._policy(id))


class PricingPolicyViewSet(PolicyViewSet):
    """How teams pay."""

    kind = Kind.PRICING
    id_prefix = "ppo"
    calls = {
        **_calls(PricingPolicyOut, "pricing"),
        "pricing": Call(P.PRICE_MANAGE, PricingPolicyOut, PricingIn, summary="Say how a policy's teams pay"),
    }

    @action(detail=True, methods=["post"])
    def pricing(self, request: Request, id: str) -> Response:
        """Its teams pay so from a minute ahead; a month whose fee was charged is not charged again."""
        services.set_pricing(actor=self.actor, policy=self._policy(id), **self.body())
        return self.answer(self._policy(id))


class ServicePolicyViewSet(PolicyViewSet):
    """Which services teams see."""

    kind = Kind.SERVICE
    id_prefix = "spo"
    calls = _calls(ServicePolicyOut, "service")


class _ChoiceActions(PolicyViewSet, abstract=True):
    @action(detail=True, methods=["post"])
    def choice(self, request: Request, id: str) -> Response:
        """All of them, or only those named."""
        body = {"slugs": (), **self.body()}
        services.set_choice(actor=self.actor, policy=self._policy(id), **body)
        return self.answer(self._policy(id))


class TypePolicyViewSet(_ChoiceActions):
    """Which shapes teams may launch."""

    kind = Kind.INSTANCE_TYPE
    id_prefix = "tpo"
    calls = {
        **_calls(TypePolicyOut, "instance type"),
        "choice": Call(P.POLICY_MANAGE, TypePolicyOut, ChoiceIn, summary="Say which types it lets through"),
    }


class ImagePolicyViewSet(_ChoiceActions):
    """Which images teams may launch."""

    kind = Kind.IMAGE
    id_prefix = "ipo"
    calls = {
        **_calls(ImagePolicyOut, "image"),
        "choice": Call(P.POLICY_MANAGE, ImagePolicyOut, ChoiceIn, summary="Say which images it lets through"),
    }


class AssignmentOut(Out):
    """The five policies of a team."""

    team_id = TypedIdField("team")
    resource = serializers.CharField(source="resource.slug")
    pricing = serializers.CharField(source="pricing.slug")
    service = serializers.CharField(source="service.slug")
    instance_type = serializers.CharField(source="instance_type.slug")
    image = serializers.CharField(source="image.slug")
    changed_at = serializers.DateTimeField()


class AssignIn(In):
    """Which policy takes the place of the team's."""

    kind = serializers.ChoiceField(choices=Kind.choices)
    policy_id = serializers.CharField(max_length=40)


class AssignmentViewSet(PlatformViewSet):
    """Which policies each team is held to; exactly one of each kind."""

    id_prefix = "team"
    calls = {
        "list": Call(P.POLICY_READ, AssignmentOut, summary="List the teams' policies"),
        "retrieve": Call(P.POLICY_READ, AssignmentOut, summary="Look at a team's policies"),
        "assign": Call(P.POLICY_MANAGE, AssignmentOut, AssignIn, summary="Give a team another policy"),
    }

    def list(self, request: Request) -> Response:
        """By team, the youngest first."""
        return self.page(selectors.list_assignments(actor=self.actor))

    def retrieve(self, request: Request, id: str) -> Response:
        """All five."""
        return self.answer(self._assignment(id))

    @action(detail=True, methods=["post"])
    def assign(self, request: Request, id: str) -> Response:
        """What the team uses already stays."""
        team = self._assignment(id).team
        services.assign_policy(actor=self.actor, team=team, **self.body())
        return self.answer(self._assignment(id))

    def _assignment(self, id: str) -> Assignment:
        return selectors.find_assignment(actor=self.actor, team_id=self.id_of("team", id))
