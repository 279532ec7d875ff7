"""Names that point at versions of a model: pointed at another, or forgotten."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.panels.kit import Section
from apps.panels.registry.forms import OfModel
from apps.registry import selectors, services
from apps.registry.models import ModelVersion
from apps.registry.states import SERVED


class AliasFields(forms.Form):
    name = forms.CharField(label=_("Alias"), max_length=40, help_text=_("Such as “stable”."))
    version = forms.ChoiceField(label=_("Points at"), required=False)


class ModelAlias(OfModel):
    title = _("Point an alias")
    permission = Permission.MODEL_MANAGE
    form_class = AliasFields
    done = _("It is so.")
    sections = (
        Section(
            _("Alias"),
            _("Callers who name it get the version it points at. “latest” follows the newest by itself."),
            ("name", "version"),
        ),
    )

    @property
    def versions(self) -> list[ModelVersion]:
        rows = selectors.list_versions(actor=self.actor).filter(model=self.pk, state__in=SERVED)
        return list(rows[:200])

    def initial(self) -> dict[str, Any]:
        return {"name": self.request.GET.get("name", "")}

    def form(self, data: Any = None) -> forms.Form:
        form = super().form(data)
        field: Any = form.fields["version"]
        field.choices = [*((str(one.pk), str(one)) for one in self.versions), ("", _("nothing: forget it"))]
        return form

    def save(self, data: dict[str, Any]) -> str:
        model, name = self.object, data["name"]
        chosen = next((one for one in self.versions if str(one.pk) == data["version"]), None)
        if chosen is None:
            services.delete_alias(actor=self.actor, model=model, name=name)
        else:
            services.set_alias(actor=self.actor, model=model, name=name, version=chosen)
        return self.url("model", pk=self.pk)
