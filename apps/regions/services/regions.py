"""Regions begin, change their state, are frozen and thawed."""

import re
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apps.audit import services as audit
from apps.core.actor import SYSTEM, Actor
from apps.core.clock import db_now
from apps.core.errors import Conflict, Invalid
from apps.core.permissions import Permission
from apps.operations import services as operations
from apps.regions.models import Region, Zone
from apps.regions.states import REGION

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TEXTS = {"name": 80, "location": 120, "country": 2}


@transaction.atomic
def create_region(*, actor: Actor, slug: str, name: str, location: str = "", country: str = "") -> Region:
    """Make a region; its slug stands in addresses and never changes."""
    actor.require(Permission.REGION_MANAGE)
    region = Region(
        slug=valid_slug(slug),
        name=_text("name", name),
        location=location.strip()[:120],
        country=country.strip().upper()[:2],
    )
    _insert(region, _("There is a region of that address already."))
    audit.record(actor=actor, action="region.created", target=region, region_id=region.pk)
    _tell(region, "region.created")
    return region


@transaction.atomic
def update_region(*, actor: Actor, region: Region, changes: dict[str, Any]) -> Region:
    """Change name, location, country or the brake's share."""
    actor.require(Permission.REGION_MANAGE)
    region = _locked(region)
    before = {name: getattr(region, name) for name in changes}
    for name, value in changes.items():
        if name in _TEXTS:
            value = _text(name, value) if name == "name" else str(value).strip()[: _TEXTS[name]]
        elif name != "brake_percent":
            raise Invalid(_("This cannot be changed."), field=name)
        elif not 1 <= int(value) <= 100:
            raise Invalid(_("The brake is a share from 1 to 100 percent."), field=name)
        setattr(region, name, value)
    region.save(update_fields=[*changes])
    audit.record(
        actor=actor, action="region.updated", target=region, region_id=region.pk, before=before, after=changes
    )
    _tell(region, "region.updated")
    return region


@transaction.atomic
def move_region(*, actor: Actor, region: Region, event: str) -> Region:
    """Open, limit, maintain or close a region."""
    actor.require(Permission.REGION_MANAGE)
    region = _locked(region)
    region.state = REGION.target(event, region.state)
    region.save(update_fields=["state"])
    audit.record(actor=actor, action=f"region.{event}", target=region, region_id=region.pk)
    _tell(region, f"region.{region.state}")
    return region


@transaction.atomic
def freeze_region(*, actor: Actor, region: Region, reason: str = "") -> Region:
    """Touch nothing in the region until somebody unfreezes it; what runs goes on."""
    actor.require(Permission.REGION_FREEZE, region.scope)
    return _freeze(actor, _locked(region), reason.strip()[:200] or _("By hand."))


@transaction.atomic
def unfreeze_region(*, actor: Actor, region: Region) -> Region:
    """Somebody looked: trust the platform's sight again. Nodes lost before now pull no brake."""
    actor.require(Permission.REGION_FREEZE, region.scope)
    region = _locked(region)
    if region.frozen_at is None:
        raise Conflict(_("The region is not frozen."), code="not_frozen")
    region.frozen_at, region.frozen_because, region.thawed_at = None, "", db_now()
    region.save(update_fields=["frozen_at", "frozen_because", "thawed_at"])
    audit.record(actor=actor, action="region.unfrozen", target=region, region_id=region.pk)
    _tell(region, "region.unfrozen")
    return region


@transaction.atomic
def pull_brake(*, actor: Actor = SYSTEM, region_id: str, reason: str) -> bool:
    """Freeze the region because too much of it went out of sight; False when it is frozen already."""
    actor.require(Permission.REGION_FREEZE)
    region = Region.objects.select_for_update(of=("self",), no_key=True).get(pk=region_id)
    if region.frozen_at is not None:
        return False
    _freeze(actor, region, reason)
    return True


@transaction.atomic
def create_zone(*, actor: Actor, region: Region, slug: str, name: str) -> Zone:
    actor.require(Permission.REGION_MANAGE)
    zone = Zone(region=region, slug=valid_slug(slug), name=_text("name", name))
    _insert(zone, _("There is a zone of that address already."))
    audit.record(actor=actor, action="zone.created", target=zone)
    return zone


def valid_slug(slug: str) -> str:
    """A short name for addresses; raises Invalid."""
    slug = slug.strip().lower()
    if not 1 <= len(slug) <= 40 or not _SLUG.fullmatch(slug):
        raise Invalid(_("Use 1 to 40 small letters, digits and single dashes."), field="slug")
    return slug


def _freeze(actor: Actor, region: Region, reason: str) -> Region:
    if region.frozen_at is not None:
        raise Conflict(_("The region is frozen already."), code="already_frozen")
    region.frozen_at, region.frozen_because = db_now(), reason
    region.save(update_fields=["frozen_at", "frozen_because"])
    audit.record(actor=actor, action="region.frozen", target=region, region_id=region.pk, reason=reason)
    _tell(region, "region.frozen", reason=reason)
    return region


def _text(field: str, value: str) -> str:
    value = " ".join(str(value).split())
    if not 1 <= len(value) <= _TEXTS[field] or not value.isprintable():
        raise Invalid(_("It has 1 to %(most)s characters.") % {"most": _TEXTS[field]}, field=field)
    return value


def _insert(row: Region | Zone, message: str) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(message, code="slug_taken", field="slug") from error


def _locked(region: Region) -> Region:
    found: Region = Region.objects.select_for_update(of=("self",), no_key=True).get(pk=region.pk)
    return found


def _tell(region: Region, event: str, **about: Any) -> None:
    operations.emit(
        type=event,
        subject=region.pk,
        region_id=region.pk,
        data={"name": region.name, "state": region.state, **about},
    )
