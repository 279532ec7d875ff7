"""Columns, buttons and blocks of models."""

import math
from dataclasses import replace
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.actor import Actor
from apps.core.permissions import Permission
from apps.panels.kit import Action, Column, Filter, Html, Note, cells
from apps.panels.kit.places import Place
from apps.registry import selectors, services
from apps.registry.models import Model, ModelVersion
from apps.registry.selectors.fitting import BATCH, CONTEXT
from apps.registry.states import MOVING, Format, Modality, Origin, State, Visibility

LARGEST_CONTEXT, LARGEST_BATCH = 10_000_000, 4096


def here(actor: Actor, place: Place) -> Actor:
    """The actor with what it holds in this place only, so that lists show one team's view."""
    if place.panel == "admin":
        return actor
    return replace(actor, grants={place.scope: actor.grants.get(place.scope, frozenset())})


def models_of(actor: Actor, place: Place) -> QuerySet[Any]:
    """What the place may use: its own models, the provider's, and those that were shared."""
    return selectors.list_models(actor=here(actor, place))


def is_own(view: Any, row: Any) -> bool:
    """Whether the place may change it: staff all, a team its own."""
    if view.place.panel == "admin":
        return True
    return row.team_id is not None and row.team_id == getattr(view.place.team, "pk", None)


def may_serve(view: Any, version: ModelVersion) -> bool:
    """Whether an endpoint that is made here may serve it: staff serves the provider's own to everybody."""
    is_ready = version.state == State.SERVABLE and version.model.deleted_at is None
    return is_ready and (view.place.panel != "admin" or version.team_id is None)


# ------------------------------------------------------------ columns


def _name(model: Any) -> Any:
    return cells.join(model.name, cells.tag(_now("demo"), "warn") if model.is_demo else "")


def _state(model: Any) -> Any:
    if not model.newest_state:
        return cells.muted(_now("no version"))
    return cells.status(model.newest_state, State(model.newest_state).label)


def whose(model: Any) -> Any:
    if model.team_id is None:
        return cells.tag(_now("provider"), "info")
    return str(model.team) if model.team else cells.muted(_now("shared"))


def amount(count: int | None) -> str:
    """A number of parameters as people say it."""
    if not count:
        return "–"
    for size, letter in ((10**9, "B"), (10**6, "M")):
        if count >= size:
            return f"{cells.number(round(count / size, 1))} {letter}"
    return cells.number(count)


NAME = Column("name", _("Name"), _name, sort="name", main=True, to="model", text=lambda one: one.name)
SLUG = Column("slug", _("Short name"), sort="slug", mono=True, priority=3)
STATE = Column("newest_state", _("Status"), _state, sort="newest_state")
PARAMETERS = Column(
    "newest_parameters",
    _("Parameters"),
    lambda one: amount(one.newest_parameters),
    sort="newest_parameters",
    num=True,
    priority=2,
)
SIZE = Column(
    "newest_size_bytes",
    _("Size"),
    lambda one: cells.size(one.newest_size_bytes or None),
    sort="newest_size_bytes",
    num=True,
    priority=2,
)
CONTEXT_LENGTH = Column(
    "newest_context_length",
    _("Context"),
    lambda one: cells.number(one.newest_context_length),
    sort="newest_context_length",
    num=True,
    priority=2,
)
LICENCE = Column("licence", _("Licence"), sort="licence", priority=3)
OWNER = Column("team", _("Whose"), whose, sort="team__name", priority=2)
USED_BY = Column(
    "visibility", _("Used by"), lambda one: one.get_visibility_display(), sort="visibility", priority=3
)
MODALITY_FILTER = Filter("modality", _("Answers with"), Modality.choices)
VISIBILITY_FILTER = Filter("visibility", _("Used by"), Visibility.choices)

VERSION_COLUMNS = (
    Column("number", _("Version"), lambda one: f"v{one.number}", main=True, to="model-version"),
    Column("state", _("Status"), lambda one: cells.status(one.state, one.get_state_display())),
    Column("format", _("Format"), lambda one: one.get_format_display() or "–", priority=2),
    Column("dtype", _("Weights in"), priority=3),
    Column("size", _("Size"), lambda one: cells.size(one.size_bytes or None), num=True, priority=2),
    Column("origin", _("Origin"), lambda one: one.get_origin_display(), priority=3),
    Column("added", _("Added"), lambda one: cells.when(one.created_at), num=True, priority=2),
)


# ------------------------------------------------------------ cards

FAMILIES = (
    "llama",
    "qwen",
    "mistral",
    "mixtral",
    "gemma",
    "phi",
    "bert",
    "gpt",
    "deepseek",
    "falcon",
    "granite",
)
SMALLEST, LARGEST = 6, 12  # powers of ten between which sizes are drawn


def card_of(model: Any, fit: Any) -> dict[str, Any]:
    """The picture of a model: its family's letters, its size among all sizes, what it needs."""
    known = (model.newest_architecture or model.name).lower()
    family = next((one for one in FAMILIES if one in known), model.name.lower())
    power = math.log10(model.newest_parameters) if model.newest_parameters else SMALLEST
    share = (min(max(power, SMALLEST), LARGEST) - SMALLEST) / (LARGEST - SMALLEST)
    written = model.newest_dtype or ""
    form = Format(model.newest_format).label if model.newest_format else ""
    return {
        "letters": family[:2].capitalize(),
        "share": f"{max(100 * share, 2):.0f}",
        "parameters": amount(model.newest_parameters),
        "size": cells.size(model.newest_size_bytes or None),
        "context": cells.number(model.newest_context_length),
        "form": " ".join(one for one in (form, written) if one),
        "fit": f"{fit.fit.count}× {fit.gpu.name}" if fit else "",
        "status": _card_state(model),
        "whose": whose(model),
    }


def _card_state(model: Any) -> Any:
    if model.newest_state == State.DRAFT:
        told = _now("Not fetched yet") if model.newest_parameters else _now("Without files")
        return cells.status("draft", told, kind="off")
    return _state(model)


# ------------------------------------------------------------ buttons


def _deprecate(view: Any, version: ModelVersion) -> None:
    services.deprecate_version(actor=view.actor, version=version)


def _restore(view: Any, version: ModelVersion) -> None:
    services.restore_version(actor=view.actor, version=version)


def _revoke(view: Any, version: ModelVersion) -> None:
    services.revoke_version(actor=view.actor, version=version)


def _retire(view: Any, version: ModelVersion) -> Any:
    services.retire_version(actor=view.actor, version=version)
    return view.url("model", pk=version.model_id)


def _call_off(view: Any, version: ModelVersion) -> None:
    services.give_up(actor=view.actor, version_id=str(version.pk))


def _delete(view: Any, model: Model) -> Any:
    services.delete_model(actor=view.actor, model=model)
    return view.url("models")


VERSION_ACTIONS = (
    Action(
        "call-off",
        _("Call off"),
        Permission.MODEL_CREATE,
        _call_off,
        icon="x",
        when=lambda one: one.state in MOVING,
        confirm=_("What was sent so far is removed."),
        done=_("It was called off."),
    ),
    Action(
        "deprecate",
        _("Deprecate"),
        Permission.MODEL_MANAGE,
        _deprecate,
        icon="circle-pause",
        when=lambda one: one.state == State.SERVABLE,
        confirm=_("It is offered for nothing new. What serves it goes on."),
        done=_("It is deprecated."),
    ),
    Action(
        "restore",
        _("Offer again"),
        Permission.MODEL_MANAGE,
        _restore,
        icon="undo-2",
        when=lambda one: one.state == State.DEPRECATED,
        done=_("It is offered again."),
    ),
    Action(
        "revoke",
        _("Revoke"),
        Permission.MODEL_MANAGE,
        _revoke,
        icon="ban",
        when=lambda one: one.state in (State.SERVABLE, State.DEPRECATED),
        confirm=_("Endpoints that serve it drain within seconds. There is no way back."),
        danger=True,
        menu=True,
        done=_("It is revoked."),
    ),
    Action(
        "retire",
        _("Delete"),
        Permission.MODEL_MANAGE,
        _retire,
        icon="trash-2",
        when=lambda one: one.state not in (State.RETIRED, *MOVING),
        confirm=_("Its files are removed for good; its facts stay in the records."),
        danger=True,
        menu=True,
        done=_("It is deleted."),
    ),
)
DELETE_MODEL = Action(
    "delete",
    _("Delete"),
    Permission.MODEL_MANAGE,
    _delete,
    icon="trash-2",
    confirm=_("All its versions and their files are removed for good."),
    type_name=True,
    danger=True,
    menu=True,
    done=_("The model is deleted."),
)


# ------------------------------------------------------------ blocks


def fit_block(view: Any, version: ModelVersion) -> Html | Note:
    """The picture: what each GPU of the catalogue would hold; words while its size is not known."""
    if not (version.size_bytes or version.parameters):
        return Note(_("Which GPUs it fits on is known when its files are there."), "info")
    usual = min(CONTEXT, version.context_length or CONTEXT)
    context = _asked(view, "context", usual, LARGEST_CONTEXT)
    batch = _asked(view, "batch", BATCH, LARGEST_BATCH)
    rows = selectors.fit_table(actor=view.actor, version=version, context=context, batch=batch)
    shown = [_bar(row) for row in rows]
    about = {"rows": shown, "context": context, "batch": batch, "tab": view.open_tab, "version": version}
    return Html("kit/fit.html", about)


def _asked(view: Any, name: str, usual: int, most: int) -> int:
    text = view.request.GET.get(name, "")
    return min(max(int(text), 1), most) if text.isdecimal() and len(text) < 9 else usual


def _bar(row: Any) -> dict[str, Any]:
    """Percentages of one GPU's memory, cut off where it is full."""
    fit = row.fit
    parts, at = [], 0.0
    for kind, gib in (("weights", fit.weights_gib), ("cache", fit.kv_gib), ("overhead", fit.overhead_gib)):
        width = min(100 * gib / fit.gpu_memory_gib, 100 - at)
        parts.append({"kind": kind, "x": f"{at:.2f}", "width": f"{max(width, 0):.2f}"})
        at = min(at + width, 100.0)
    needed = f"{cells.number(round(fit.needed_gib, 1))} / {cells.number(fit.gpu_memory_gib)} GiB"
    return {"gpu": row.gpu, "fit": fit, "parts": parts, "needed": needed, "why": WHY.get(fit.reason, "")}


WHY = {
    "weights": _("the weights alone are too large"),
    "cache": _("the key-value cache does not fit"),
    "heads": _("its heads cannot be divided"),
    "unknown": _("its size is not known yet"),
}


def facts_of(version: ModelVersion) -> list[tuple[Any, Any]]:
    """What is known of a version."""
    source = f"{version.source}@{version.revision[:12]}" if version.source else ""
    found = [
        (_("Architecture"), version.architecture),
        (_("Parameters"), amount(version.parameters)),
        (_("Context"), cells.number(version.context_length)),
        (_("Weights in"), version.dtype),
        (_("Layers, heads, key-value heads"), _shape(version)),
        (_("Format"), version.get_format_display()),
        (_("Size"), cells.size(version.size_bytes or None)),
        (_("Origin"), version.get_origin_display() if version.origin != Origin.UPLOAD or not source else ""),
        (_("Source"), cells.mono(source) if source else ""),
        (_("Digest"), cells.copy(version.digest) if version.digest else ""),
        (_("Added"), cells.exact(version.created_at)),
        (_("By"), version.created_by_label),
    ]
    return [(label, value) for label, value in found if value not in ("", "–")]


def _shape(version: ModelVersion) -> str:
    known = (version.layers, version.heads, version.kv_heads)
    return " / ".join(cells.number(one) for one in known) if any(known) else ""
