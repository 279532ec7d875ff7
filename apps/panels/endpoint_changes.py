"""What is changed about an endpoint on its page: scale rules, updates that roll, canaries, the way back."""

from typing import Any

from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from apps.core.ids import new_id
from apps.core.permissions import Permission
from apps.inference.models import Endpoint, Revision
from apps.inference.selectors import reading
from apps.inference.services import rollouts
from apps.inference.states import Desired
from apps.panels import endpoint_forms as forms
from apps.panels.endpoints import EndpointDetail
from apps.panels.kit import Action, Column, Empty, Facts, InlineForm, Tab, Table, cells
from apps.panels.kit.forms import dress


def _back(view: Any, one: Endpoint) -> None:
    rollouts.roll_back(actor=view.actor, endpoint_id=str(one.pk))


def _promote(view: Any, one: Endpoint) -> None:
    rollouts.promote_canary(actor=view.actor, endpoint_id=str(one.pk))


def _drop(view: Any, one: Endpoint) -> None:
    rollouts.drop_canary(actor=view.actor, endpoint_id=str(one.pk))


def _is_there(one: Endpoint) -> bool:
    return bool(one.desired == Desired.RUNNING)


ROLL_BACK = Action(
    "rollback",
    _("Roll back"),
    Permission.ENDPOINT_UPDATE,
    _back,
    icon="undo-2",
    when=lambda one: _is_there(one) and one.previous_id is not None,
    confirm=_("What was served before takes over again, without a gap."),
    menu=True,
    done=_("Rolling back."),
)
PROMOTE = Action(
    "promote",
    _("Promote canary"),
    Permission.ENDPOINT_UPDATE,
    _promote,
    icon="trending-up",
    when=lambda one: _is_there(one) and one.canary_id is not None and one.operation_id is None,
    confirm=_("All requests go to what the canary serves."),
    done=_("The canary takes over."),
)
DROP = Action(
    "drop",
    _("Drop canary"),
    Permission.ENDPOINT_UPDATE,
    _drop,
    icon="x",
    when=lambda one: _is_there(one) and one.canary_id is not None,
    confirm=_("Its replicas finish what is open and go."),
    done=_("The canary goes."),
)
ACTIONS = (PROMOTE, DROP, ROLL_BACK)
TAB = Tab("scale", _("Scale and updates"), Permission.ENDPOINT_UPDATE)


REVISION_COLUMNS = (
    Column("number", _("Revision"), lambda one: f"#{one.number}", main=True),
    Column("model", _("Serves"), lambda one: one.model_name),
    Column("hardware", _("Hardware"), lambda one: one.hardware.name, priority=2),
    Column("parallel", _("At once"), lambda one: one.parallel, num=True, priority=3),
    Column("by", _("Made by"), lambda one: one.created_by_label, priority=3),
    Column("at", _("Made"), lambda one: cells.when(one.created_at), num=True),
)


class Changing(EndpointDetail):
    """The page of an endpoint with the tab where it is changed, and what it has been made of."""

    def main_scale(self) -> list[Any]:
        one = self.object
        scale = dress(forms.ScaleFields(initial=forms.scale_initial(one)))
        recipe = dress(forms.RecipeFields(self.actor, one, initial=forms.recipe_initial(one), prefix=None))
        gap = _now("New replicas serve before old ones go; no request is lost.")
        return [
            self._form(_("Scale rules"), scale, "endpoint-scale", _("Save")),
            self._form(_("Serve something else"), recipe, "endpoint-deploy", _("Roll out"), gap),
        ]

    def aside_scale(self) -> list[Any]:
        one = self.object
        if one.canary_id is not None:
            weight = dress(forms.WeightFields(initial={"weight": one.canary_weight}, auto_id="canary_%s"))
            return [self._form(_("Share of the canary"), weight, "endpoint-weigh", _("Save"))]
        initial = {**forms.recipe_initial(one), "weight": 10}
        canary = dress(forms.CanaryFields(self.actor, one, initial=initial, auto_id="canary_%s"))
        text = _now("A share of the requests goes to replicas of their own.")
        return [self._form(_("Try a canary"), canary, "endpoint-canary", _("Try it out"), text)]

    def _form(self, title: Any, form: Any, route: str, submit: Any, text: Any = "") -> InlineForm:
        return InlineForm(title, form, self.url(route, pk=self.pk), submit, new_id("form"), text)

    def serves(self, title: Any, revision: Revision | None) -> Facts:
        if revision is None:
            return Facts(title, [])
        digest = revision.digest.removeprefix("sha256:")[:16]
        return Facts(
            title,
            [
                (_("Model"), revision.model_name),
                (_("Revision"), f"#{revision.number}"),
                (_("Hardware"), revision.hardware.name),
                (_("Context"), _now("%(n)s tokens") % {"n": cells.number(revision.context_length)}),
                (_("At once"), revision.parallel),
                (_("Digest"), cells.mono(f"{digest}…")),
            ],
        )

    def trying(self) -> list[Facts]:
        if self.object.canary is None:
            return []
        share = _now("Canary, %(n)s %% of requests") % {"n": self.object.canary_weight}
        return [self.serves(share, self.object.canary)]

    def revisions(self) -> Table:
        rows = list(reading.list_revisions(actor=self.actor, endpoint_id=str(self.object.pk))[:20])
        return Table(_("Revisions"), REVISION_COLUMNS, rows, Empty(_("No revision yet"), "", icon="history"))
