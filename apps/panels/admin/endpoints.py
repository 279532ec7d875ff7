"""Endpoints and the fleet of replicas in the Admin panel."""

from dataclasses import replace
from functools import cached_property
from typing import Any

from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.inference.models import Replica
from apps.panels import endpoints, engine_log
from apps.panels.kit import Link, Tab
from apps.panels.staff_endpoint import StaffEndpoint


class EndpointList(endpoints.EndpointList):
    panel = "admin"
    columns = (
        endpoints.NAME,
        endpoints.STATE,
        endpoints.TEAM,
        endpoints.MODEL,
        endpoints.COUNT,
        endpoints.REQUESTS,
        endpoints.TAIL,
        endpoints.TOKENS,
        endpoints.REGION,
        endpoints.AGE,
    )
    filters = (endpoints.STATE_FILTER, endpoints.REGION_FILTER)
    links = (
        Link(
            _("Serve from a provider"),
            "provided-new",
            Permission.ENDPOINT_CREATE,
            icon="cloud",
            primary=False,
        ),
        Link(_("Launch a model"), "endpoint-new", Permission.ENDPOINT_CREATE, icon="plus"),
    )


class EndpointPage(StaffEndpoint):
    panel = "admin"
    tabs = (*StaffEndpoint.tabs, Tab("logs", _("Logs"), Permission.ENDPOINT_LOGS))

    @cached_property
    def shown_tabs(self) -> list[Tab]:
        hidden = {"logs"} if self.object.is_provided else set()
        hidden |= set() if self.is_ours else {"scale"}
        return [one for one in super().shown_tabs if one.name not in hidden]

    def main_logs(self) -> list[Any]:
        return [engine_log.block(self)]

    def replica_link(self) -> tuple[Any, str] | None:
        if not self.object.is_platform or not self.can(Permission.ENDPOINT_UPDATE):
            return None
        return _("Add a provider"), self.url("provider-new", pk=self.pk)

    def address_of(self, one: Replica) -> str:
        if one.is_external:
            return self.url("provider", pk=one.pk) if self.can(Permission.ENDPOINT_UPDATE) else ""
        return engine_log.address_of(self, one)


class EngineLogText(engine_log.EngineLogText):
    panel = "admin"


OF = replace(endpoints.REPLICA_OF, to=lambda view, one: view.url("endpoint", pk=one.endpoint_id))


class ReplicaList(endpoints.ReplicaList):
    panel = "admin"
    columns = (
        endpoints.REPLICA_ID,
        endpoints.REPLICA_STATE,
        OF,
        endpoints.REPLICA_TEAM,
        endpoints.REPLICA_WHAT,
        endpoints.REPLICA_PLACE,
        endpoints.REPLICA_MESSAGE,
        endpoints.REPLICA_SINCE,
    )
