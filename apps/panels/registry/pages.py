"""Lists and details of models; the panels' own modules say what differs."""

from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.permissions import Permission
from apps.operations.models import Operation
from apps.panels.kit import (
    Column,
    Detail,
    Empty,
    Facts,
    Link,
    Note,
    Resource,
    Tab,
    Table,
    cells,
    shell,
)
from apps.panels.registry import shared
from apps.registry import selectors
from apps.registry.models import Model, ModelVersion
from apps.registry.states import MOVING, State

LAUNCH = Link(_("Launch"), "endpoint-new", Permission.ENDPOINT_CREATE, icon="rocket")
FILE_COLUMNS = (
    Column("path", _("File"), lambda one: cells.mono(one["path"]), main=True),
    Column("size", _("Size"), lambda one: cells.size(one["size"]), num=True),
    Column("sha256", _("SHA-256"), lambda one: cells.mono(one["sha256"][:16] + "…"), priority=2),
)
COMING_COLUMNS = (
    Column("path", _("File"), lambda one: cells.mono(one.path), main=True),
    Column("state", _("Status"), lambda one: cells.status(one.state, one.get_state_display())),
    Column("arrived", _("Arrived"), lambda one: cells.shared(one.arrived / one.size)),
    Column("size", _("Size"), lambda one: cells.size(one.size), num=True, priority=2),
)
ALIAS_COLUMNS = (
    Column("name", _("Alias"), lambda one: cells.mono(one.name), main=True),
    Column("version", _("Version"), lambda one: f"v{one.version.number}"),
    Column("moved", _("Moved"), lambda one: cells.when(one.moved_at), num=True),
)


NO_ALIAS = Empty(_("No alias yet"), icon="tag")


class ModelList(Resource):
    title = _("Models")
    permission = Permission.MODEL_READ
    model = Model
    live = "model. model_version."
    order = "name"
    search = ("name", "slug", "description")
    search_hint = _("Search by name")
    filters = (shared.MODALITY_FILTER, shared.VISIBILITY_FILTER)

    def rows(self) -> QuerySet[Any]:
        return shared.models_of(self.actor, self.place)


class _Launchable(Detail):
    """A page about a version that can be put behind an endpoint: that is what one does next."""

    def frame(self) -> dict[str, Any]:
        found = super().frame()
        version = self.launched
        ways = shell.links(self, (LAUNCH,)) if version and shared.may_serve(self, version) else []
        if not version or not ways:
            return found
        launch = {**ways[0], "url": f"{ways[0]['url']}?{urlencode({'version': version.pk})}"}
        return {**found, "links": [launch, *({**one, "primary": False} for one in found["links"])]}

    @property
    def launched(self) -> ModelVersion | None:
        """The version that a launch from here would serve."""
        raise NotImplementedError


class ModelPage(_Launchable):
    permission = Permission.MODEL_READ
    model = Model
    nav = "models"
    live = "model. model_version. operation."
    tabs = (Tab("overview", _("Overview")), Tab("versions", _("Versions")))

    @property
    def actions(self) -> Any:  # type: ignore[override]
        return (shared.DELETE_MODEL,) if shared.is_own(self, self.object) else ()

    def rows(self) -> QuerySet[Any]:
        return shared.models_of(self.actor, self.place)

    def crumbs(self) -> list[tuple[str, str]]:
        return [(str(_("Models")), self.url("models"))]

    def status(self) -> Any:
        state = self.object.newest_state
        return cells.status(state, State(state).label) if state else cells.muted(_now("no version"))

    def meta(self) -> list[Any]:
        model = self.object
        said = [cells.mono(model.slug), model.licence, model.get_modality_display(), shared.whose(model)]
        return [one for one in said if one]

    def top(self) -> list[Any]:
        if self.object.is_demo:
            return [Note(_("A demonstration: it shows that serving works and is wrong otherwise."), "warn")]
        failed = self.shown is not None and self.shown.state == State.DRAFT and self.shown.message
        return [Note(failed, "warn")] if failed else []

    @cached_property
    def shown(self) -> ModelVersion | None:
        """The version that stands for the model."""
        if self.object.newest_pk is None:
            return None
        return selectors.version_of(
            actor=shared.here(self.actor, self.place),
            model_id=str(self.object.pk),
            version_id=str(self.object.newest_pk),
        )

    @property
    def launched(self) -> ModelVersion | None:
        return self.shown

    def main_overview(self) -> list[Any]:
        version = self.shown
        if version is None:
            return [Note(_("It has no version yet: upload or import one."), "info")]
        return [shared.fit_block(self, version)]

    def aside_overview(self) -> list[Any]:
        version = self.shown
        blocks: list[Any] = []
        if self.object.description:
            blocks.append(Note(self.object.description, "info"))
        if version is not None:
            blocks.append(Facts(f"v{version.number}", shared.facts_of(version)))
        aliases = list(selectors.list_aliases(actor=shared.here(self.actor, self.place), model=self.object))
        change = self._alias_link()
        if aliases or (change and version is not None):
            blocks.append(Table(_("Aliases"), ALIAS_COLUMNS, aliases, NO_ALIAS, link=change, view=self))
        return blocks

    def _alias_link(self) -> tuple[Any, str] | None:
        if not shared.is_own(self, self.object) or not self.can(Permission.MODEL_MANAGE):
            return None
        return _("Point"), self.url("model-alias", pk=self.pk)

    def main_versions(self) -> list[Any]:
        rows = selectors.list_versions(actor=shared.here(self.actor, self.place))
        found = rows.filter(model=self.object.pk)
        return [Table(_("Versions"), shared.VERSION_COLUMNS, list(found[:200]), view=self)]


class VersionPage(_Launchable):
    permission = Permission.MODEL_READ
    model = ModelVersion
    nav = "models"
    live = "model_version. operation."
    tabs = (Tab("overview", _("Overview")), Tab("fit", _("Fits this GPU?")))

    @property
    def actions(self) -> Any:  # type: ignore[override]
        return shared.VERSION_ACTIONS if shared.is_own(self, self.object) else ()

    def rows(self) -> QuerySet[Any]:
        rows = ModelVersion.objects.visible_to(shared.here(self.actor, self.place))
        return rows.select_related("model", "model__team")

    def crumbs(self) -> list[tuple[str, str]]:
        model = self.object.model
        return [(str(_("Models")), self.url("models")), (model.name, self.url("model", pk=model.pk))]

    @property
    def launched(self) -> ModelVersion | None:
        version: ModelVersion = self.object
        return version

    def heading(self) -> Any:
        return str(self.object)

    def status(self) -> Any:
        return cells.status(self.object.state, self.object.get_state_display())

    def meta(self) -> list[Any]:
        one = self.object
        return [each for each in (one.get_format_display(), one.dtype, cells.when(one.created_at)) if each]

    def top(self) -> list[Any]:
        version = self.object
        if version.message:
            return [Note(version.message, "warn")]
        if version.state == State.DRAFT and version.source:
            return [
                Note(_("Known from the hub; nobody has fetched its files. Import it to serve it."), "info")
            ]
        return []

    def main_overview(self) -> list[Any]:
        version = self.object
        if version.state in MOVING:
            files = selectors.list_files(actor=self.actor, version=version)
            return [*self._steps(), Table(_("Files on their way"), COMING_COLUMNS, list(files), view=self)]
        if not version.manifest:
            return [shared.fit_block(self, version)]
        return [Table(_("Files"), FILE_COLUMNS, version.manifest, view=self)]

    def _steps(self) -> list[Any]:
        found = Operation.objects.visible_to(self.actor).filter(pk=self.object.operation_id).first()
        if found is None:
            return []
        label = _now("%(progress)d %%") % {"progress": found.progress}
        return [Facts(_("Under way"), [(_("Progress"), cells.shared(found.progress / 100)), ("", label)][:1])]

    def aside_overview(self) -> list[Any]:
        return [Facts(_("What it is"), shared.facts_of(self.object))]

    def main_fit(self) -> list[Any]:
        return [shared.fit_block(self, self.object)]

    aside_fit = aside_overview
