"""The five kinds of policies and who is held to which, in the Admin panel."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.catalog.selectors import list_images, list_types
from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.panels.found import find
from apps.panels.kit import Action, Column, Empty, FormPage, Link, Page, Resource, Section, Table, cells
from apps.panels.kit.actions import buttons
from apps.policies import services
from apps.policies.models import Assignment, ChoicePolicy, Policy, ResourcePolicy
from apps.policies.selectors import MODELS, list_assignments
from apps.policies.specs import Limit
from apps.policies.states import Access, Kind, Level
from apps.regions.selectors import list_regions

P = Permission


def forget(view: Any, target: Any) -> None:
    services.delete_policy(actor=view.actor, policy=target)


FORGET = Action(
    "forget",
    _("Forget"),
    P.POLICY_MANAGE,
    forget,
    icon="trash-2",
    when=lambda policy: not policy.is_default,
    confirm=_("Only a policy that no team is held to can go."),
    danger=True,
    done=_("The policy is forgotten."),
)


def says(policy: Any) -> str:
    """What a policy comes to, in a few words."""
    if isinstance(policy, ResourcePolicy):
        lines = policy.limits.all()
        return _now("%(n)s limits") % {"n": len(lines)} if lines else _now("no limits")
    if isinstance(policy, ChoicePolicy):
        return _now("all") if policy.is_open else _now("%(n)s of them") % {"n": len(policy.slugs)}
    return f"{policy.currency} · {policy.price_list}"


def name_of(policy: Any) -> Any:
    return cells.join(policy.name, cells.tag(_("new teams get it"))) if policy.is_default else policy.name


class PolicyPage(Page):
    """All policies, kind by kind."""

    panel = "admin"
    permission = P.POLICY_READ
    title = _("Policies")
    intro = _("Every team is held to one policy of each kind. What a customer is offered follows from them.")
    live = "policy."
    links = (
        Link(_("Add policy"), "policy-new", P.POLICY_MANAGE),
        Link(_("Teams"), "policy-teams", P.POLICY_READ, icon="users", primary=False),
    )
    actions = (FORGET,)

    def targets(self, ids: Iterable[str]) -> list[Any]:
        wanted = set(ids)
        return [policy for found in self.found.values() for policy in found if str(policy.pk) in wanted]

    @cached_property
    def found(self) -> dict[str, list[Any]]:
        known = {}
        for kind, model in MODELS.items():
            rows: QuerySet[Any] = model.objects.visible_to(self.actor).order_by("name")
            known[kind] = list(rows.prefetch_related("limits") if model is ResourcePolicy else rows)
        return known

    def main(self) -> list[Any]:
        return [self._table(kind) for kind in Kind]

    def _table(self, kind: Kind) -> Table:
        columns = (
            Column("name", _("Name"), name_of, main=True, to=f"policy-{kind.value.replace('_', '-')}"),
            Column("slug", _("Address"), lambda one: cells.mono(one.slug), priority=2),
            Column("says", _("Allows"), says),
            Column("description", _("Description"), lambda one: one.description, priority=3),
        )
        empty = Empty(_("None yet"))
        return Table(kind.label, columns, self.found[kind], empty, buttons=self._buttons, view=self)

    def _buttons(self, policy: Policy) -> list[dict[str, Any]]:
        return buttons(self, self.actions, policy)


class PolicyFields(forms.Form):
    kind = forms.ChoiceField(label=_("Kind"), choices=Kind.choices)
    name = forms.CharField(label=_("Name"), max_length=80)
    slug = forms.CharField(label=_("Address"), max_length=40, help_text=_("Small letters, digits, dashes."))
    description = forms.CharField(label=_("Description"), max_length=300, required=False)


def address_of(view: Any, kind: str, pk: str) -> str:
    return str(view.url(f"policy-{kind.replace('_', '-')}", pk=pk))


class PolicyNew(FormPage):
    panel = "admin"
    permission = P.POLICY_MANAGE
    title = _("Add policy")
    form_class = PolicyFields
    sections = (
        Section(
            _("Identity"),
            _("It allows everything until it is narrowed, and no team is held to it yet."),
            ("kind", "name", "slug", "description"),
        ),
    )
    submit = _("Add policy")
    done = _("The policy is there.")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Policies")), self.url("policies"))]

    def save(self, data: dict[str, Any]) -> str:
        policy = services.create_policy(actor=self.actor, **data)
        return address_of(self, data["kind"], str(policy.pk))


class PolicyForm(FormPage):
    """A form about one policy; subclasses name its kind."""

    panel = "admin"
    permission = P.POLICY_READ
    nav = "policies"
    submit = _("Save")
    done = _("The policy is changed.")
    kind: str

    @cached_property
    def found(self) -> Any:
        return find(self, MODELS[self.kind].objects.visible_to(self.actor))

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Policies")), self.url("policies"))]

    def frame(self) -> dict[str, Any]:
        return {**super().frame(), "title": self.found.name}

    def save(self, data: dict[str, Any]) -> str:
        words = {"name": data["name"], "description": data["description"]}
        services.describe_policy(actor=self.actor, policy=self.found, **words)
        return self.url("policies")

    def initial(self) -> dict[str, Any]:
        return {"name": self.found.name, "description": self.found.description}


class WordFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80)
    description = forms.CharField(label=_("Description"), max_length=300, required=False)


class LimitFields(WordFields):
    limits = forms.CharField(
        label=_("Limits"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false"}),
        help_text=_(
            "One per line: place, metric, most. For example “everywhere gpu:* 64” or “hel-1 vcpus none”."
        ),
    )


class ResourceEdit(PolicyForm):
    title = _("Resource policy")
    kind = Kind.RESOURCE
    form_class = LimitFields
    sections = (
        Section(_("Identity"), "", ("name", "description")),
        Section(
            _("Limits"),
            _(
                "Place is “everywhere”, “every-region” or a region's address. Metrics: instances, vcpus, "
                "memory_mib, disk_gib, endpoints, gpu:<model> or gpu:* for each model. The most is a number, "
                "“none” or “unlimited”. A region never allows more than everywhere does."
            ),
            ("limits",),
        ),
    )

    @cached_property
    def regions(self) -> dict[str, str]:
        return {one.slug: str(one.pk) for one in list_regions(actor=self.actor)}

    def initial(self) -> dict[str, Any]:
        names = {pk: slug for slug, pk in self.regions.items()}
        lines = [_line(one.limit, names) for one in self.found.limits.all()]
        return {**super().initial(), "limits": "\n".join(lines)}

    def save(self, data: dict[str, Any]) -> str:
        lines = [one for one in data["limits"].splitlines() if one.strip()]
        limits = [_limit(one, self.regions) for one in lines]
        services.set_limits(actor=self.actor, policy=self.found, limits=limits)
        return super().save(data)


def _line(limit: Limit, names: dict[str, str]) -> str:
    place = names.get(limit.target, limit.target)
    if not limit.target:
        place = {"global": "everywhere", "region": "every-region"}.get(limit.level, f"every-{limit.level}")
    most = str(limit.maximum) if limit.access == Access.RESTRICTED else str(limit.access)
    return f"{place} {limit.metric} {most}"


def _limit(line: str, regions: dict[str, str]) -> Limit:
    words = line.split()
    if len(words) != 3:
        raise Invalid(_now("“%(line)s” is not: place, metric, most.") % {"line": line}, field="limits")
    place, metric, most = words
    level, target = _place(place, regions)
    if most in (Access.NONE, Access.UNLIMITED):
        return Limit(level, target, metric, most)
    if not most.isdecimal():
        raise Invalid(_now("“%(most)s” is not a number.") % {"most": most}, field="limits")
    return Limit(level, target, metric, Access.RESTRICTED, int(most[:18]))


def _place(place: str, regions: dict[str, str]) -> tuple[str, str]:
    if place == "everywhere":
        return Level.GLOBAL, ""
    if place in ("every-region", "every-group"):
        return place.removeprefix("every-"), ""
    if place in regions:
        return Level.REGION, regions[place]
    if place.startswith("grp_"):
        return Level.GROUP, place
    raise Invalid(_now("There is no place “%(place)s”.") % {"place": place}, field="limits")


class ChoiceFields(WordFields):
    is_open = forms.BooleanField(label=_("All of them, also new ones"), required=False)
    slugs = forms.MultipleChoiceField(
        label=_("Only these"), required=False, widget=forms.CheckboxSelectMultiple, choices=()
    )


class ChoiceEdit(PolicyForm):
    form_class = ChoiceFields
    sections = (
        Section(_("Identity"), "", ("name", "description")),
        Section(_("Choice"), _("What customers of the policy are offered."), ("is_open", "slugs")),
    )

    def known(self) -> list[tuple[str, str]]:
        return []

    def form(self, data: Any = None) -> forms.Form:
        form = super().form(data)
        field = form.fields["slugs"]
        assert isinstance(field, forms.MultipleChoiceField)
        known = self.known()
        gone = sorted(set(self.found.slugs) - {slug for slug, _label in known})
        field.choices = [*known, *((slug, slug) for slug in gone)]
        return form

    def initial(self) -> dict[str, Any]:
        return {**super().initial(), "is_open": self.found.is_open, "slugs": self.found.slugs}

    def save(self, data: dict[str, Any]) -> str:
        services.set_choice(actor=self.actor, policy=self.found, is_open=data["is_open"], slugs=data["slugs"])
        return super().save(data)


class TypeEdit(ChoiceEdit):
    title = _("Instance type policy")
    kind = Kind.INSTANCE_TYPE

    def known(self) -> list[tuple[str, str]]:
        return [(one.slug, one.name) for one in list_types(actor=self.actor)]


class ImageEdit(ChoiceEdit):
    title = _("Image policy")
    kind = Kind.IMAGE

    def known(self) -> list[tuple[str, str]]:
        return [(one.slug, str(one)) for one in list_images(actor=self.actor)]


class ServiceEdit(ChoiceEdit):
    title = _("Service policy")
    kind = Kind.SERVICE


class PricingEdit(PolicyForm):
    title = _("Pricing policy")
    kind = Kind.PRICING
    form_class = WordFields


class TeamPolicies(Resource):
    panel = "admin"
    permission = P.POLICY_READ
    nav = "policies"
    title = _("Policies of the teams")
    model = Assignment
    live = "policy."
    order = "team"
    search = ("team__name", "team__slug")
    search_hint = _("Search by team")
    empty = Empty(_("No team yet"), _("Every team gets the five default policies."), icon="users")
    columns = (
        Column("team", _("Team"), lambda one: one.team.name, sort="team__name", main=True, to="policy-team"),
        *(
            Column(
                kind.value,
                kind.label,
                lambda one, kind=kind: getattr(one, kind.value).name,
                sort=f"{kind.value}__name",
                priority=1 if kind == Kind.RESOURCE else 2,
                text=lambda one, kind=kind: getattr(one, kind.value).slug,
            )
            for kind in Kind
        ),
    )

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Policies")), self.url("policies"))]

    def rows(self) -> QuerySet[Any]:
        return list_assignments(actor=self.actor)


class AssignFields(forms.Form):
    resource = forms.ChoiceField(label=Kind.RESOURCE.label)
    instance_type = forms.ChoiceField(label=Kind.INSTANCE_TYPE.label)
    image = forms.ChoiceField(label=Kind.IMAGE.label)
    service = forms.ChoiceField(label=Kind.SERVICE.label)
    pricing = forms.ChoiceField(label=Kind.PRICING.label)


class TeamPolicy(FormPage):
    panel = "admin"
    permission = P.POLICY_MANAGE
    nav = "policies"
    form_class = AssignFields
    sections = (
        Section(
            _("Policies"),
            _("What the team uses already stays, even where the new policy would refuse it."),
            ("resource", "instance_type", "image", "service", "pricing"),
        ),
    )
    submit = _("Save")
    done = _("The team is held to these policies now.")

    @cached_property
    def found(self) -> Any:
        return find(self, list_assignments(actor=self.actor))

    def frame(self) -> dict[str, Any]:
        return {**super().frame(), "title": self.found.team.name}

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Policies of the teams")), self.url("policy-teams"))]

    def form(self, data: Any = None) -> forms.Form:
        form = super().form(data)
        for kind, field in form.fields.items():
            assert isinstance(field, forms.ChoiceField)
            known = MODELS[kind].objects.visible_to(self.actor).order_by("name")
            field.choices = [(str(one.pk), one.name) for one in known]
        return form

    def initial(self) -> dict[str, Any]:
        return {kind: str(getattr(self.found, f"{kind}_id")) for kind in MODELS}

    def save(self, data: dict[str, Any]) -> str:
        services.assign_policies(actor=self.actor, team=self.found.team, policies=data)
        return self.url("policy-teams")
