"""Resource groups of the region."""

from functools import cached_property
from typing import Any

from django import forms
from django.db.models import Count, QuerySet
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.gpupools.selectors.cards import with_cards
from apps.nodes import services
from apps.nodes.models import Node, ResourceGroup
from apps.nodes.selectors import list_groups, list_nodes
from apps.nodes.states import State
from apps.panels import nodes
from apps.panels.found import find
from apps.panels.kit import (
    Action,
    Column,
    Detail,
    Empty,
    Facts,
    FormPage,
    Link,
    Resource,
    Section,
    Table,
    cells,
)

P = Permission


def forget(view: Any, group: ResourceGroup) -> str:
    services.delete_group(actor=view.actor, group=group)
    return str(view.url("groups"))


FORGET = Action(
    "forget",
    _("Forget"),
    P.GROUP_MANAGE,
    forget,
    icon="trash-2",
    confirm=_("Nodes and machines stay as they are; limits that name the group no longer bite."),
    danger=True,
    done=_("The group is forgotten."),
)


class GroupList(Resource):
    panel = "cluster"
    permission = P.GROUP_READ
    title = _("Resource groups")
    model = ResourceGroup
    live = "group."
    order = "name"
    search = ("name", "slug")
    search_hint = _("Search by name")
    columns = (
        Column("name", _("Name"), sort="name", main=True, to="group"),
        Column("slug", _("Address"), sort="slug", mono=True, priority=2),
        Column("nodes", _("Nodes"), lambda one: one.n, sort="n", num=True, text=lambda one: one.n),
        Column("description", _("Description"), priority=3),
    )
    actions = (FORGET,)
    links = (Link(_("Add group"), "group-new", P.GROUP_MANAGE),)
    empty = Empty(
        _("No resource group yet"),
        _("A group is a named part of the region's nodes, for limits and placement."),
        links[0],
        icon="boxes",
    )

    def refine(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        found: QuerySet[Any] = rows.annotate(n=Count("nodes"))
        return found


class GroupFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80)
    slug = forms.CharField(label=_("Address"), max_length=40, help_text=_("Small letters, digits, dashes."))
    description = forms.CharField(label=_("Description"), max_length=300, required=False)


class GroupNew(FormPage):
    panel = "cluster"
    permission = P.GROUP_MANAGE
    nav = "groups"
    title = _("Add group")
    form_class = GroupFields
    sections = (Section(_("Identity"), _("Nodes are chosen next."), ("name", "slug", "description")),)
    submit = _("Add group")
    done = _("The group is there.")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Resource groups")), self.url("groups"))]

    def save(self, data: dict[str, Any]) -> str:
        assert self.place.region is not None
        group = services.create_group(actor=self.actor, region=self.place.region, **data)
        return self.url("group-nodes", pk=group.pk)


class NodeFields(forms.Form):
    nodes = forms.MultipleChoiceField(
        label=_("Nodes"), required=False, widget=forms.CheckboxSelectMultiple, choices=()
    )


class GroupNodes(FormPage):
    panel = "cluster"
    permission = P.GROUP_MANAGE
    nav = "groups"
    title = _("Choose nodes")
    form_class = NodeFields
    submit = _("Save")
    done = _("The group has these nodes now.")

    @cached_property
    def found(self) -> Any:
        return find(self, list_groups(actor=self.actor))

    def crumbs(self) -> list[tuple[str, str]]:
        back = [(str(_("Resource groups")), self.url("groups"))]
        return [*back, (self.found.name, self.url("group", pk=self.found.pk))]

    def form(self, data: Any = None) -> forms.Form:
        form = super().form(data)
        rows = self.place.narrow(list_nodes(actor=self.actor)).exclude(state=State.RETIRED)
        field = form.fields["nodes"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(str(pk), name) for pk, name in rows.order_by("name").values_list("pk", "name")]
        return form

    def initial(self) -> dict[str, Any]:
        return {"nodes": [str(node.pk) for node in self.found.nodes.all()]}

    def save(self, data: dict[str, Any]) -> str:
        services.set_group_nodes(actor=self.actor, group=self.found, node_ids=data["nodes"])
        return self.url("group", pk=self.found.pk)


class GroupPage(Detail):
    panel = "cluster"
    permission = P.GROUP_READ
    nav = "groups"
    model = ResourceGroup
    live = "group. node."
    actions = (FORGET,)
    links = (Link(_("Choose nodes"), "group-nodes", P.GROUP_MANAGE, icon="list-checks"),)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Resource groups")), self.url("groups"))]

    def main_overview(self) -> list[Any]:
        rows = (
            Node.objects.visible_to(self.actor).filter(groups=self.object).select_related("region", "cluster")
        )
        empty = Empty(_("No node in it"), _("Choose which nodes of the region belong to it."), icon="server")
        return [Table(_("Nodes"), nodes.COLUMNS, list(with_cards(rows).order_by("name")), empty, view=self)]

    def aside_overview(self) -> list[Any]:
        one = self.object
        rows = [
            (_("Address"), cells.mono(one.slug)),
            (_("Description"), one.description or None),
            (_("Made"), cells.exact(one.created_at)),
            (_("Id"), cells.copy(one.pk)),
        ]
        return [Facts(_("Details"), rows)]
