"""A small panel made with the kit: API keys of a workspace, as a list, a page and a form."""

from typing import Any

from django import forms
from django.db.models import Q

from apps.core.errors import Conflict
from apps.core.permissions import Permission
from apps.panels.kit import (
    Action,
    Column,
    Detail,
    Empty,
    Facts,
    Filter,
    FormPage,
    Link,
    Resource,
    SavedView,
    Section,
    cells,
)
from apps.teams.models import ApiKey

touched: list[str] = []
saved: list[dict[str, Any]] = []


def touch(view: Any, key: ApiKey) -> None:
    if key.name == "stubborn":
        raise Conflict("This one will not be touched.")
    touched.append(key.name)


TOUCH = Action("touch", "Touch", Permission.API_KEY_MANAGE, touch, bulk=True, done="Touched.")
BREAK = Action(
    "break",
    "Break",
    Permission.API_KEY_MANAGE,
    touch,
    confirm="It is broken for good.",
    type_name=True,
    danger=True,
)


class KeyList(Resource):
    panel = "console"
    permission = Permission.API_KEY_READ
    title = "Keys"
    model = ApiKey
    columns = (
        Column("name", "Name", sort="name", main=True, to="test-key"),
        Column("created", "Created", lambda one: cells.when(one.created_at), sort="created_at"),
    )
    order = "name"
    search = ("name",)
    filters = (Filter("single_use", "Single use", [("True", "Yes"), ("False", "No")]),)
    views = (SavedView("all", "All"), SavedView("short", "Short names", Q(name__regex="^.{1,3}$")))
    actions = (TOUCH, BREAK)
    links = (Link("Make one", "test-key-new", Permission.API_KEY_MANAGE),)
    empty = Empty("No key yet", "Make one.")


class KeyDetail(Detail):
    panel = "console"
    permission = Permission.API_KEY_READ
    model = ApiKey
    actions = (TOUCH, BREAK)

    def main_overview(self) -> list[Any]:
        return [Facts("Details", [("Name", self.object.name)])]


class KeyFields(forms.Form):
    name = forms.CharField(label="Name", max_length=20)
    note = forms.CharField(label="Note", required=False)


class KeyNew(FormPage):
    panel = "console"
    permission = Permission.API_KEY_MANAGE
    title = "Make a key"
    form_class = KeyFields
    sections = (Section("Identity", "Who it is.", ("name", "note")),)
    done = "Made."

    def save(self, data: dict[str, Any]) -> str:
        if data["name"] == "taken":
            raise Conflict("This name is taken.", field="name")
        saved.append(data)
        return self.url("test-keys")
