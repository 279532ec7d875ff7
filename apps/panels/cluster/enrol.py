"""A host comes into the region: its name, the command to paste on it, and what it has proven so far."""

from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpResponseBase
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.nodes import services
from apps.nodes.models import Node
from apps.nodes.selectors import enrolment_command, list_nodes
from apps.nodes.services import Invitation
from apps.panels import node_agent
from apps.panels.found import find
from apps.panels.kit import Code, FormPage, Note, Section


class TokenPage(FormPage):
    """A form whose answer shows a token once, with the steps beside it as they happen."""

    panel = "cluster"
    permission = Permission.NODE_ENROL
    nav = "nodes"
    invitation: Invitation | None = None

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Nodes")), self.url("nodes"))]

    def answered(self, answer: Any) -> HttpResponseBase:
        if self.invitation is None:
            return super().answered(answer)
        node, secret = self.invitation.node, self.invitation.secret
        command = enrolment_command(url=settings.PUBLIC_URL, secret=secret)
        blocks = [
            Note(_("Copy it now: the token is shown this once, works once, and for an hour."), "warn"),
            Code("enrol", _("Run this as root on the host"), [(str(_("Shell")), command), ("Token", secret)]),
        ]
        about = {
            "title": node.name,
            "top": [],
            "main": blocks,
            "aside": [node_agent.live_enrolment(self, node)],
        }
        link = {"label": _("Open the node"), "url": self.url("node", pk=node.pk), "icon": "server"}
        response = self.render("kit/page.html", {**about, "links": [{**link, "primary": True}]})
        response.headers["Cache-Control"] = "no-store"
        return response


class NodeFields(forms.Form):
    name = forms.CharField(
        label=_("Name"), max_length=63, help_text=_("Letters, digits, hyphens and dots: “gpu-01”.")
    )
    rack = forms.CharField(label=_("Rack"), max_length=40, required=False)


class NodeNew(TokenPage):
    title = _("Add a node")
    form_class = NodeFields
    submit = _("Make the token")
    sections = (
        Section(
            _("Host"),
            _("A small agent on it reports what it has and dials out only; nothing dials in."),
            ("name", "rack"),
        ),
    )

    def save(self, data: dict[str, Any]) -> str:
        region = self.place.region
        assert region is not None
        self.invitation = services.add_node(actor=self.actor, region=region, **data)
        return self.url("node", pk=self.invitation.node.pk)


class NoFields(forms.Form):
    """Nothing to ask."""


class NodeInvite(TokenPage):
    title = _("A token for its agent")
    form_class = NoFields
    submit = _("Make the token")
    intro = _("For a host that has no agent yet, or has lost its credential. Unused older tokens end.")

    @cached_property
    def found(self) -> Node:
        node: Node = find(self, list_nodes(actor=self.actor))
        return node

    def crumbs(self) -> list[tuple[str, str]]:
        return [*super().crumbs(), (self.found.name, self.url("node", pk=self.found.pk))]

    def save(self, data: dict[str, Any]) -> str:
        self.invitation = services.invite_agent(actor=self.actor, node=self.found)
        return self.url("node", pk=self.found.pk)
