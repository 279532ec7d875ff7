"""What billing does when something below it happens."""

from typing import Any

from django.dispatch import receiver

from apps.billing.services import terms, wallets
from apps.core.actor import Actor
from apps.core.ids import decode
from apps.teams.models import Team
from apps.teams.signals import team_closed, team_created


@receiver(team_created, dispatch_uid="billing.open_wallet")
def open_wallet(sender: object, team: Team, **_rest: Any) -> None:
    wallets.ensure_wallet(team_id=decode("team", team.pk))


@receiver(team_closed, dispatch_uid="billing.end_terms")
def end_terms(sender: object, team: Team, actor: Actor, **_rest: Any) -> None:
    terms.end_all(actor=actor, team=team)
