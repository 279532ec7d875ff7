"""Price lists, and which one a team pays by."""

import re
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.billing.models import PriceList, PriceListChoice
from apps.billing.models.terms import STANDARD
from apps.billing.selectors import books
from apps.billing.services.prices import NOTICE
from apps.core.actor import Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid
from apps.core.permissions import Permission
from apps.operations.services import emit
from apps.teams.models import Team

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@transaction.atomic
def create_list(*, actor: Actor, slug: str, name: str, description: str = "") -> PriceList:
    """Make an empty price list; until prices are set in it, it costs what the standard one does."""
    actor.require(Permission.PRICE_MANAGE)
    if not SLUG.fullmatch(slug):
        raise Invalid(_("Lower-case letters, digits and dashes."), field="slug")
    if slug == STANDARD or PriceList.objects.filter(slug=slug).exists():
        raise Conflict(_("There is a list of that name."), field="slug")
    made: PriceList = PriceList.objects.create(slug=slug, name=name[:80], description=description[:300])
    audit.record(actor=actor, action="price_list.created", target=made)
    return made


@transaction.atomic
def choose_list(*, actor: Actor, team: Team, book: str, at: datetime | None = None) -> PriceListChoice:
    """Let a team pay by another list from a moment on: a minute from now at the earliest."""
    actor.require(Permission.PRICE_MANAGE)
    if book != STANDARD and not PriceList.objects.filter(slug=book).exists():
        raise Invalid(_("There is no such price list."), field="book")
    now = db_now()
    start = at or now + NOTICE
    if start < now + NOTICE:
        raise Invalid(_("A price changes a minute from now at the earliest."), field="at")
    Team.objects.select_for_update(of=("self",)).get(pk=team.pk)
    choices = PriceListChoice.objects.filter(team=team).order_by("valid_from")
    last: PriceListChoice | None = choices.last()
    if last is not None and last.valid_from >= start:
        raise Conflict(_("Another choice is already scheduled for later."), field="at")
    if books.book_of(team.pk, start) == book and last is not None:
        return last
    made: PriceListChoice = PriceListChoice.objects.create(
        team=team, book=book, valid_from=start, created_by=actor.label[:200]
    )
    audit.record(actor=actor, action="price_list.chosen", target=team, book=book, at=start.isoformat())
    emit(type="price.list_chosen", subject=team.pk, team_id=team.pk, data={"book": book})
    return made
