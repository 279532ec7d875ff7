"""The life of a team as events; what belongs to a closed one goes."""

from typing import Any

from django.dispatch import receiver

from apps.core.actor import Actor
from apps.operations import services
from apps.teams import signals
from apps.teams.models import Team


@receiver(signals.team_suspended, dispatch_uid="operations.suspended")
def tell_suspended(sender: object, team: Team, reason: str, **_rest: Any) -> None:
    data = {"name": team.name, "reason": reason}
    services.emit(type="team.suspended", subject=team.pk, team_id=team.pk, data=data)


@receiver(signals.team_resumed, dispatch_uid="operations.resumed")
def tell_resumed(sender: object, team: Team, **_rest: Any) -> None:
    services.emit(type="team.resumed", subject=team.pk, team_id=team.pk, data={"name": team.name})


@receiver(signals.team_closed, dispatch_uid="operations.closed")
def end_webhooks(sender: object, team: Team, actor: Actor, **_rest: Any) -> None:
    services.delete_webhooks_of(actor=actor, team=team)
    services.emit(type="team.closed", subject=team.pk, team_id=team.pk, data={"name": team.name})
