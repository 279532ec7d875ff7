"""`manage.py demo`: people, regions, money, a month of usage and machines: every page shows something.

May be run again: what exists is left alone.
"""

import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from decimal import Decimal
from itertools import cycle, islice

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from apps.billing.models import PriceVersion
from apps.billing.services import history
from apps.billing.services.history import Habit
from apps.billing.services.prices import set_price
from apps.billing.services.wallets import set_credit_limit
from apps.billing.specs import Rate
from apps.core import tenancy
from apps.core.actor import SYSTEM, Actor
from apps.core.clock import db_now
from apps.core.permissions import GRANTS, Role
from apps.gpupools import plans
from apps.gpupools.reconcilers import build_supply
from apps.instances import reconcilers, services
from apps.instances.models import Instance
from apps.instances.specs import InstanceSpec
from apps.instances.states import State
from apps.nodes.models import Node
from apps.nodes.reconcilers import sync_cluster
from apps.nodes.services import cordon_node
from apps.regions.models import Cluster, Region
from apps.teams.models import Team
from apps.teams.services import add_member, create_team, create_workspace, suspend_team
from apps.users.models import User
from apps.users.services import grant_staff_role, register_user

PASSWORD = "demonstration-1"  # noqa: S105 - printed for everybody who runs the demonstration
DAYS = 30
WAIT_SECONDS = 12.0
EXTRA_PRICES = {"disk": "0.00012", "ip": "0.004"}

STAFF = (
    ("admin@hostedai.example", "Alex Morgan", Role.FULL_ADMINISTRATOR, None),
    ("finance@hostedai.example", "Mira Lang", Role.FULL_ADMINISTRATOR, None),
    ("operator@hostedai.example", "Robin Keller", Role.OPERATOR, None),
    ("auditor@hostedai.example", "Sam Weber", Role.AUDITOR, None),
    ("helsinki@hostedai.example", "Aino Virtanen", Role.REGION_OPERATOR, "hel-1"),
    ("frankfurt@hostedai.example", "Jonas Vogt", Role.REGION_VIEWER, "fra-1"),
)


@dataclass(frozen=True)
class Tenant:
    """A team: its people, its money, what it used and what it runs now."""

    name: str
    people: tuple[tuple[str, str, Role], ...]
    funds: str
    habits: tuple[str, ...]
    machines: tuple[tuple[str, str, str, int], ...]  # name, type, region, how many
    workspaces: tuple[str, ...] = ()
    is_suspended: bool = False
    credit_limit: str = ""  # it pays its invoices afterwards
    is_old: bool = False  # a customer for three months


TENANTS = (
    Tenant(
        "Acme Research",
        (
            ("ada@acme.example", "Ada Lindgren", Role.TEAM_ADMIN),
            ("ben@acme.example", "Ben Okafor", Role.TEAM_MEMBER),
            ("chloe@acme.example", "Chloé Martin", Role.TEAM_BILLING),
            ("dan@acme.example", "Dan Fischer", Role.TEAM_VIEWER),
        ),
        "25000",
        ("h100-80gb-1", "l40s-48gb-1", "cpu-8", "cpu-4"),
        (
            ("train", "h100-80gb-2", "hel-1", 3),
            ("eval", "l40s-48gb-1", "hel-1", 2),
            ("notebook", "cpu-4", "hel-1", 2),
            ("batch", "a100-80gb-1", "fra-1", 3),
            ("gateway", "cpu-2", "fra-1", 2),
        ),
        ("staging", "production"),
        is_old=True,
    ),
    Tenant(
        "Nordic Vision",
        (
            ("erik@nordic.example", "Erik Dahl", Role.TEAM_ADMIN),
            ("freja@nordic.example", "Freja Holm", Role.TEAM_MEMBER),
        ),
        "1200",
        ("h200-141gb-1", "a100-80gb-2", "cpu-16"),
        (
            ("render", "h200-141gb-4", "hel-1", 2),
            ("segment", "a100-80gb-4", "fra-1", 3),
            ("label", "cpu-8", "fra-1", 2),
            ("fit", "mi300x-192gb-2", "nyc-1", 2),
        ),
        credit_limit="40000",
        is_old=True,
    ),
    Tenant(
        "Helio Labs",
        (
            ("gita@helio.example", "Gita Rao", Role.TEAM_ADMIN),
            ("hugo@helio.example", "Hugo Brandt", Role.TEAM_MEMBER),
        ),
        "60000",
        ("h100-80gb-4", "b200-180gb-1"),
        (
            ("pretrain", "h100-80gb-8", "hel-1", 3),
            ("large", "b200-180gb-8", "hel-1", 1),
            ("serve", "h100-80gb-4", "fra-1", 3),
            ("sweep", "mi300x-192gb-8", "nyc-1", 2),
            ("index", "cpu-16", "nyc-1", 2),
        ),
    ),
    Tenant(
        "Quiet Harbour",
        (("ines@harbour.example", "Inês Duarte", Role.TEAM_ADMIN),),
        "300",
        ("cpu-4",),
        (),
        is_suspended=True,
    ),
)


class Command(BaseCommand):
    help = "Fill an empty installation with demonstration data."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=DAYS, help="days of past usage")

    def handle(self, *, days: int, **_options: object) -> None:
        with tenancy.everything():
            self._build(days)
        if settings.S3_ENDPOINT_URL:
            call_command("demo_models", stdout=self.stdout, stderr=self.stderr)
            call_command("demo_endpoints", stdout=self.stdout, stderr=self.stderr)
            call_command("demo_traffic", stdout=self.stdout, stderr=self.stderr)
        if settings.LIBVIRT_URI:
            call_command("local_region", stdout=self.stdout, stderr=self.stderr)
        self._greet()

    def _build(self, days: int) -> None:
        world = settings.VAR_DIR / "sim" / f"{settings.INSTALLATION_ID}.sqlite"
        build_supply(actor=SYSTEM, world_path=str(world))
        _enrol_all()
        _set_prices(days)
        _hire_staff()
        teams = [(tenant, _found_team(tenant)) for tenant in TENANTS if not _exists(tenant)]
        _write_past(teams, days)
        _launch_all(teams)
        _set_the_scene()
        call_command("demo_use", stdout=self.stdout, stderr=self.stderr)
        call_command("demo_money", stdout=self.stdout, stderr=self.stderr)
        for tenant, team in teams:
            if tenant.is_suspended:
                suspend_team(actor=SYSTEM, team=team, reason="Two invoices are open.")

    def _greet(self) -> None:
        nodes, machines = Node.objects.count(), Instance.objects.filter(state=State.RUNNING).count()
        self.stdout.write(f"  {Region.objects.count()} regions, {nodes} nodes, {machines} machines running")
        self.stdout.write(f"  Everybody's password is {PASSWORD}")
        for address, _name, role, region in STAFF[:3] + STAFF[4:5]:
            self.stdout.write(f"  {address:28} {role.replace('_', ' ')}{f' of {region}' if region else ''}")
        for tenant in TENANTS[:3]:
            address, _name, role = tenant.people[0]
            self.stdout.write(f"  {address:28} {role.replace('_', ' ')} of {tenant.name}")


def _exists(tenant: Tenant) -> bool:
    return Team.objects.filter(name=tenant.name).exists()


def _enrol_all() -> None:
    """Nodes come into service step by step, each proven by another look."""
    for cluster_id in Cluster.objects.filter(kind="sim").order_by("pk").values_list("pk", flat=True):
        for _look in range(8):
            if not Node.objects.filter(cluster_id=cluster_id).exclude(state="ready").exists():
                break
            sync_cluster(cluster_id=cluster_id)


def _set_prices(days: int) -> None:
    from_then = db_now() - timedelta(days=_age(days, is_old=True) + 5)
    for product, price in {**plans.PRICES, **EXTRA_PRICES}.items():
        if not _has_price(product):
            set_price(
                actor=SYSTEM,
                product=product,
                currency="EUR",
                unit_price=Decimal(price),
                valid_from=from_then,
                note="Opening price list",
            )


def _has_price(product: str) -> bool:
    return PriceVersion.objects.filter(product=product, currency="EUR").exists()


def _hire_staff() -> None:
    regions = _region_ids()
    for address, name, role, slug in STAFF:
        user = _person(address, name)
        grant_staff_role(
            actor=SYSTEM, user=user, role=role, region_id=regions.get(slug or ""), region_slug=slug or ""
        )


def _region_ids() -> dict[str, str]:
    return {region.slug: str(region.pk) for region in Region.objects.all()}


def _person(address: str, name: str) -> User:
    known: User | None = User.objects.filter(email=address).first()
    return known or register_user(actor=SYSTEM, email=address, name=name, password=PASSWORD)


def _found_team(tenant: Tenant) -> Team:
    (address, name, _role), *others = tenant.people
    team = create_team(actor=SYSTEM, name=tenant.name, owner=_person(address, name))
    for address, name, role in others:
        add_member(actor=SYSTEM, team=team, user=_person(address, name), role=role)
    for workspace in tenant.workspaces:
        create_workspace(actor=SYSTEM, team=team, name=workspace)
    return team


def _write_past(teams: Sequence[tuple[Tenant, Team]], days: int) -> None:
    now = db_now()
    regions = _region_ids()
    pasts = []
    for tenant, team in teams:
        age = _age(days, is_old=tenant.is_old)
        begun = now - timedelta(days=age + 3)
        history.fund(actor=SYSTEM, team=team, amount=Decimal(tenant.funds), at=begun, reason="Bank transfer")
        if tenant.credit_limit:
            set_credit_limit(actor=SYSTEM, team=team, amount=Decimal(tenant.credit_limit))
        home = next((place for _name, _type, place, _count in tenant.machines), "fra-1")
        habits = [_habit(kind, regions[home]) for kind in tenant.habits]
        for workspace in team.workspaces.order_by("created_at")[:2]:
            pasts += history.invent_pasts(
                team_id=team.pk, workspace_id=workspace.pk, habits=habits, now=now, days=age
            )
            habits = habits[1:2]
    history.write_history(actor=SYSTEM, pasts=pasts, now=now)


def _age(days: int, *, is_old: bool) -> int:
    """For how many days a team has been a customer: old ones since the first day of a month, three back."""
    today = db_now().astimezone(UTC).date()
    first = today.replace(day=1)
    for _month in range(3 if is_old else 0):
        first = (first - timedelta(days=1)).replace(day=1)
    return max(days, (today - first).days if is_old else 0)


def _habit(kind: str, region_id: str) -> Habit:
    name = kind.split("-")[0]
    return Habit(name, (Rate(f"type:{kind}"),), (Rate("disk", Decimal(100)),), region_id)


def _launch_all(teams: Sequence[tuple[Tenant, Team]]) -> None:
    for tenant, team in teams:
        workspaces = cycle(team.workspaces.order_by("created_at"))
        people = cycle(_makers(team, tenant))
        for name, kind, region in _machines(tenant):
            image = "ubuntu-24.04" if kind.startswith("cpu") else "ubuntu-24.04-cuda"
            services.create_instance(
                actor=next(people),
                team=team,
                workspace=next(workspaces),
                spec=InstanceSpec(name=name, region=region, type=kind, image=image),
            )
    settle()


def _makers(team: Team, tenant: Tenant) -> list[Actor]:
    roles = {address: role for address, _name, role in tenant.people}
    members = User.objects.filter(email__in=list(roles)).order_by("email")
    actors = [
        Actor(user.label, {team.scope: GRANTS[roles[user.email]]}, kind="user", user_id=user.pk)
        for user in members
    ]
    return [actor for actor in actors if "instance:create" in actor.grants[team.scope]]


def _machines(tenant: Tenant) -> Iterator[tuple[str, str, str]]:
    for name, kind, region, count in tenant.machines:
        for number in range(1, count + 1):
            yield (f"{name}-{number}" if count > 1 else name), kind, region


def settle() -> None:
    """Be the worker until everything that was wished for is so; the simulated machines boot in seconds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while Instance.objects.exclude(operation_id=None).exists() and time.monotonic() < deadline:
        if not reconcilers.reconcile_due():
            time.sleep(0.1)


def _set_the_scene() -> None:
    """Some stopped machines, snapshots, a deletion, and a node taken out of service."""
    running = Instance.objects.filter(state=State.RUNNING, operation_id=None).order_by("name")
    if Instance.objects.filter(state=State.STOPPED).exists() or running.count() < 10:
        return
    picked = list(islice(running, 0, None, 5))[:6]
    for number, instance in enumerate(picked):
        if number % 3 == 0:
            services.stop_instance(actor=SYSTEM, instance_id=instance.pk)
        elif number % 3 == 1:
            services.create_snapshot(actor=SYSTEM, instance_id=instance.pk, name="before-upgrade")
        else:
            services.reboot_instance(actor=SYSTEM, instance_id=instance.pk)
    settle()
    services.delete_instance(actor=SYSTEM, instance_id=picked[-1].pk)
    settle()
    empty = Node.objects.filter(vcpus_used=0, state="ready").select_related("region").order_by("name").first()
    if empty is not None:
        cordon_node(actor=SYSTEM, node=empty, reason="Fan replacement on Thursday")
