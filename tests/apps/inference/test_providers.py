"""External providers as replicas: staff's to add and remove, looked at, and never steered."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from apps.audit.models import Record
from apps.billing.selectors.tokens import price_table
from apps.billing.services import provided
from apps.billing.specs import TokenRate
from apps.core.actor import SYSTEM
from apps.core.clock import db_now
from apps.core.errors import Invalid, NotFound, NotPermitted
from apps.core.permissions import Role
from apps.drivers.egress import networks_of
from apps.inference import reconcilers
from apps.inference.errors import BadEndpoint, NameTaken, WrongState
from apps.inference.models import Endpoint, Replica, Revision
from apps.inference.selectors import reading, routes
from apps.inference.services import endpoints, fleet, providers, replicas
from apps.inference.specs import ProvidedSpec, ProviderChange, ProviderSpec, check_provider
from apps.operations.models import Event
from tests.factories import inference as made
from tests.factories.inference import bring_about, make_stage, make_version, steer, work_off
from tests.factories.teams import actor_of, member_of
from tests.gateway import engine as engines
from tests.gateway.engine import Plan

pytestmark = pytest.mark.django_db
KEY = "sk-their-secret-key"


@pytest.fixture
def stage(tmp_path):
    found = make_stage(tmp_path)
    found.version = make_version()
    return found


@pytest.fixture
def provider():
    with engines.running() as found:
        yield found


def add(endpoint, url, *, actor=SYSTEM, **fields):
    spec = ProviderSpec(**{"url": f"{url}/v1", "model": "their-model", "api_key": KEY, **fields})
    return providers.add_provider(actor=actor, endpoint_id=str(endpoint.pk), spec=spec)


def route_of(endpoint):
    return next(one for one in routes.table() if one.endpoint_id == str(endpoint.pk))


def test_a_provider_serves_once_it_has_shown_that_it_answers(stage, provider):
    endpoint = stage.ready(public=True)
    replica = add(endpoint, provider.url)
    assert len(route_of(endpoint).replicas) == 1
    bring_about(replica)
    assert (replica.state, replica.url) == ("ready", f"{provider.url}/v1")
    look = provider.looks[0]
    assert look.startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert f"Bearer {KEY}".encode() in look
    own, theirs = route_of(endpoint).replicas
    assert (own.provider_model, own.is_last) == ("", False)
    assert (theirs.provider_model, theirs.is_last, theirs.api_key) == ("their-model", True, KEY)


def test_the_key_is_sealed_and_told_to_nobody(stage, provider):
    endpoint = stage.ready(public=True)
    replica = add(endpoint, provider.url)
    bring_about(replica)
    assert KEY not in repr(ProviderSpec("https://x/v1", "m", KEY))
    told = [str(row) for row in Record.objects.values_list("data", flat=True)]
    told += [str(row) for row in Event.objects.values_list("data", flat=True)]
    told += [str(row) for row in Replica.objects.values()]
    assert not [one for one in told if KEY in one]


def test_steering_leaves_providers_alone(stage, provider):
    """Neither counted nor made nor removed, whatever becomes of our own."""
    endpoint = stage.ready(public=True, scale={"least": 1, "most": 3})
    replica = add(endpoint, provider.url)
    bring_about(replica)
    for least in (3, 1):
        type(endpoint).objects.filter(pk=endpoint.pk).update(min_replicas=least, wanted=least)
        work_off(endpoint, seconds=10)
        own = [one for one in made.replicas(endpoint, "ready") if one.kind == "sim"]
        assert len(own) == least
        assert reading.list_endpoints(actor=SYSTEM).get(pk=endpoint.pk).ready_count == least
    for one in own:
        replicas.let_go(ids=[str(one.pk)])
    work_off(endpoint, seconds=10)
    replica.refresh_from_db()
    assert (replica.state, replica.desired) == ("ready", "running")
    with pytest.raises(WrongState):
        replicas.replace_replica(actor=SYSTEM, replica_id=str(replica.pk))


def test_only_a_provider_does_not_keep_an_endpoint_from_being_woken(stage, provider):
    endpoint = stage.ready(public=True, scale={"least": 0, "most": 1, "idle_seconds": 60})
    bring_about(add(endpoint, provider.url))
    assert not route_of(endpoint).can_wake
    type(endpoint).objects.filter(pk=endpoint.pk).update(wanted=0)
    work_off(endpoint, seconds=10)
    assert endpoint.state == "scaled_to_zero"
    (only,) = route_of(endpoint).replicas
    assert (only.provider_model, route_of(endpoint).can_wake) == ("their-model", True)


def test_a_provider_that_fails_is_left_out_and_comes_back(stage, provider):
    endpoint = stage.ready(public=True)
    provider.plan = Plan(status=401)
    replica = add(endpoint, provider.url)
    assert bring_about(replica).state == "pending"
    assert replica.message == "The provider refuses the key."
    provider.plan = Plan()
    assert bring_about(replica).state == "ready"
    assert replica.message == ""
    provider.plan = Plan(status=503)
    reconcilers.watch_providers()
    assert bring_about(replica).state == "ready"  # not for one bad look
    assert bring_about(replica, minutes=2).state == "unhealthy"
    assert len(route_of(endpoint).replicas) == 1
    assert steer(endpoint).state == "ready"
    provider.plan = Plan()
    assert bring_about(replica).state == "ready"


def test_an_answer_that_does_not_come_proves_nothing(stage):
    endpoint = stage.ready(public=True)
    with engines.running() as gone:
        url = gone.url
    replica = bring_about(add(endpoint, url))
    assert (replica.state, replica.message) == ("pending", "The provider does not answer.")
    assert KEY not in replica.last_error


def test_removal_needs_nobodys_proof_but_ours(stage, provider):
    endpoint = stage.ready(public=True)
    replica = bring_about(add(endpoint, provider.url))
    provider.die()
    providers.remove_provider(actor=SYSTEM, replica_id=str(replica.pk))
    assert len(route_of(endpoint).replicas) == 1
    bring_about(replica)
    assert (replica.state, replica.absence["provider"]) == ("stopped", replica.url)
    assert replica.released_at is not None


def test_an_endpoint_that_goes_takes_its_providers_along(stage, provider):
    endpoint = stage.ready(public=True)
    replica = bring_about(add(endpoint, provider.url))
    endpoints.delete_endpoint(actor=SYSTEM, endpoint_id=str(endpoint.pk))
    assert work_off(endpoint, seconds=10).state == "deleted"
    replica.refresh_from_db()
    assert replica.state == "stopped"
    with pytest.raises(NotFound):
        add(endpoint, provider.url)


def test_what_was_revoked_is_not_answered_by_a_provider_either(stage, provider):
    endpoint = stage.ready(public=True)
    bring_about(add(endpoint, provider.url))
    Revision.objects.filter(endpoint=endpoint).update(is_revoked=True)
    route = route_of(endpoint)
    assert (route.replicas, route.can_wake) == ((), False)


def test_a_fallback_takes_nothing_from_a_canarys_share(stage, provider):
    endpoint = stage.ready(public=True)
    bring_about(add(endpoint, provider.url))
    own, theirs = (one.weight for one in route_of(endpoint).replicas)
    assert own == theirs == routes.WEIGHT
    bring_about(add(endpoint, provider.url, model="another", is_fallback=False))
    assert [one.is_last for one in route_of(endpoint).replicas] == [False, True, False]


def test_who_may_not_add_or_remove_is_refused(stage, provider):
    endpoint = stage.ready(public=True)
    viewer = actor_of(stage.team, member_of(stage.team, Role.TEAM_ADMIN))
    with pytest.raises((NotFound, NotPermitted)):
        add(endpoint, provider.url, actor=viewer)
    replica = add(endpoint, provider.url)
    with pytest.raises((NotFound, NotPermitted)):
        providers.remove_provider(actor=viewer, replica_id=str(replica.pk))
    (own,) = made.replicas(endpoint, "ready")
    with pytest.raises(NotFound):
        providers.remove_provider(actor=SYSTEM, replica_id=str(own.pk))
    with pytest.raises(WrongState):
        add(endpoint, provider.url)


def test_a_teams_prompts_do_not_leave_the_house(stage, provider):
    stage.version = make_version(stage.team)
    endpoint = stage.ready()
    with pytest.raises(BadEndpoint):
        add(endpoint, provider.url)
    replica = made.replicas(endpoint)[0]
    with pytest.raises(IntegrityError), transaction.atomic():
        Replica.objects.filter(pk=replica.pk).update(provider_model="theirs")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"url": "ftp://api.example.com/v1"}, "url"),
        ({"url": "https://user:pass@api.example.com/v1"}, "url"),
        ({"url": "https://api.example.com/v1?key=1"}, "url"),
        ({"url": "https://api.example.com\r\nX: y/v1"}, "url"),
        ({"url": "https://api.example.com:0/v1"}, "url"),
        ({"url": "https://api.example.com:99999/v1"}, "url"),
        ({"url": "https://a..b/v1"}, "url"),
        ({"url": "https://169.254.169.254/v1"}, "url"),
        ({"url": "https://[fe80::1]/v1"}, "url"),
        ({"url": "https://[::ffff:169.254.169.254]/v1"}, "url"),
        ({"url": "https://10.0.0.1/v1"}, "url"),
        ({"url": "http://93.184.216.34/v1"}, "url"),
        ({"model": ""}, "model"),
        ({"model": "a\nb"}, "model"),
        ({"api_key": "a b"}, "api_key"),
        ({"api_key": "a\r\nX-Evil: 1"}, "api_key"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_its_field(fields, field):
    spec = ProviderSpec(
        **{"url": "https://api.example.com/v1", "model": "their-model", "api_key": KEY, **fields}
    )
    with pytest.raises(BadEndpoint) as refused:
        check_provider(spec, networks_of(["127.0.0.0/8"]))
    assert refused.value.field == field


def test_without_tls_only_known_networks_are_spoken_to(stage, settings, provider):
    endpoint = stage.ready(public=True)
    replica = add(endpoint, provider.url)
    settings.PROVIDER_NETWORKS = []
    with pytest.raises(BadEndpoint):
        add(endpoint, provider.url, model="another")
    bring_about(replica)
    assert (replica.state, provider.looks) == ("pending", [])
    assert replica.message == "The provider's address leads to where we must not go."


# ------------------------------------------------------------------ without an engine of our own


def provide(stage, url, **fields):
    spec = ProvidedSpec(**{"slug": "theirs", "region": stage.region.slug, "context_length": 8192, **fields})
    provider = ProviderSpec(f"{url}/v1", "their-model", KEY, is_fallback=False)
    return providers.create_provided(actor=SYSTEM, spec=spec, provider=provider)


def test_providers_alone_may_answer_for_an_endpoint(stage, provider):
    """It is made without a model or hardware, follows how its providers are, and is never steered."""
    endpoint = provide(
        stage, provider.url, currency="EUR", prices={"input": Decimal(1), "output": Decimal(3)}
    )
    (replica,) = made.replicas(endpoint)
    assert steer(endpoint).state == "deploying"
    bring_about(replica)
    assert steer(endpoint).state == "ready"
    route = route_of(endpoint)
    assert (route.context_length, route.digest, route.can_wake) == (8192, "", False)
    assert [one.provider_model for one in route.replicas] == ["their-model"]
    prices = price_table(db_now()).of(stage.team.pk, "theirs")
    assert (prices.input, prices.output) == (1, 3)
    second = bring_about(add(endpoint, provider.url, model="another"))
    provider.plan = Plan(status=503)
    for one in (replica, second):
        bring_about(one)
        assert bring_about(one, minutes=2).state == "unhealthy"
    later = db_now() + timedelta(minutes=10)
    for _look in range(3):
        fleet.steer(endpoint_id=str(endpoint.pk), load=None, now=later)
    endpoint.refresh_from_db()
    assert endpoint.state == "degraded"
    assert [one.desired for one in made.replicas(endpoint)] == ["running", "running"]
    assert not endpoints.wake(endpoint_id=str(endpoint.pk))
    endpoints.delete_endpoint(actor=SYSTEM, endpoint_id=str(endpoint.pk))
    assert work_off(endpoint, seconds=10).state == "deleted"


def test_who_may_not_serve_from_a_provider_is_refused(stage, provider):
    with pytest.raises(BadEndpoint):
        provide(stage, "ftp://nowhere")
    assert not Endpoint.objects.exists()
    endpoint = provide(stage, provider.url)
    with pytest.raises(NameTaken):
        provide(stage, provider.url)
    with pytest.raises(IntegrityError), transaction.atomic():
        Endpoint.objects.filter(pk=endpoint.pk).update(context_length=0)
    viewer = actor_of(stage.team, member_of(stage.team, Role.TEAM_ADMIN))
    spec = ProvidedSpec(slug="another", region=stage.region.slug, context_length=1)
    with pytest.raises(NotPermitted):
        providers.create_provided(
            actor=viewer, spec=spec, provider=ProviderSpec("https://x.example/v1", "m", "")
        )


# ------------------------------------------------------------------ another key


def test_a_new_key_is_used_once_it_has_been_proven(stage, provider):
    endpoint = stage.ready(public=True)
    replica = bring_about(add(endpoint, provider.url))
    provider.plan = Plan(key=KEY)
    change = ProviderChange(api_key="sk-the-next")
    providers.change_provider(actor=SYSTEM, replica_id=str(replica.pk), change=change)
    bring_about(replica)
    assert (replica.state, replica.secret, replica.next_secret) == ("ready", KEY, "sk-the-next")
    assert "The provider refuses the key." in replica.message
    bring_about(replica)
    assert Event.objects.filter(type="replica.key_not_taken").count() == 1
    provider.plan = Plan(key="sk-the-next")
    bring_about(replica)
    assert (replica.state, replica.secret, replica.next_key, replica.message) == (
        "ready", "sk-the-next", "", "",
    )  # fmt: skip
    said = list(Record.objects.filter(action__startswith="replica.key").order_by("pk"))
    assert [one.action for one in said] == ["replica.key_given", "replica.key_replaced"]
    assert "sk-the-next" not in str([one.data for one in said])


def test_what_a_provider_charges_may_change(stage, provider):
    endpoint = stage.ready(public=True)
    rate = TokenRate("USD", Decimal("0.15"), Decimal("0.075"), Decimal("0.60"))
    replica = add(endpoint, provider.url, rate=rate)
    assert provided.rate_of(str(replica.pk)).output == Decimal("0.60")
    change = ProviderChange(is_fallback=False, rate=replace(rate, output=Decimal("0.50")))
    providers.change_provider(actor=SYSTEM, replica_id=str(replica.pk), change=change)
    replica.refresh_from_db()
    assert (replica.is_fallback, provided.rate_of(str(replica.pk)).output) == (False, Decimal("0.50"))
    for wrong in (replace(rate, currency="usd"), replace(rate, input=Decimal(-1))):
        with pytest.raises(Invalid):
            providers.change_provider(
                actor=SYSTEM, replica_id=str(replica.pk), change=ProviderChange(rate=wrong)
            )
    providers.remove_provider(actor=SYSTEM, replica_id=str(replica.pk))
    with pytest.raises(WrongState):
        providers.change_provider(actor=SYSTEM, replica_id=str(replica.pk), change=change)
