"""Addresses of the Admin API, noun by noun."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from apps.api.admin.v1.catalog import ImageViewSet, ModelViewSet, TypeViewSet
from apps.api.admin.v1.clusters import ClusterViewSet
from apps.api.admin.v1.costs import CostViewSet, MarginViewSet
from apps.api.admin.v1.endpoints import EndpointViewSet, HardwareViewSet, LaunchViewSet, ReplicaViewSet
from apps.api.admin.v1.events import EventViewSet
from apps.api.admin.v1.gateway import GatewayViewSet, RateLimitViewSet
from apps.api.admin.v1.gpus import GpuViewSet, PoolViewSet
from apps.api.admin.v1.instances import InstanceViewSet
from apps.api.admin.v1.invoices import (
    CreditNoteViewSet,
    EntityViewSet,
    InvoiceViewSet,
    RunViewSet,
    TaxViewSet,
)
from apps.api.admin.v1.ledger import LedgerViewSet, MeterViewSet
from apps.api.admin.v1.models import AliasViewSet, FileViewSet, RegistryModelViewSet, VersionViewSet
from apps.api.admin.v1.nodes import NodeViewSet
from apps.api.admin.v1.operations import OperationViewSet
from apps.api.admin.v1.payments import (
    DisputeViewSet,
    MessageViewSet,
    PaymentViewSet,
    ReconciliationViewSet,
    RefundViewSet,
)
from apps.api.admin.v1.people import (
    AdminTeamViewSet,
    AuditViewSet,
    StaffKeyViewSet,
    StaffViewSet,
    UserViewSet,
)
from apps.api.admin.v1.policies import (
    AssignmentViewSet,
    ImagePolicyViewSet,
    PricingPolicyViewSet,
    ResourcePolicyViewSet,
    ServicePolicyViewSet,
    TypePolicyViewSet,
)
from apps.api.admin.v1.prices import PriceViewSet
from apps.api.admin.v1.quarantine import QuarantineViewSet, UsageEventViewSet
from apps.api.admin.v1.regions import RegionViewSet
from apps.api.admin.v1.storage import NetworkViewSet, VolumeViewSet
from apps.api.admin.v1.terms import PriceListViewSet, TermsViewSet, VoucherViewSet
from apps.api.admin.v1.usage import UsageViewSet
from apps.api.admin.v1.wallets import WalletViewSet

router = SimpleRouter(trailing_slash=False)
router.register("endpoints", EndpointViewSet, "endpoints")
router.register("replicas", ReplicaViewSet, "replicas")
router.register("engine-hardware", HardwareViewSet, "engine-hardware")
router.register("events", EventViewSet, "events")
router.register("instances", InstanceViewSet, "instances")
router.register("models", RegistryModelViewSet, "models")
router.register("models/(?P<model>[^/]+)/versions", VersionViewSet, "model-versions")
router.register("models/(?P<model>[^/]+)/versions/(?P<version>[^/]+)/files", FileViewSet, "model-files")
router.register("models/(?P<model>[^/]+)/aliases", AliasViewSet, "model-aliases")
router.register("operations", OperationViewSet, "operations")
router.register("ledger", LedgerViewSet, "ledger")
router.register("meters", MeterViewSet, "meters")
router.register("prices", PriceViewSet, "prices")
router.register("invoices", InvoiceViewSet, "invoices")
router.register("invoice-runs", RunViewSet, "invoice-runs")
router.register("credit-notes", CreditNoteViewSet, "credit-notes")
router.register("legal-entities", EntityViewSet, "legal-entities")
router.register("tax-rates", TaxViewSet, "tax-rates")
router.register("payments", PaymentViewSet, "payments")
router.register("refunds", RefundViewSet, "refunds")
router.register("disputes", DisputeViewSet, "disputes")
router.register("payment-messages", MessageViewSet, "payment-messages")
router.register("reconciliations", ReconciliationViewSet, "reconciliations")
router.register("usage", UsageViewSet, "usage")
router.register("usage-events", UsageEventViewSet, "usage-events")
router.register("quarantine", QuarantineViewSet, "quarantine")
router.register("price-lists", PriceListViewSet, "price-lists")
router.register("terms", TermsViewSet, "terms")
router.register("provider-costs", CostViewSet, "provider-costs")
router.register("margin", MarginViewSet, "margin")
router.register("vouchers", VoucherViewSet, "vouchers")
router.register("wallets", WalletViewSet, "wallets")
router.register("rate-limits", RateLimitViewSet, "rate-limits")
router.register("gateway-workers", GatewayViewSet, "gateway-workers")
router.register("api-keys", StaffKeyViewSet, "api-keys")
router.register("audit", AuditViewSet, "audit")
router.register("staff", StaffViewSet, "staff")
router.register("teams", AdminTeamViewSet, "teams")
router.register("users", UserViewSet, "users")
router.register("regions", RegionViewSet, "regions")
router.register("clusters", ClusterViewSet, "clusters")
router.register("nodes", NodeViewSet, "nodes")
router.register("gpus", GpuViewSet, "gpus")
router.register("gpu-pools", PoolViewSet, "gpu-pools")
router.register("gpu-models", ModelViewSet, "gpu-models")
router.register("instance-types", TypeViewSet, "instance-types")
router.register("images", ImageViewSet, "images")
router.register("volumes", VolumeViewSet, "volumes")
router.register("networks", NetworkViewSet, "networks")
router.register("policies", AssignmentViewSet, "policies")
router.register("resource-policies", ResourcePolicyViewSet, "resource-policies")
router.register("pricing-policies", PricingPolicyViewSet, "pricing-policies")
router.register("service-policies", ServicePolicyViewSet, "service-policies")
router.register("instance-type-policies", TypePolicyViewSet, "instance-type-policies")
router.register("image-policies", ImagePolicyViewSet, "image-policies")

launches = [
    path("instances/launch", LaunchViewSet.as_view({"post": "create"}), name="launch"),
    path("instances/status", LaunchViewSet.as_view({"get": "retrieve"}), name="launch-status"),
]
urlpatterns = [*launches, *router.urls]
