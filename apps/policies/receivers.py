"""What policies hear from below."""

from typing import Any

from django.dispatch import receiver

from apps.policies import services
from apps.teams.models import Team
from apps.teams.signals import team_created


@receiver(team_created)
def give_defaults(*, team: Team, **_kwargs: Any) -> None:
    services.assign_defaults(team=team)
