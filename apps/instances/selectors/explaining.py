"""“Why not?”: every gate a launch must pass, what is asked and left, and the nearest that would do."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from django.utils.translation import gettext as _

from apps.billing.errors import NoPrice
from apps.billing.models import PriceVersion, Wallet
from apps.billing.selectors import prices
from apps.billing.specs import RESERVE_FOR, SECONDS_PER_HOUR, Rate
from apps.catalog.models import Image, InstanceType
from apps.core.actor import Actor
from apps.core.errors import Invalid
from apps.core.money import ZERO, plain, round_minor, round_up
from apps.core.permissions import Permission
from apps.gpupools import placement
from apps.gpupools.selectors import fleet
from apps.gpupools.specs import Plan, Snapshot, Wanted
from apps.instances.selectors import offers
from apps.instances.selectors.offers import Offer
from apps.instances.specs import Explanation, InstanceSpec
from apps.policies import selectors as policies
from apps.policies.specs import Gate, Rules
from apps.regions.models import Region
from apps.regions.states import RegionState
from apps.teams.models import Team
from apps.teams.states import TeamState


@dataclass(frozen=True, slots=True)
class Known:
    """What the gates rest on."""

    region: Region
    type: InstanceType
    image: Image
    rules: Rules
    book: Mapping[str, PriceVersion]
    wallet: Wallet | None  # None: not read yet, as for who may launch and not see the balance
    snapshot: Snapshot

    def offer(self, spec: InstanceSpec) -> Offer:
        return offers.put_together(spec, self.region, self.type, self.image)


def explain(*, actor: Actor, team: Team, spec: InstanceSpec, known: Known | None = None) -> Explanation:
    """All gates at once: role, team, offer, region, policies, quotas, balance, freshness, capacity.

    `known` is what a page has read already because it shows it anyway.
    """
    gates = [_role(actor, team), _team(team)]
    try:
        offer = known.offer(spec) if known else offers.find(spec)
    except Invalid as wrong:
        return Explanation((*gates, Gate("offer", False, asked=_asked(spec), message=str(wrong.message))))
    gates.append(Gate("offer", True, asked=_asked(spec), message=_("Type, image and disk go together.")))
    known = known or _read(team, offer, spec)
    gates += _region(offer)
    gates += policies.explain_gates(
        known.rules, demand=offer.demand(spec), type_slug=offer.type.slug, image_slug=offer.image.slug
    )
    gates.append(_balance(team, offer.rates(spec), known))
    room, nearest = _room(team, offer.wanted(spec), known.snapshot)
    return Explanation((*gates, *room), nearest)


def _read(team: Team, offer: Offer, spec: InstanceSpec) -> Known:
    return Known(
        region=offer.region,
        type=offer.type,
        image=offer.image,
        rules=policies.rules_of(team.pk),
        book=prices.book_of(team.pk, products=[rate.product for rate in offer.rates(spec)]),
        wallet=None,
        snapshot=fleet.snapshot_of(fleet.in_planner_words(offer.wanted(spec))),
    )


def _asked(spec: InstanceSpec) -> str:
    return f"{spec.type} / {spec.image}"


def _role(actor: Actor, team: Team) -> Gate:
    allowed = actor.can(Permission.INSTANCE_CREATE, team.scope)
    message = _("Your role may launch instances.") if allowed else _("Your role may not launch instances.")
    return Gate("role", allowed, asked=str(Permission.INSTANCE_CREATE), message=message)


def _team(team: Team) -> Gate:
    active = team.state == TeamState.ACTIVE
    message = _("The team is active.") if active else _("The team is suspended or closed.")
    return Gate("team", active, asked=str(TeamState.ACTIVE), left=str(team.state), message=message)


def _region(offer: Offer) -> Iterator[Gate]:
    region = offer.region
    is_open = region.state == RegionState.OPEN
    yield Gate(
        "region",
        is_open,
        asked=region.slug,
        left=str(region.state),
        message=_("The region is open.") if is_open else _("The region takes nothing new at the moment."),
    )
    running = region.frozen_at is None
    yield Gate(
        "brake",
        running,
        asked=region.slug,
        message=_("The region is not frozen.")
        if running
        else _("The region is frozen until staff have looked."),
    )


def _balance(team: Team, rates: list[Rate], known: Known) -> Gate:
    try:
        quote = prices.quote_by(known.book, rates, currency=team.currency)
    except NoPrice as missing:
        return Gate("price", False, asked=known.type.product, message=str(missing.message))
    needed = quote.hourly * int(RESERVE_FOR.total_seconds()) / SECONDS_PER_HOUR
    wallet = known.wallet or Wallet.objects.filter(team_id=team.pk).first()
    free = wallet.available if wallet else ZERO
    enough = free >= needed
    words = {"needed": plain(round_up(needed, quote.currency)), "currency": quote.currency}
    message = (
        _("The balance covers it.") if enough else _("%(needed)s %(currency)s are needed to start.") % words
    )
    left = plain(round_minor(free, quote.currency))
    return Gate("balance", enough, asked=words["needed"], left=left, message=message)


def _room(team: Team, wanted: Wanted, snapshot: Snapshot) -> tuple[list[Gate], dict[str, object] | None]:
    ask, mine = fleet.in_planner_words(wanted), fleet.raw("team", team.pk)
    found = placement.plan(snapshot, ask, mine)
    gates = [_freshness(snapshot), _capacity(found, ask)]
    if found.candidates:
        return gates, None
    better = placement.nearest(snapshot, ask, mine)
    return gates, asdict(fleet.in_plain_words(better)) if better else None


def _freshness(snapshot: Snapshot) -> Gate:
    known = [node for node in snapshot.nodes if node.health == "healthy"]
    ok = bool(known)
    message = _("%(seen)s of %(all)s hosts were seen just now.") % {
        "seen": len(known),
        "all": len(snapshot.nodes),
    }
    return Gate("inventory", ok, left=str(len(known)), message=message)


def _capacity(found: Plan, ask: Wanted) -> Gate:
    asked = _("%(vcpus)s vCPUs, %(memory)s MiB, %(disk)s GiB, %(gpus)s GPUs") % {
        "vcpus": ask.vcpus,
        "memory": ask.memory_mib,
        "disk": ask.disk_gib,
        "gpus": ask.gpus,
    }
    count = len({one.node.id for one in found.candidates})
    if count:
        message = _("%(count)s hosts have room for it.") % {"count": count}
    else:
        reasons = ", ".join(f"{reason} ×{times}" for reason, times in sorted(found.rejected.items()))
        message = _("No host has room for it (%(reasons)s).") % {"reasons": reasons or _("no hosts")}
    return Gate("capacity", bool(count), asked=asked, left=str(count), message=message)
