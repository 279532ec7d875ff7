"""Addresses of the admin panel, one line per page; names are those of kit/nav.py."""

from django.urls import URLPattern, path

from apps.panels.admin import home, instances, keys, money, operations, people, prices, teams, wallets

app_name = "admin"

urlpatterns: list[URLPattern] = [
    path("", home.Home.as_view(), name="home"),
    path("instances", instances.InstanceList.as_view(), name="instances"),
    path("instances/<str:pk>", instances.InstancePage.as_view(), name="instance"),
    path("operations", operations.OperationList.as_view(), name="operations"),
    path("operations/<str:pk>", operations.OperationDetail.as_view(), name="operation"),
    path("events", operations.EventList.as_view(), name="events"),
    path("teams", teams.TeamList.as_view(), name="teams"),
    path("teams/new", teams.TeamNew.as_view(), name="team-new"),
    path("teams/<str:pk>", teams.TeamDetail.as_view(), name="team"),
    path("users", people.UserList.as_view(), name="users"),
    path("users/<str:pk>", people.UserDetail.as_view(), name="user"),
    path("staff", people.StaffList.as_view(), name="staff"),
    path("staff/new", people.StaffNew.as_view(), name="staff-new"),
    path("audit", people.AuditPage.as_view(), name="audit"),
    path("api-keys", keys.StaffKeyList.as_view(), name="api-keys"),
    path("api-keys/new", keys.StaffKeyNew.as_view(), name="api-key-new"),
    path("api-keys/<str:pk>", keys.StaffKeyRotate.as_view(), name="api-key"),
    path("prices", prices.PriceList.as_view(), name="prices"),
    path("prices/new", prices.PriceNew.as_view(), name="price-new"),
    path("prices/<str:pk>", prices.PriceDetail.as_view(), name="price"),
    path("usage", money.Usage.as_view(), name="usage"),
    path("usage.csv", money.UsageCsv.as_view(), name="usage-file"),
    path("billing", money.Accounts.as_view(), name="billing"),
    path("billing/wallets", wallets.WalletList.as_view(), name="wallets"),
    path("billing/ledger", money.LedgerList.as_view(), name="ledger"),
    path("billing/ledger/<str:pk>", money.LedgerEntry.as_view(), name="ledger-entry"),
    path("teams/<str:pk>/credit", wallets.TeamCredit.as_view(), name="team-credit"),
    path("teams/<str:pk>/limit", wallets.TeamLimit.as_view(), name="team-limit"),
]
