"""The small forms about one endpoint, in the Console and, for the provider's own, in the Admin panel."""

from functools import cached_property
from typing import Any

from django import forms
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _
from pydantic import ValidationError

from apps.core.errors import DomainError, Invalid
from apps.core.permissions import Permission
from apps.inference.models import Endpoint
from apps.inference.selectors import offers, reading
from apps.inference.services import endpoints, rollouts
from apps.inference.specs import MOST_CONTEXT, Recipe, ScaleRules
from apps.inference.states import ScaleMetric
from apps.panels.kit import FormPage
from apps.registry import selectors as registry


class ScaleFields(forms.Form):
    least = forms.IntegerField(label=_("Least replicas"), min_value=0, max_value=64)
    most = forms.IntegerField(label=_("Most replicas"), min_value=1, max_value=64)
    metric = forms.ChoiceField(label=_("Grows with"), choices=ScaleMetric.choices)
    target = forms.IntegerField(label=_("Target per replica"), min_value=1, max_value=1_000_000)
    idle_seconds = forms.IntegerField(
        label=_("Sleeps after, seconds"), min_value=0, max_value=86_400, help_text=_("0 keeps it awake.")
    )
    spot_percent = forms.IntegerField(label=_("Share on spot, percent"), min_value=0, max_value=100)
    has_fallback = forms.BooleanField(label=_("On demand while there is no spot"), required=False)


class RecipeFields(forms.Form):
    version = forms.ChoiceField(label=_("Model"))
    hardware = forms.ChoiceField(label=_("Hardware"))
    parallel = forms.IntegerField(label=_("Requests at once"), min_value=1, max_value=256)
    context_length = forms.IntegerField(
        label=_("Context, tokens"),
        min_value=0,
        max_value=MOST_CONTEXT,
        help_text=_("Prompt and answer of a request. 0: the model's, up to %(usual)s.")
        % {"usual": f"{offers.USUAL_CONTEXT:,}"},
    )

    def __init__(self, actor: Any, endpoint: Endpoint, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds = [(one.slug, one.name) for one in offers.hardware_in(endpoint.region)]
        versions = [(str(one.pk), str(one)) for one in registry.servable_for(actor, endpoint.team_id)[:200]]
        self.fields["hardware"].choices = kinds  # type: ignore[attr-defined]
        self.fields["version"].choices = versions  # type: ignore[attr-defined]


class CanaryFields(RecipeFields):
    weight = forms.IntegerField(label=_("Share of requests, percent"), min_value=1, max_value=99)


class WeightFields(forms.Form):
    weight = forms.IntegerField(label=_("Share of requests, percent"), min_value=1, max_value=99)


def scale_initial(one: Endpoint) -> dict[str, Any]:
    return {
        "least": one.min_replicas,
        "most": one.max_replicas,
        "metric": one.scale_metric,
        "target": one.scale_target,
        "idle_seconds": one.idle_seconds,
        "spot_percent": one.spot_percent,
        "has_fallback": one.has_fallback,
    }


def recipe_initial(one: Endpoint) -> dict[str, Any]:
    if one.revision is None:
        return {"parallel": 4, "context_length": 0}
    return {
        "version": one.revision.version_id,
        "hardware": one.revision.hardware.slug,
        "parallel": one.revision.parallel,
        "context_length": one.revision.context_length,
    }


def _recipe(data: dict[str, Any]) -> Recipe:
    return Recipe(**{name: data[name] for name in Recipe.model_fields})


def refusal(wrong: ValidationError) -> DomainError:
    """The first of pydantic's complaints as a refusal at its field."""
    first = wrong.errors()[0]
    field = str(first["loc"][-1]) if first["loc"] else None
    if field == "slug":
        text = _now("A name has up to 63 lower-case letters, digits, dots and dashes.")
    elif field in (None, "scale"):
        field, text = "most", _now("The most replicas must be at least as many as the least.")
    else:
        text = str(first["msg"])
    return Invalid(text, field=field)


class _OfEndpoint(FormPage):
    """A form about one endpoint, which is found in scope first."""

    nav = "endpoints"
    permission = Permission.ENDPOINT_UPDATE

    @cached_property
    def endpoint(self) -> Endpoint:
        found = reading.get_endpoint(actor=self.actor, endpoint_id=self.pk)
        self.place.narrow(Endpoint.objects.visible_to(self.actor)).get(pk=found.pk)
        return found

    def crumbs(self) -> list[tuple[str, str]]:
        page = self.url("endpoint", pk=self.pk)
        return [(str(_("Endpoints")), self.url("endpoints")), (self.endpoint.slug, f"{page}?tab=scale")]


class Scale(_OfEndpoint):
    title = _("Scale rules")
    submit = _("Save")
    form_class = ScaleFields
    done = _("The rules hold from now on.")

    def initial(self) -> dict[str, Any]:
        return scale_initial(self.endpoint)

    def save(self, data: dict[str, Any]) -> str:
        try:
            rules = ScaleRules(**data)
        except ValidationError as wrong:
            raise refusal(wrong) from wrong
        endpoints.set_scale(actor=self.actor, endpoint_id=str(self.endpoint.pk), scale=rules)
        return f"{self.url('endpoint', pk=self.pk)}?tab=scale"


class Deploy(_OfEndpoint):
    title = _("Serve something else")
    submit = _("Roll out")
    done = _("The update is rolling: new replicas serve before old ones go.")

    def form(self, data: Any = None) -> forms.Form:
        return RecipeFields(self.actor, self.endpoint, data, initial=recipe_initial(self.endpoint))

    def save(self, data: dict[str, Any]) -> str:
        rollouts.update_endpoint(actor=self.actor, endpoint_id=str(self.endpoint.pk), recipe=_recipe(data))
        return self.url("endpoint", pk=self.pk)


class Canary(_OfEndpoint):
    title = _("Try a canary")
    submit = _("Try it out")
    done = _("The canary is being started.")

    def form(self, data: Any = None) -> forms.Form:
        initial = {**recipe_initial(self.endpoint), "weight": 10}
        return CanaryFields(self.actor, self.endpoint, data, initial=initial)

    def save(self, data: dict[str, Any]) -> str:
        rollouts.set_canary(
            actor=self.actor,
            endpoint_id=str(self.endpoint.pk),
            recipe=_recipe(data),
            weight=data["weight"],
        )
        return self.url("endpoint", pk=self.pk)


class Weigh(_OfEndpoint):
    title = _("Share of the canary")
    submit = _("Save")
    form_class = WeightFields
    done = _("The canary has another share.")

    def initial(self) -> dict[str, Any]:
        return {"weight": self.endpoint.canary_weight or 10}

    def save(self, data: dict[str, Any]) -> str:
        rollouts.weigh_canary(actor=self.actor, endpoint_id=str(self.endpoint.pk), weight=data["weight"])
        return f"{self.url('endpoint', pk=self.pk)}?tab=scale"
