"""Asks everything as everybody in this installation and names every hole; nothing it does stays.

It works on two teams and two regions that have things of their own (name them, or the ones with most are
taken), inside one transaction that is rolled back. Run it in a quiet hour: for some seconds it holds locks.
"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import Count

from apps.api.isolation.matrix import Matrix
from apps.api.isolation.principals import World, principals
from apps.api.isolation.routes import routes, undeclared
from apps.core import tenancy
from apps.operations.models import Operation
from apps.regions.models import Region
from apps.teams.models import Team


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--teams", nargs=2, metavar="ADDRESS", help="two teams, by their addresses")
        parser.add_argument("--regions", nargs=2, metavar="NAME", help="two regions, by their short names")
        parser.add_argument(
            "--quick", action="store_true", help="those turned away at a gate knock once per view"
        )

    def handle(self, *args: Any, quick: bool = False, **options: Any) -> None:
        holes = [f"{address} declares no permission" for address in undeclared()]
        with transaction.atomic(), tenancy.everything():
            matrix = Matrix(_world(options["teams"], options["regions"]), thorough=not quick)
            holes += map(str, matrix.run(principals(matrix.targets.world), routes()))
            transaction.set_rollback(True)
        if holes:
            raise CommandError("\n".join([*holes, f"{len(holes)} holes in {matrix.asked} requests"]))
        self.stdout.write(
            f"{matrix.asked} requests to {len(routes())} routes; nobody saw or changed what is others'"
        )


def _world(teams: list[str] | None, regions: list[str] | None) -> World:
    ours, theirs = _two(Team, teams, "team_id")
    here, there = _two(Region, regions, "region_id")
    return World(ours, theirs, here, there)


def _two(model: Any, slugs: list[str] | None, column: str) -> list[Any]:
    """The named ones, or those with most operations."""
    if slugs:
        found = list(model.objects.filter(slug__in=slugs))
    else:
        busy = Operation.objects.exclude(**{column: None}).values(column).annotate(n=Count("pk"))
        ids = list(busy.order_by("-n").values_list(column, flat=True)[:2])
        found = [*model.objects.filter(pk__in=ids), *model.objects.exclude(pk__in=ids).order_by("pk")[:2]]
    if len(found) < 2:
        raise CommandError(f"two {model._meta.verbose_name_plural} are needed; `manage.py demo` makes some")
    return found[:2]
