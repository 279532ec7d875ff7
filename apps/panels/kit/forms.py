"""A form page: sections, server validation, refusals as form errors; sent twice it acts once."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.core.exceptions import NON_FIELD_ERRORS
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.utils.translation import gettext as _

from apps.core.errors import DomainError, NotFound
from apps.core.ids import new_id
from apps.operations.services.idempotency import once
from apps.operations.specs import Answer
from apps.panels.kit.blocks import Block
from apps.panels.kit.views import PanelView

TOKEN = "form_token"  # noqa: S105 - a field's name
PREVIEW = "preview"  # the name of the button that only looks


@dataclass(frozen=True)
class Section:
    """Fields that belong together, with what there is to know about them on the left."""

    title: Any
    text: Any = ""
    fields: Sequence[str] = ()
    note: Any = ""  # an effect worth warning of; text or a function of the view


_CLASSES: tuple[tuple[type[forms.Widget], str], ...] = (
    (forms.CheckboxInput, "check"),
    (forms.RadioSelect, ""),
    (forms.CheckboxSelectMultiple, ""),
    (forms.SelectMultiple, "select"),
    (forms.Select, "select"),
    (forms.Textarea, "area"),
    (forms.HiddenInput, ""),
)


def dress(form: forms.Form) -> forms.Form:
    """Give the form's widgets the classes of the design system."""
    for field in form.fields.values():
        css = next((name for kind, name in _CLASSES if isinstance(field.widget, kind)), "input")
        known = field.widget.attrs.get("class", "")
        choices = isinstance(field.widget, forms.RadioSelect | forms.CheckboxSelectMultiple)
        field.widget.attrs["class"] = f"check {known}".strip() if choices else f"{css} {known}".strip()
    return form


class FormPage(PanelView):
    """One form that calls one service. `save` returns where to go, or the made object for `done_url`."""

    form_class: ClassVar[type[forms.Form]]
    sections: ClassVar[Sequence[Section]] = ()
    submit: ClassVar[Any] = ""
    done: ClassVar[Any] = ""
    preview_label: ClassVar[Any] = ""  # of a button that shows `preview` and saves nothing
    intro: ClassVar[Any] = ""
    danger: ClassVar[bool] = False
    template_name: ClassVar[str] = "kit/form.html"

    def save(self, data: dict[str, Any]) -> Any:
        """Call the service with what the form has cleaned."""
        raise NotImplementedError

    def preview(self, data: dict[str, Any]) -> Sequence[Block]:
        """What saving would do, shown above the form."""
        raise NotImplementedError

    def initial(self) -> dict[str, Any]:
        return {}

    def done_url(self, result: Any) -> str:
        return str(result) if isinstance(result, str) and result.startswith("/") else self.cancel_url()

    def cancel_url(self) -> str:
        crumbs = self.crumbs()
        return crumbs[-1][1] if crumbs else self.request.path

    def form(self, data: Any = None) -> forms.Form:
        return self.form_class(data, initial=self.initial())

    def context(self) -> dict[str, Any]:
        """More for the template."""
        return {}

    # ------------------------------------------------------------ requests

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return self.show(self.form())

    def post(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        form = self.form(request.POST)
        if not form.is_valid():
            return self.show(form, status=422)
        try:
            if self.preview_label and PREVIEW in request.POST:
                return self.show(form, preview=self.preview(form.cleaned_data))
            answer = self._once(form)
        except NotFound:
            raise
        except DomainError as error:
            add_refusal(form, error)
            return self.show(form, status=422)
        return self.answered(answer)

    def answered(self, answer: Answer) -> HttpResponseBase:
        """Go where the service's answer leads."""
        if not answer.is_replay and self.done:
            messages.success(self.request, str(self.done))
        goal = answer.body.get("url") if isinstance(answer.body, dict) else None
        return HttpResponseRedirect(str(goal or self.cancel_url()))

    def _once(self, form: forms.Form) -> Answer:
        """Save; a second click with the same token is told the first one's answer."""

        def act() -> Answer:
            return Answer(303, {"url": self.done_url(self.save(form.cleaned_data))})

        token = str(self.request.POST.get(TOKEN, ""))
        if not token:
            return act()
        owner = f"{self.actor.user_id}:{self.request.path}"[:120]
        said = hashlib.sha256(repr(sorted(self.request.POST.lists())).encode()).hexdigest()
        return once(owner=owner, key=token[:255], fingerprint=said, act=act)

    def show(self, form: forms.Form, status: int = 200, preview: Sequence[Block] = ()) -> HttpResponse:
        dress(form)
        return self.render(
            self.template_name,
            {
                "form": form,
                "parts": list(self._parts(form)),
                "errors": list(_errors(form)),
                "preview": preview,
                "token": self.request.POST.get(TOKEN) or new_id("form"),
                "cancel_url": self.cancel_url(),
                **self.context(),
            },
            status=status,
        )

    def _parts(self, form: forms.Form) -> Any:
        sections = self.sections or [Section("", fields=list(form.fields))]
        for section in sections:
            note = section.note(self) if callable(section.note) else section.note
            bound = [form[name] for name in section.fields if name in form.fields]
            if bound:
                yield {"title": section.title, "text": section.text, "note": note, "fields": bound}


def add_refusal(form: forms.Form, error: DomainError) -> None:
    """Show a refusal where it belongs: at the field it names, else above the form."""
    field = error.field if error.field in form.fields else None
    form.add_error(field, error.message)


def _errors(form: forms.Form) -> Any:
    """The summary: (label, anchor, message) for every error."""
    for name, found in form.errors.items():
        for message in found:
            if name == NON_FIELD_ERRORS:
                yield "", "", message
            else:
                bound = form[name]
                yield bound.label or _("This field"), f"#{bound.id_for_label or bound.auto_id}", message
