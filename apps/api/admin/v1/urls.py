"""Addresses of the Admin API, noun by noun."""

from rest_framework.routers import SimpleRouter

from apps.api.admin.v1.events import EventViewSet
from apps.api.admin.v1.instances import InstanceViewSet
from apps.api.admin.v1.ledger import LedgerViewSet, MeterViewSet
from apps.api.admin.v1.operations import OperationViewSet
from apps.api.admin.v1.people import (
    AdminTeamViewSet,
    AuditViewSet,
    StaffKeyViewSet,
    StaffViewSet,
    UserViewSet,
)
from apps.api.admin.v1.prices import PriceViewSet
from apps.api.admin.v1.usage import UsageViewSet
from apps.api.admin.v1.wallets import WalletViewSet

router = SimpleRouter(trailing_slash=False)
router.register("events", EventViewSet, "events")
router.register("instances", InstanceViewSet, "instances")
router.register("operations", OperationViewSet, "operations")
router.register("ledger", LedgerViewSet, "ledger")
router.register("meters", MeterViewSet, "meters")
router.register("prices", PriceViewSet, "prices")
router.register("usage", UsageViewSet, "usage")
router.register("wallets", WalletViewSet, "wallets")
router.register("api-keys", StaffKeyViewSet, "api-keys")
router.register("audit", AuditViewSet, "audit")
router.register("staff", StaffViewSet, "staff")
router.register("teams", AdminTeamViewSet, "teams")
router.register("users", UserViewSet, "users")

urlpatterns = router.urls
