"""Buttons: each is a POST with a CSRF token that calls one service."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from apps.core.errors import DomainError, NotFound
from apps.core.permissions import Permission


@dataclass(frozen=True)
class Action:
    """One thing to do with an object.

    `run(view, target)` calls one service; it may return an address to go to. `confirm` is the
    consequence to agree to, text or a function of the target; `type_name` also asks to type its
    name. `when` hides the button where it makes no sense; the service decides all the same.
    """

    name: str
    label: Any
    permission: Permission
    run: Callable[[Any, Any], Any]
    icon: str = ""
    when: Callable[[Any], bool] = lambda target: True
    confirm: Any = ""
    type_name: bool = False
    danger: bool = False
    primary: bool = False
    menu: bool = False  # inside the “more” menu of a detail page
    bulk: bool = False  # also for a selection in a list
    row: bool = True  # also in the row menu of a list
    done: Any = ""  # said afterwards


def name_of(target: Any) -> str:
    return str(getattr(target, "name", None) or target)


def question(action: Action, target: Any) -> str:
    """What the person must agree to."""
    asked = action.confirm
    return str(asked(target) if callable(asked) else asked)


def buttons(view: Any, actions: Iterable[Action], target: Any) -> list[dict[str, Any]]:
    """The actions that are open on the target, ready for a template."""
    return [
        {
            "action": action,
            "value": f"{action.name}:{target.pk}",
            "confirm": question(action, target),
            "type": name_of(target) if action.type_name else "",
            "title": _("%(verb)s %(name)s?") % {"verb": action.label, "name": name_of(target)},
        }
        for action in actions
        if view.can(action.permission) and action.when(target)
    ]


def perform(view: Any, actions: Sequence[Action]) -> HttpResponse:
    """Carry out what a button of this page has posted: `do=<action>:<id>`, or `do=<action>` with `id`s."""
    name, _colon, one = str(view.request.POST.get("do", "")).partition(":")
    action = next((each for each in actions if each.name == name), None)
    if action is None or not view.can(action.permission):
        raise NotFound(_("There is no such action."))
    ids = [one] if one else view.request.POST.getlist("id")
    targets = view.targets(ids)
    if not targets:
        raise NotFound(_("There is no such thing, or it is gone."))
    if action.confirm and not _is_confirmed(view, action, targets):
        return _ask(view, action, targets)
    return _run(view, action, targets)


def _is_confirmed(view: Any, action: Action, targets: Sequence[Any]) -> bool:
    if view.request.POST.get("confirmed") != "1":
        return False
    return not action.type_name or view.request.POST.get("typed") == name_of(targets[0])


def _ask(view: Any, action: Action, targets: Sequence[Any]) -> HttpResponse:
    context = {
        "action": action,
        "targets": targets,
        "names": [name_of(target) for target in targets],
        "question": question(action, targets[0]) if len(targets) == 1 else "",
        "type": name_of(targets[0]) if action.type_name else "",
        "mistyped": view.request.POST.get("confirmed") == "1",
        "back": view.back(),
    }
    response: HttpResponse = view.render("kit/confirm.html", context, status=422)
    return response


def _run(view: Any, action: Action, targets: Sequence[Any]) -> HttpResponse:
    done, goal = 0, None
    for target in targets:
        try:
            result = action.run(view, target)
        except DomainError as error:
            text = error.message if len(targets) == 1 else f"{name_of(target)}: {error.message}"
            messages.error(view.request, text)
            continue
        done += 1
        goal = result if isinstance(result, str) and result.startswith("/") else goal
    if done:
        messages.success(view.request, _told(action, targets, done))
    return HttpResponseRedirect(goal if goal and len(targets) == 1 else view.back())


def _told(action: Action, targets: Sequence[Any], done: int) -> str:
    if len(targets) == 1:
        return str(action.done) or _("%(verb)s: asked for.") % {"verb": action.label}
    counted = ngettext("%(n)s done", "%(n)s done", done) % {"n": done}
    return f"{action.label}: {counted}."
