"""GPU pools in the Admin panel; changing how often cards are sold shows first what that does."""

from functools import cached_property
from typing import Any

from django import forms
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.catalog.selectors import list_models
from apps.core.errors import Invalid
from apps.core.permissions import Permission
from apps.gpupools.models import GpuPool
from apps.gpupools.selectors.cards import list_gpus, list_pools
from apps.gpupools.selectors.pools import ratio_impact
from apps.gpupools.services import pools
from apps.gpupools.specs import PoolSpec, RatioImpact
from apps.gpupools.states import POOL, Isolation, Packing, Security
from apps.panels import gpus
from apps.panels.found import find
from apps.panels.kit import (
    Action,
    Column,
    Detail,
    Empty,
    Facts,
    FormPage,
    Kpi,
    Kpis,
    Link,
    Section,
    Table,
    cells,
    palette,
)
from apps.regions.selectors import find_region, list_regions
from apps.teams.models import Team

P = Permission


def _move(event: str, label: Any, icon: str, confirm: Any, *, danger: bool = False) -> Action:
    return Action(
        event,
        label,
        P.POOL_MANAGE,
        lambda view, pool: pools.move_pool(actor=view.actor, pool=pool, event=event) and None,
        icon=icon,
        when=lambda pool: POOL.allows(event, pool.state),
        confirm=confirm,
        danger=danger,
        type_name=danger,
        menu=True,
        done=_("The pool has another state."),
    )


ACTIONS = (
    _move("pause", _("Pause"), "circle-pause", _("Nothing new is sold of it; what runs goes on.")),
    _move("resume", _("Resume"), "circle-play", _("It is sold again.")),
    _move("retire", _("Retire"), "trash-2", _("It ends for good. Only an empty pool can go."), danger=True),
)
REGION = Column(
    "region",
    _("Region"),
    lambda pool: cells.mono(pool.region.slug),
    sort="region__slug",
    text=lambda pool: pool.region.slug,
)


class PoolList(gpus.PoolList):
    panel = "admin"
    columns = (gpus.POOL_COLUMNS[0], REGION, *gpus.POOL_COLUMNS[1:])
    actions = ACTIONS
    links = (Link(_("Add GPU pool"), "gpu-pool-new", P.POOL_MANAGE),)


class PoolPage(Detail):
    panel = "admin"
    permission = P.POOL_READ
    nav = "gpu-pools"
    model = GpuPool
    live = "pool."
    actions = ACTIONS
    links = (
        Link(_("Choose GPUs"), "gpu-pool-gpus", P.POOL_MANAGE, icon="list-checks", primary=False),
        Link(_("Sharing ratio"), "gpu-pool-ratio", P.POOL_MANAGE, icon="sliders-horizontal", primary=False),
        Link(_("Edit"), "gpu-pool-edit", P.POOL_MANAGE, icon="pencil", primary=False),
    )

    def rows(self) -> Any:
        return list_pools(actor=self.actor)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("GPU pools")), self.url("gpu-pools"))]

    def status(self) -> Any:
        return gpus.pool_state(self.object)

    def meta(self) -> list[Any]:
        return [str(self.object.gpu_model), cells.mono(self.object.region.slug)]

    def main_overview(self) -> list[Any]:
        pool = self.object
        share = pool.held / pool.slots if pool.slots else None
        kpis = [
            Kpi(_("GPUs"), pool.cards),
            Kpi(_("Slots in use"), pool.held, unit=_now("of %(n)s") % {"n": pool.slots}, share=share),
            Kpi(_("Free slots"), max(pool.slots - pool.held, 0)),
        ]
        found = list_gpus(actor=self.actor).filter(pool=pool).order_by("node__name", "pci_address")[:200]
        empty = Empty(
            _("No GPU in it"),
            _("Put cards of its model and region into it."),
            icon="cpu",
        )
        return [Kpis(kpis), Table(_("GPUs"), gpus.COLUMNS, list(found), empty, view=self)]

    def aside_overview(self) -> list[Any]:
        return [Facts(_("Details"), [*gpus.pool_facts(self.object), (_("Id"), cells.copy(self.object.pk))])]


class PoolFields(forms.Form):
    region = forms.ChoiceField(label=_("Region"))
    gpu_model = forms.ChoiceField(label=_("GPU model"))
    name = forms.CharField(label=_("Name"), max_length=80)
    slug = forms.CharField(label=_("Address"), max_length=40, help_text=_("Small letters, digits, dashes."))
    team = forms.CharField(
        label=_("Only for the team"), required=False, help_text=_("Its address; empty means for everybody.")
    )
    isolation = forms.ChoiceField(label=_("Isolation"), choices=Isolation.choices)
    sharing_ratio = forms.IntegerField(label=_("Sharing ratio"), min_value=1, max_value=10, initial=1)
    time_quantum_s = forms.IntegerField(
        label=_("Time quantum, in seconds"), min_value=10, max_value=120, initial=30
    )
    security_level = forms.ChoiceField(
        label=_("Security level"), choices=Security.choices, initial=Security.MEDIUM
    )
    placement = forms.ChoiceField(label=_("Placement"), choices=Packing.choices)


class PoolNew(FormPage):
    panel = "admin"
    permission = P.POOL_MANAGE
    title = _("Add GPU pool")
    form_class = PoolFields
    sections = (
        Section(_("Identity"), _("Cards are chosen next."), ("region", "gpu_model", "name", "slug", "team")),
        Section(
            _("Sharing"),
            _("Whole GPUs are not shared. Of the others each card is sold as often as the ratio says."),
            ("isolation", "sharing_ratio", "time_quantum_s", "security_level"),
        ),
        Section(_("Placement"), _("How machines are spread over nodes."), ("placement",)),
    )
    submit = _("Add GPU pool")
    done = _("The pool is there.")

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("GPU pools")), self.url("gpu-pools"))]

    def form(self, data: Any = None) -> forms.Form:
        form = super().form(data)
        regions = list_regions(actor=self.actor).order_by("name")
        _choices(form, "region", [(str(one.pk), one.name) for one in regions])
        _choices(form, "gpu_model", [(str(one.pk), str(one)) for one in list_models(actor=self.actor)])
        return form

    def save(self, data: dict[str, Any]) -> str:
        region = find_region(actor=self.actor, region_id=data.pop("region"))
        team = data.pop("team").strip()
        owner = Team.objects.visible_to(self.actor).filter(slug=team).first() if team else None
        if team and owner is None:
            raise Invalid(_now("There is no such team."), field="team")
        spec = PoolSpec(gpu_model_id=data.pop("gpu_model"), team_id=owner.pk if owner else None, **data)
        pool = pools.create_pool(actor=self.actor, region=region, spec=spec)
        return self.url("gpu-pool-gpus", pk=pool.pk)


class PoolForm(FormPage):
    """A form about one pool."""

    panel = "admin"
    permission = P.POOL_MANAGE
    nav = "gpu-pools"
    submit = _("Save")

    @cached_property
    def found(self) -> Any:
        return find(self, list_pools(actor=self.actor))

    def crumbs(self) -> list[tuple[str, str]]:
        back = [(str(_("GPU pools")), self.url("gpu-pools"))]
        return [*back, (self.found.name, self.url("gpu-pool", pk=self.found.pk))]


class PoolChange(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80)
    time_quantum_s = forms.IntegerField(label=_("Time quantum, in seconds"), min_value=10, max_value=120)
    security_level = forms.ChoiceField(label=_("Security level"), choices=Security.choices)
    placement = forms.ChoiceField(label=_("Placement"), choices=Packing.choices)


class PoolEdit(PoolForm):
    title = _("Edit GPU pool")
    form_class = PoolChange
    done = _("The pool is changed.")

    def initial(self) -> dict[str, Any]:
        return {name: getattr(self.found, name) for name in PoolChange.base_fields}

    def save(self, data: dict[str, Any]) -> str:
        pools.update_pool(actor=self.actor, pool=self.found, changes=data)
        return self.url("gpu-pool", pk=self.found.pk)


class GpuFields(forms.Form):
    gpus = forms.MultipleChoiceField(
        label=_("GPUs"), required=False, widget=forms.CheckboxSelectMultiple, choices=()
    )


class PoolGpus(PoolForm):
    title = _("Choose GPUs")
    form_class = GpuFields
    done = _("The pool has these GPUs now.")
    sections = (
        Section(_("GPUs"), _("Cards of the pool's model and region that are in no other pool."), ("gpus",)),
    )

    @cached_property
    def eligible(self) -> list[Any]:
        pool = self.found
        rows = list_gpus(actor=self.actor).filter(region=pool.region, model=pool.gpu_model)
        return [gpu for gpu in rows.order_by("node__name", "pci_address") if gpu.pool_id in (None, pool.pk)]

    def form(self, data: Any = None) -> forms.Form:
        form = super().form(data)
        _choices(
            form, "gpus", [(str(gpu.pk), f"{gpu.node.name} · {gpu.pci_address}") for gpu in self.eligible]
        )
        return form

    def initial(self) -> dict[str, Any]:
        return {"gpus": [str(gpu.pk) for gpu in self.eligible if gpu.pool_id == self.found.pk]}

    def save(self, data: dict[str, Any]) -> str:
        pools.set_gpus(actor=self.actor, pool=self.found, device_ids=data["gpus"])
        return self.url("gpu-pool", pk=self.found.pk)


class RatioFields(forms.Form):
    sharing_ratio = forms.IntegerField(label=_("Sharing ratio"), min_value=1, max_value=10)
    seen = forms.IntegerField(required=False, widget=forms.HiddenInput)


class PoolRatio(PoolForm):
    title = _("Sharing ratio")
    form_class = RatioFields
    sections = (
        Section(
            _("Ratio"),
            _("How often each card is sold. Shares that somebody has are never taken away."),
            ("sharing_ratio", "seen"),
            note=lambda view: view.impact_note,
        ),
    )
    submit = _("Show impact, then apply")
    done = _("The ratio is changed.")

    @cached_property
    def asked(self) -> int:
        text = self.request.POST.get("sharing_ratio", "") or str(self.found.sharing_ratio)
        return int(text) if text.isdecimal() and 1 <= int(text) <= 10 else self.found.sharing_ratio

    @property
    def impact_note(self) -> str:
        return describe(ratio_impact(pool=self.found, ratio=self.asked))

    def initial(self) -> dict[str, Any]:
        return {"sharing_ratio": self.found.sharing_ratio}

    def post(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """The first time the impact is shown; the same number again applies it."""
        if request.POST.get("seen") == str(self.asked):
            return super().post(request, *args, **kwargs)
        posted = request.POST.copy()
        posted["seen"] = str(self.asked)
        return self.show(self.form(posted))

    def save(self, data: dict[str, Any]) -> str:
        pools.change_ratio(actor=self.actor, pool=self.found, ratio=data["sharing_ratio"])
        return self.url("gpu-pool", pk=self.found.pk)


def describe(impact: RatioImpact) -> str:
    """What another ratio would do, in sentences."""
    words = {
        "cards": impact.cards,
        "before": impact.slots_before,
        "after": impact.slots_after,
        "held": impact.held,
    }
    parts = [_now("%(cards)s GPUs: %(before)s slots become %(after)s; %(held)s are in use.") % words]
    if impact.in_the_way:
        parts.append(_now("%(n)s shares in use stand in the way.") % {"n": impact.in_the_way})
    if impact.memory_needed_gib:
        parts.append(_now("The hosts need %(n)s GiB of memory for it.") % {"n": impact.memory_needed_gib})
    if impact.nodes_short_of_memory:
        names = ", ".join(impact.nodes_short_of_memory[:6])
        parts.append(_now("Too little memory: %(names)s.") % {"names": names})
    return " ".join(parts)


def _choices(form: forms.Form, name: str, choices: list[tuple[str, str]]) -> None:
    field = form.fields[name]
    assert isinstance(field, forms.ChoiceField)
    field.choices = choices


def find_pools(actor: Any, place: Any, text: str) -> Any:
    for one in list_pools(actor=actor).filter(name__icontains=text)[:6]:
        yield palette.Hit(one.name, place.url("gpu-pool", pk=one.pk), "layers", one.region.slug)


palette.SOURCES["admin"].append(palette.Source(_("GPU pools"), P.POOL_READ, find_pools))
