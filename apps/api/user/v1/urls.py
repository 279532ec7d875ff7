"""Addresses of the User API, noun by noun."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from apps.api.user.v1.budgets import BudgetViewSet
from apps.api.user.v1.catalog import ImageViewSet, OfferViewSet, RegionViewSet, TypeViewSet
from apps.api.user.v1.cost import CostViewSet, VoucherViewSet
from apps.api.user.v1.endpoints import EndpointViewSet, HardwareViewSet, ReplicaViewSet
from apps.api.user.v1.events import EventViewSet
from apps.api.user.v1.instances import InstanceViewSet
from apps.api.user.v1.invoices import BillingProfileViewSet, CreditNoteViewSet, InvoiceViewSet
from apps.api.user.v1.keys import ApiKeyViewSet, SshKeyViewSet
from apps.api.user.v1.limits import LimitViewSet
from apps.api.user.v1.models import AliasViewSet, FileViewSet, RegistryModelViewSet, VersionViewSet
from apps.api.user.v1.operations import OperationViewSet
from apps.api.user.v1.payments import AutoTopUpViewSet, MethodViewSet, PaymentViewSet
from apps.api.user.v1.prices import PriceViewSet, QuoteViewSet, TermsViewSet
from apps.api.user.v1.rate_limits import RateLimitViewSet
from apps.api.user.v1.snapshots import SnapshotViewSet
from apps.api.user.v1.statement import StatementViewSet
from apps.api.user.v1.team import (
    AuditViewSet,
    InvitationViewSet,
    MemberViewSet,
    MyTeamsViewSet,
    OneTeamViewSet,
    WorkspaceViewSet,
)
from apps.api.user.v1.usage import TokenRequestViewSet, TokenUsageViewSet, UsageViewSet
from apps.api.user.v1.volumes import VolumeViewSet
from apps.api.user.v1.wallet import WalletViewSet
from apps.api.user.v1.webhooks import WebhookViewSet

router = SimpleRouter(trailing_slash=False)
router.register("endpoints", EndpointViewSet, "endpoints")
router.register("replicas", ReplicaViewSet, "replicas")
router.register("engine-hardware", HardwareViewSet, "engine-hardware")
router.register("events", EventViewSet, "events")
router.register("instances", InstanceViewSet, "instances")
router.register("instances/(?P<instance>[^/]+)/snapshots", SnapshotViewSet, "snapshots")
router.register("models", RegistryModelViewSet, "models")
router.register("models/(?P<model>[^/]+)/versions", VersionViewSet, "model-versions")
router.register("models/(?P<model>[^/]+)/versions/(?P<version>[^/]+)/files", FileViewSet, "model-files")
router.register("models/(?P<model>[^/]+)/aliases", AliasViewSet, "model-aliases")
router.register("operations", OperationViewSet, "operations")
router.register("prices", PriceViewSet, "prices")
router.register("quotes", QuoteViewSet, "quotes")
router.register("cost", CostViewSet, "cost")
router.register("vouchers", VoucherViewSet, "vouchers")
router.register("statement", StatementViewSet, "statement")
router.register("usage", UsageViewSet, "usage")
router.register("token-requests", TokenRequestViewSet, "token-request")
router.register("token-usage", TokenUsageViewSet, "token-usage")
router.register("api-keys", ApiKeyViewSet, "api-keys")
router.register("budgets", BudgetViewSet, "budgets")
router.register("webhooks", WebhookViewSet, "webhooks")
router.register("audit", AuditViewSet, "audit")
router.register("invitations", InvitationViewSet, "invitations")
router.register("members", MemberViewSet, "members")
router.register("rate-limits", RateLimitViewSet, "rate-limits")
router.register("ssh-keys", SshKeyViewSet, "ssh-keys")
router.register("teams", MyTeamsViewSet, "teams")
router.register("workspaces", WorkspaceViewSet, "workspaces")
router.register("regions", RegionViewSet, "regions")
router.register("instance-types", TypeViewSet, "instance-types")
router.register("images", ImageViewSet, "images")
router.register("offers", OfferViewSet, "offers")
router.register("limits", LimitViewSet, "limits")
router.register("volumes", VolumeViewSet, "volumes")
router.register("invoices", InvoiceViewSet, "invoices")
router.register("credit-notes", CreditNoteViewSet, "credit-notes")
router.register("payments", PaymentViewSet, "payments")
router.register("payment-methods", MethodViewSet, "payment-methods")

urlpatterns = [
    *router.urls,
    path(
        "auto-top-up",
        AutoTopUpViewSet.as_view({"get": "retrieve", "put": "update"}),
        name="auto-top-up",
    ),
    path(
        "billing-profile",
        BillingProfileViewSet.as_view({"get": "retrieve", "put": "update"}),
        name="billing-profile",
    ),
    path("terms", TermsViewSet.as_view({"get": "retrieve"}), name="terms"),
    path("wallet", WalletViewSet.as_view({"get": "retrieve"}), name="wallet"),
    path("team", OneTeamViewSet.as_view({"get": "retrieve", "patch": "partial_update"}), name="team"),
]
