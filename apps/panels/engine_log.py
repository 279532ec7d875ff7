"""What an endpoint's engines write: a tab of its page, and the bare text that the tab follows."""

from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _

from apps.core.permissions import Permission
from apps.inference.models import Replica
from apps.inference.services import logs
from apps.panels import endpoints
from apps.panels.kit import Html


class EngineLogText(endpoints.EndpointDetail):
    """The last lines of the replica that `?replica=` names, or of the newest, as plain text."""

    permission = Permission.ENDPOINT_LOGS
    http_method_names: ClassVar = ["get", "head", "options"]

    def get(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        chosen = _named(self, _with_engines(self))
        if chosen is None:
            raise Http404(_("There is no such page."))
        log = logs.follow_log(actor=self.actor, replica_id=chosen.pk)
        answer = HttpResponse(log.text, content_type="text/plain; charset=utf-8")
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["Content-Disposition"] = f'inline; filename="{self.object.slug}-{chosen.pk}.log"'
        return answer


def address_of(view: Any, one: Replica) -> str:
    """Where its engine's lines are, for those who may read them."""
    may_read = one.cluster_id is not None and view.can(Permission.ENDPOINT_LOGS)
    return f"{view.home()}?tab=logs&replica={one.pk}" if may_read else ""


def block(view: endpoints.EndpointDetail) -> Html:
    """The same as a card; of the newest, too, when the one that is named is no longer there."""
    those = _with_engines(view)
    chosen = _named(view, those) or next(iter(those), None)
    return Html("kit/engine_log.html", _shown(view, those, chosen) if chosen else {})


def _with_engines(view: endpoints.EndpointDetail) -> list[Replica]:
    return [one for one in view.replicas if one.cluster_id is not None]


def _named(view: endpoints.EndpointDetail, those: Sequence[Replica]) -> Replica | None:
    asked = view.request.GET.get("replica")
    return next((one for one in those if asked in (None, one.pk)), None)


def _shown(view: endpoints.EndpointDetail, those: Sequence[Replica], chosen: Replica) -> dict[str, Any]:
    source = view.url("endpoint-log", pk=view.pk)
    return {
        "log": logs.follow_log(actor=view.actor, replica_id=str(chosen.pk)),
        "chosen": chosen,
        "choices": [(one.pk, _name_of(one)) for one in those],
        "is_live": chosen.released_at is None,
        "source": f"{source}?{urlencode({'replica': chosen.pk})}",
        "home": view.home(),
    }


def _name_of(one: Replica) -> str:
    assert one.revision is not None  # only an external provider has none, and that has no engine
    said = {"id": one.pk[-8:], "state": one.get_state_display(), "number": one.revision.number}
    return _("%(id)s · %(state)s · revision %(number)s") % said
