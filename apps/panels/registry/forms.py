"""Forms about models: adding, describing, importing and sharing them."""

from typing import Any

from django import forms
from django.utils.text import slugify
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.errors import NotFound
from apps.core.permissions import Permission
from apps.panels.kit import FormPage, Section
from apps.panels.registry import shared
from apps.registry import selectors, services
from apps.registry.models import Model, ModelVersion
from apps.registry.specs import HubSource, ModelSpec
from apps.registry.states import Modality, State, Visibility


class DescribeFields(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=120)
    modality = forms.ChoiceField(label=_("Answers with"), choices=Modality.choices)
    licence = forms.CharField(label=_("Licence"), max_length=80, required=False)
    description = forms.CharField(label=_("Description"), max_length=1000, required=False)


class ModelFields(DescribeFields):
    slug = forms.CharField(
        label=_("Short name"),
        max_length=80,
        required=False,
        widget=forms.TextInput(attrs={"data-from": "name"}),
        help_text=_("How callers name it; made from the name unless you write one. It stays."),
    )

    def clean_slug(self) -> str:
        return str(self.cleaned_data["slug"] or slugify(self.cleaned_data.get("name", ""))[:80].strip("-"))


class ModelNew(FormPage):
    title = _("Add a model")
    permission = Permission.MODEL_CREATE
    nav = "models"
    form_class = ModelFields
    submit = _("Add the model")
    done = _("The model is there. Upload or import a version.")
    sections = (
        Section(_("Identity"), _("A model is a name; its versions hold the files."), ("name", "slug")),
        Section(_("About it"), "", ("modality", "licence", "description")),
    )

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Models")), self.url("models"))]

    def save(self, data: dict[str, Any]) -> str:
        made = services.create_model(actor=self.actor, team=self.place.team, spec=ModelSpec(**data))
        return self.url("model", pk=made.pk)


class OfModel(FormPage):
    """A form about one model that one may change."""

    nav = "models"

    @property
    def object(self) -> Model:
        found = shared.models_of(self.actor, self.place).filter(pk=self.pk).first()
        if found is None or not shared.is_own(self, found):
            raise NotFound(_now("There is no such model."))
        model: Model = found
        return model

    def crumbs(self) -> list[tuple[str, str]]:
        model = self.object
        return [(str(_("Models")), self.url("models")), (model.name, self.url("model", pk=model.pk))]

    def get(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        assert self.object
        return super().get(request, *args, **kwargs)


class ModelEdit(OfModel):
    title = _("Describe the model")
    permission = Permission.MODEL_MANAGE
    form_class = DescribeFields
    done = _("It is described anew.")

    def initial(self) -> dict[str, Any]:
        return {name: getattr(self.object, name) for name in DescribeFields.base_fields}

    def save(self, data: dict[str, Any]) -> str:
        model = self.object
        services.update_model(actor=self.actor, model=model, spec=ModelSpec(slug=model.slug, **data))
        return self.url("model", pk=self.pk)


class ImportFields(forms.Form):
    repository = forms.CharField(label=_("Repository"), max_length=200, help_text=_("organisation/model"))
    revision = forms.CharField(label=_("Revision"), max_length=100, required=False, initial="main")
    patterns = forms.CharField(
        label=_("Files"),
        max_length=1000,
        required=False,
        help_text=_("Names or patterns, separated by blanks. Empty: one whole set of weights."),
    )
    token = forms.CharField(
        label=_("Token"),
        max_length=200,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=_("For gated models only. It is kept sealed and forgotten when the import has ended."),
    )


class ModelImport(OfModel):
    title = _("Import from the hub")
    permission = Permission.MODEL_CREATE
    form_class = ImportFields
    submit = _("Import")
    done = _("The import has begun.")
    sections = (
        Section(
            _("Where from"),
            _("Files go from the hub straight to the object store, and are verified there."),
            ("repository", "revision", "patterns", "token"),
        ),
    )

    def initial(self) -> dict[str, Any]:
        draft = self._draft()
        return {"repository": draft.source, "revision": draft.revision or "main"} if draft else {}

    def save(self, data: dict[str, Any]) -> str:
        source = HubSource(
            data["repository"].strip(),
            data["revision"].strip() or "main",
            tuple(data["patterns"].split()),
            data["token"],
        )
        version = services.start_import(
            actor=self.actor, model=self.object, source=source, draft=self._draft()
        )
        return self.url("model-version", pk=version.pk)

    def _draft(self) -> ModelVersion | None:
        """An entry of the catalogue that waits for its files."""
        rows = selectors.list_versions(actor=self.actor).filter(model=self.pk, state=State.DRAFT)
        found: ModelVersion | None = rows.exclude(source="").filter(operation_id=None).first()
        return found


class ShareFields(forms.Form):
    visibility = forms.ChoiceField(label=_("Used by"), choices=Visibility.choices, widget=forms.RadioSelect)
    teams = forms.CharField(
        label=_("Teams"),
        max_length=2000,
        required=False,
        help_text=_("Separated by blanks: addresses of yours, ids of others, which their settings show."),
    )


class ModelShare(OfModel):
    title = _("Who may use it")
    permission = Permission.MODEL_MANAGE
    form_class = ShareFields
    done = _("It is so.")
    sections = (
        Section(
            _("Used by"), _("Whoever may use a model may put it behind an endpoint."), ("visibility", "teams")
        ),
    )

    def initial(self) -> dict[str, Any]:
        model = self.object
        known = selectors.shared_with(actor=self.actor, model=model)
        return {"visibility": model.visibility, "teams": " ".join(known)}

    def form(self, data: Any = None) -> forms.Form:
        form = super().form(data)
        if self.object.team_id:
            field: Any = form.fields["visibility"]
            field.choices = [one for one in Visibility.choices if one[0] != Visibility.PUBLIC]
        return form

    def save(self, data: dict[str, Any]) -> str:
        services.share_model(
            actor=self.actor, model=self.object, visibility=data["visibility"], teams=data["teams"].split()
        )
        return self.url("model", pk=self.pk)
