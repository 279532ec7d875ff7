"""What workers must know, read from the database: keys with their limits, endpoints, prices."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection

from apps.billing.services import tokens
from apps.core import statements
from apps.core.clock import db_now
from apps.core.ids import encode
from apps.core.permissions import GRANTS, Permission, Role
from apps.gateway import messages
from apps.gateway.messages import ATTO
from apps.inference.selectors import limits, routes
from apps.inference.services import endpoints, replicas
from apps.inference.states import ROUTABLE, Metering, Visibility
from apps.registry.states import Modality
from apps.teams.states import TeamState

MILLION = 1_000_000
_T = TypeVar("_T")

_KEYS = """
    SELECT k.id, k.hash, k.scopes, k.allowed_networks, k.models, extract(epoch FROM k.expires_at)::float8,
           k.team_id, coalesce(k.workspace_id, w.id), m.role, t.state, wallet.currency,
           EXISTS (SELECT FROM billing_budget b WHERE b.team_id = k.team_id AND b.removed_at IS NULL
                      AND b.action <> 'notify' AND b.level <> 'team'
                      AND b.subject_id IN (k.id, k.user_id, coalesce(k.workspace_id, w.id)))
      FROM teams_apikey k
      JOIN users_user u ON u.id = k.user_id
      LEFT JOIN teams_team t ON t.id = k.team_id
      LEFT JOIN teams_membership m ON m.team_id = k.team_id AND m.user_id = k.user_id
      LEFT JOIN billing_wallet wallet ON wallet.team_id = k.team_id
      LEFT JOIN LATERAL (
          SELECT id FROM teams_workspace WHERE team_id = k.team_id ORDER BY created_at, id LIMIT 1
      ) AS w ON k.workspace_id IS NULL
     WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
       AND u.is_active AND NOT k.single_use
"""
# What changes without an audit record is which engines are ready.
_NEWEST = """
    SELECT concat_ws(' ', (SELECT id FROM audit_record ORDER BY id DESC LIMIT 1), (
        SELECT md5(string_agg(concat_ws(' ', id, desired, url, noticed_at), ' ' ORDER BY id))
          FROM inference_replica WHERE state = ANY(%s)))
"""


Books = dict[str, dict[str, messages.PriceRow]]


@dataclass(frozen=True)
class Prices:
    """Every price of tokens in force, and by which book each team pays."""

    books: Books
    teams: Mapping[str, str]


def read() -> tuple[list[messages.RouteRow], Books, dict[bytes, messages.KeyRow]]:
    """All there is to know: endpoints, prices by book, keys; the keys are the newest."""
    routes, prices = read_routes(), read_prices()
    return routes, prices.books, read_keys(prices.teams)


def read_keys(books: Mapping[str, str]) -> dict[bytes, messages.KeyRow]:
    """Every key that is not over, by the hash of its secret; why some may not be used is said with them."""
    effective = limits.effective()
    with connection.cursor() as cursor:
        cursor.execute(_KEYS)
        rows = cursor.fetchall()
    found = [_key(row, effective, books) for row in rows]
    return {row.hash: row for row in found}


def _key(row: tuple[Any, ...], effective: limits.Effective, books: Mapping[str, str]) -> messages.KeyRow:
    key, digest, scopes, networks, models, expires_at, team, workspace, role, state, currency, is_apart = row
    key_id = encode("key", key)
    team_id = encode("team", team) if team else ""
    workspace_id = encode("wks", workspace) if workspace else ""
    requests, daily = effective.of(team_id, workspace_id, key_id)
    return messages.KeyRow(
        hash=bytes.fromhex(str(digest)),
        id=key_id,
        team_id=team_id,
        workspace_id=workspace_id,
        refusal=_refusal(team_id, str(role or ""), str(state or ""), scopes),
        models=list(models) if models else None,
        networks=list(networks),
        expires_at=expires_at,
        requests=requests,
        tokens=daily,
        book=books.get(team_id, ""),
        currency=currency or "",
        is_apart=is_apart,
    )


def _refusal(team_id: str, role: str, state: str, scopes: Iterable[str]) -> str:
    """The code of why a key may not be used for inference; empty when it may."""
    if not team_id:
        return "no_team"
    if state != TeamState.ACTIVE:
        return "team_suspended"
    held = GRANTS[Role(role)] if role else frozenset()
    allowed = Permission.INFERENCE_USE in held and str(Permission.INFERENCE_USE) in scopes
    return "" if allowed else "not_permitted"


def read_routes() -> list[messages.RouteRow]:
    """Every endpoint that can be named, with the engines that serve it."""
    return [
        messages.RouteRow(
            endpoint_id=one.endpoint_id,
            team_id=one.team_id or "",
            names=list(one.names),
            slug=one.price_slug,
            is_public=one.visibility == Visibility.PUBLIC,
            is_metered=one.metering == Metering.TOKENS,
            only_embeds=one.modality == Modality.EMBEDDING,
            policy=one.policy,
            digest=one.digest,
            context_length=one.context_length,
            queue_limit=one.queue_limit,
            can_wake=one.can_wake,
            created_at=int(one.created_at),
            replicas=[
                messages.ReplicaRow(
                    r.replica_id, r.url, r.api_key, r.weight, r.is_spot, r.is_last, r.region, _provider(r)
                )
                for r in one.replicas
            ],
            counts_one=one.counts_one,
            is_revoked=one.is_revoked,
            revoked=list(one.revoked),
        )
        for one in routes.table()
    ]


def _provider(replica: routes.RouteReplica) -> messages.ProviderRow | None:
    model = replica.provider_model
    return messages.ProviderRow(model, settings.PROVIDER_NETWORKS) if model else None


def read_prices() -> Prices:
    table = tokens.price_table(db_now())
    books = {
        book: {slug: _price(one) for slug, one in prices.items()} for book, prices in table.books.items()
    }
    return Prices(books, table.teams)


def _price(prices: tokens.TokenPrices) -> messages.PriceRow:
    four = (prices.input, prices.cached, prices.output, prices.embedding)
    return messages.PriceRow(
        currency=prices.currency,
        attos=_four(map(attos_per_token, four)),
        prices=_four(map(str, four)),
        version_ids=prices.version_ids,
    )


def _four(values: Iterable[_T]) -> tuple[_T, _T, _T, _T]:
    into, cached, out, embedding = values
    return into, cached, out, embedding


def attos_per_token(price: Decimal) -> int:
    """A price per million tokens, per token; prices have twelve decimals, so this is exact."""
    return int(price * ATTO) // MILLION


def newest_change() -> str:
    """Changes with every audited change, and with the engines that are ready."""
    return str(statements.fetch_one(_NEWEST, [list(ROUTABLE)])[0])


def wake(endpoint_id: str) -> None:
    """Somebody asks for an endpoint that sleeps."""
    endpoints.wake(endpoint_id=endpoint_id)


def report_unhealthy(replica_id: str, reason: str) -> None:
    """A hint to whoever probes replicas."""
    replicas.report_unhealthy(replica_id=replica_id, reason=reason)
