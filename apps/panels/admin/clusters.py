"""Clusters in the Admin panel."""

import json
from functools import cached_property
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.panels import clusters
from apps.panels.found import find
from apps.panels.kit import Action, Code, Facts, FormPage, Link, Section, cells
from apps.regions import services
from apps.regions.models import Cluster
from apps.regions.selectors import find_region, list_clusters, list_regions
from apps.regions.specs import ClusterSpec
from apps.regions.states import CLUSTER

P = Permission


def _move(event: str, label: Any, icon: str, confirm: Any, *, danger: bool = False) -> Action:
    return Action(
        event,
        label,
        P.CLUSTER_MANAGE,
        lambda view, cluster: services.move_cluster(actor=view.actor, cluster=cluster, event=event) and None,
        icon=icon,
        when=lambda cluster: CLUSTER.allows(event, cluster.state),
        confirm=confirm,
        danger=danger,
        type_name=danger,
        menu=True,
        row=False,
        done=_("The cluster has another state."),
    )


ACTIONS = (
    clusters.RECHECK,
    _move("pause", _("Pause"), "circle-pause", _("Nothing new is placed there; what runs goes on.")),
    _move("resume", _("Resume"), "circle-play", _("Machines are placed there again.")),
    _move(
        "retire", _("Retire"), "trash-2", _("It is never asked again. Only an empty one can go."), danger=True
    ),
)


class ClusterList(clusters.ClusterList):
    panel = "admin"
    columns = (
        clusters.NAME,
        clusters.REGION,
        clusters.STATE,
        clusters.KIND,
        clusters.NODES,
        clusters.SEEN,
    )
    links = (Link(_("Add cluster"), "cluster-new", P.CLUSTER_MANAGE),)


class ClusterPage(clusters.ClusterPage):
    panel = "admin"
    actions = ACTIONS
    links = (Link(_("Configure"), "cluster-edit", P.CLUSTER_MANAGE, icon="pencil", primary=False),)

    def aside_overview(self) -> list[Any]:
        one: Cluster = self.object
        secret = [
            (_("Credentials"), _("sealed") if one.credentials else _("none")),
            (_("Id"), cells.copy(one.pk)),
        ]
        text = json.dumps(one.config, indent=2, ensure_ascii=False)
        return [
            *super().aside_overview(),
            Facts(_("Access"), secret),
            Code("config", _("Configuration"), [("JSON", text)]),
        ]


class JsonField(forms.JSONField):
    """A JSON object, shown readably."""

    default_error_messages = {"object": _("Write a JSON object: { … }.")}
    empty_values = (None, "")  # an empty object is for the driver to judge

    def __init__(self, **options: Any) -> None:
        attrs = {"rows": 10, "spellcheck": "false", "autocomplete": "off"}
        super().__init__(**{"widget": forms.Textarea(attrs=attrs), **options})

    def clean(self, value: Any) -> Any:
        given = super().clean(value)
        if given is not None and not isinstance(given, dict):
            raise forms.ValidationError(self.error_messages["object"], code="object")
        return given

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value


class ClusterFields(forms.Form):
    region = forms.ChoiceField(label=_("Region"))
    name = forms.CharField(label=_("Name"), max_length=80)
    slug = forms.CharField(label=_("Address"), max_length=40, help_text=_("Small letters, digits, dashes."))
    kind = forms.ChoiceField(label=_("Driver"), choices=(("libvirt", "libvirt"), ("sim", "sim")))
    config = JsonField(label=_("Configuration"), help_text=_("What the driver wants, as a JSON object."))
    credentials = JsonField(
        label=_("Credentials"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
        help_text=_("Fields of the configuration that are secret. They are sealed and never shown again."),
    )
    auto_enrol = forms.BooleanField(
        label=_("Take new nodes into service at once"),
        required=False,
        help_text=_("Otherwise staff of the region enrols each."),
    )


class ClusterNew(FormPage):
    panel = "admin"
    permission = P.CLUSTER_MANAGE
    title = _("Add cluster")
    form_class = ClusterFields
    sections = (
        Section(_("Identity"), _("Where it is and what staff calls it."), ("region", "name", "slug")),
        Section(
            _("Endpoint"),
            _("The driver checks the configuration by its own rules before anything is saved."),
            ("kind", "config", "credentials"),
        ),
        Section(_("Nodes"), _("Its hosts appear within seconds."), ("auto_enrol",)),
    )
    submit = _("Add cluster")
    done = _("The cluster is there; its nodes appear in a moment.")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Clusters")), self.url("clusters"))]

    def form(self, data: Any = None) -> forms.Form:
        form = super().form(data)
        field = form.fields["region"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [(str(one.pk), one.name) for one in list_regions(actor=self.actor).order_by("name")]
        return form

    def initial(self) -> dict[str, Any]:
        return {"config": {"uri": "qemu:///system"}}

    def save(self, data: dict[str, Any]) -> str:
        region = find_region(actor=self.actor, region_id=data.pop("region"))
        spec = ClusterSpec(**{**data, "credentials": data["credentials"] or {}})
        cluster = services.create_cluster(actor=self.actor, region=region, spec=spec)
        return self.url("cluster", pk=cluster.pk)


class ClusterChange(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80)
    config = JsonField(label=_("Configuration"))
    credentials = JsonField(
        label=_("New credentials"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
        help_text=_("Leave empty to keep those there are."),
    )
    auto_enrol = forms.BooleanField(label=_("Take new nodes into service at once"), required=False)


class ClusterEdit(FormPage):
    panel = "admin"
    permission = P.CLUSTER_MANAGE
    nav = "clusters"
    title = _("Configure cluster")
    form_class = ClusterChange
    submit = _("Save")
    done = _("The cluster is configured.")

    @cached_property
    def found(self) -> Any:
        return find(self, list_clusters(actor=self.actor))

    def crumbs(self) -> list[tuple[str, str]]:
        back = [(str(_("Clusters")), self.url("clusters"))]
        return [*back, (self.found.name, self.url("cluster", pk=self.found.pk))]

    def initial(self) -> dict[str, Any]:
        return {name: getattr(self.found, name) for name in ("name", "config", "auto_enrol")}

    def save(self, data: dict[str, Any]) -> str:
        services.configure_cluster(
            actor=self.actor, cluster=self.found, **{**data, "credentials": data["credentials"] or None}
        )
        return self.url("cluster", pk=self.found.pk)
