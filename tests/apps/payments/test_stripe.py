"""Cards, payments, refunds and disputes through the official SDK, against a Stripe of our own."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal

import pytest
from django.db.models import Sum
from stripe import Webhook

from apps.billing.models import Posting, Transaction
from apps.billing.services import charging, grants, wallets
from apps.billing.services.grants import NewVoucher
from apps.billing.specs import Rate
from apps.core.actor import SYSTEM, Actor
from apps.core.errors import DomainError
from apps.core.ids import new_id
from apps.payments import reconcilers, services
from apps.payments.models import AutoTopUp, Dispute, Payment, PaymentMethod, Refund, WebhookEvent
from apps.payments.services import AutoWish, comparing, methods, paying
from apps.payments.specs import Wish
from tests.apps.payments.conftest import begin, look, save_card
from tests.apps.payments.double import DECLINED, POOR, START, Double
from tests.factories.billing import after, make_price, make_team, resource, wallet_of
from tests.factories.billing import begin as use
from tests.factories.invoicing import close, invoice_of, make_entity

pytestmark = pytest.mark.django_db
D = Decimal
ANNA = Actor("Anna", SYSTEM.grants, kind="user", user_id=new_id("usr"))
BERT = Actor("Bert", SYSTEM.grants, kind="user", user_id=new_id("usr"))


def test_a_top_up_is_paid_on_a_page_of_the_provider(team, stripe: Double):
    payment = begin(team)
    assert payment.state == "waiting"
    assert payment.pay_url.startswith("https://checkout.example/")
    stripe.pay(payment.external_id, DECLINED)
    assert look(payment).state == "waiting"
    stripe.pay(payment.external_id)
    look(payment)
    assert (payment.state, wallet_of(team).balance, payment.pay_url) == ("succeeded", D(50), "")
    look(payment)
    assert Transaction.objects.filter(kind="payment").count() == 1


def test_a_saved_card_is_charged_at_once(team, stripe: Double):
    _customer, _card = save_card(team, stripe)
    method = PaymentMethod.objects.get()
    assert (str(method), method.is_default) == ("visa ···· 4242", True)
    assert begin(team, "20", method_id=method.pk).state == "succeeded"
    assert wallet_of(team).balance == 20


@pytest.mark.parametrize(("last4", "code"), [(DECLINED, "generic_decline"), (POOR, "insufficient_funds")])
def test_a_declined_card_is_an_answer(team, stripe: Double, last4, code):
    save_card(team, stripe, last4)
    payment = begin(team, "20", method_id=PaymentMethod.objects.get().pk)
    assert (payment.state, payment.problem_code) == ("failed", code)
    assert wallet_of(team).balance == 0


def test_a_lost_answer_is_asked_for_again(team, stripe: Double):
    stripe.fails = 4
    payment = begin(team)
    assert (payment.state, payment.problem) == ("pending", "The payment provider does not answer.")
    look(payment)
    Payment.objects.filter(pk=payment.pk).update(external_id=None)
    look(payment)
    assert sum(one["object"] == "checkout.session" for one in stripe.rows.values()) == 1


def test_a_wrong_key_says_so(team, stripe: Double, settings):
    settings.STRIPE_SECRET_KEY = "sk_test_wrong"
    assert "does not accept our key" in begin(team).problem


def test_without_keys_the_rest_works(team, settings):
    with pytest.raises(DomainError) as refusal:
        services.begin_top_up(actor=SYSTEM, team=team, wish=Wish("stripe", D(5)))
    assert refusal.value.reason == "provider_not_configured"
    settings.FAKE_PAYMENTS = True
    payment = services.begin_top_up(actor=SYSTEM, team=team, wish=Wish("fake", D(5)))
    assert look(payment).state == "succeeded"
    unlucky = services.begin_top_up(actor=SYSTEM, team=team, wish=Wish("fake", D("5.13")))
    assert look(unlucky).problem_code == "card_declined"


@pytest.mark.parametrize("amount", ["0", "-5", "0.5", "5.001", "1000001", "NaN", "Infinity"])
def test_impossible_amounts_are_refused(team, stripe: Double, amount):
    with pytest.raises(DomainError):
        services.begin_top_up(actor=SYSTEM, team=team, wish=Wish("stripe", D(amount)))
    assert not Payment.objects.exists()


@pytest.mark.parametrize(("currency", "amount", "minor"), [("JPY", "5000", 5000), ("KWD", "5.12", 5120)])
def test_currencies_have_their_own_decimals(stripe: Double, currency, amount, minor):
    payment = begin(make_team(currency=currency), amount)
    assert stripe.rows[payment.external_id]["amount_total"] == minor
    stripe.pay(payment.external_id)
    assert look(payment).state == "succeeded"


def test_cards_pay_an_invoice_in_dinars_rounded_up(stripe: Double):
    make_entity(currency="KWD")
    make_price("type:small", "1.2345", currency="KWD")
    team = make_team("1", currency="KWD")
    machine = resource()
    use(team, machine, Rate("type:small"))
    charging.end(resource_id=machine, now=after(hours=2))
    close()
    invoice = invoice_of(team)
    due = invoice.amount_due
    assert due % D("0.01")
    payment = services.pay_invoice(actor=SYSTEM, invoice_id=invoice.pk, team=team, provider="stripe")
    stripe.pay(look(payment).external_id)
    assert look(payment).amount == due.quantize(D("0.01"), ROUND_CEILING)
    assert (invoice_of(team).state, wallet_of(team).balance) == ("paid", payment.amount - due)
    for amount in ("0.001", "-1", "NaN"):
        with pytest.raises(DomainError):
            services.request_refund(actor=ANNA, payment_id=payment.pk, amount=D(amount), reason="x")


def test_a_payment_that_was_called_off_may_still_arrive(team, stripe: Double):
    payment = begin(team)
    services.cancel_payment(actor=SYSTEM, payment_id=payment.pk)
    stripe.pay(payment.external_id)
    look(payment)
    assert (payment.state, wallet_of(team).balance) == ("succeeded", 50)
    other = begin(team)
    services.cancel_payment(actor=SYSTEM, payment_id=other.pk)
    look(other)
    assert stripe.rows[other.external_id]["status"] == "expired"


# ------------------------------------------------------------ refunds


@pytest.fixture
def paid(team, stripe: Double):
    payment = begin(team, "1000")
    stripe.pay(payment.external_id)
    return look(payment)


def test_a_small_refund_goes_back_to_the_card(paid, stripe: Double, team):
    refund = services.request_refund(actor=ANNA, payment_id=paid.pk, amount=D(100), reason="asked for")
    assert (refund.state, wallet_of(team).balance) == ("approved", 900)
    for _twice in range(2):
        reconcilers.reconcile_refund(refund_id=refund.pk)
    refund.refresh_from_db()
    assert (refund.state, stripe.rows[refund.external_id]["amount"]) == ("waiting", 10_000)
    stripe.settle_refund(refund.external_id)
    reconcilers.reconcile_refund(refund_id=refund.pk)
    refund.refresh_from_db()
    assert refund.state == "succeeded"
    assert sum(one["object"] == "refund" for one in stripe.rows.values()) == 1


def test_a_large_refund_needs_two_people(paid, team):
    refund = services.request_refund(actor=ANNA, payment_id=paid.pk, amount=D(501), reason="closing")
    assert (refund.state, wallet_of(team).balance) == ("requested", 1000)
    with pytest.raises(DomainError) as refusal:
        services.approve_refund(actor=ANNA, refund_id=refund.pk)
    assert refusal.value.reason == "needs_second_person"
    with pytest.raises(DomainError):
        services.request_refund(actor=BERT, payment_id=paid.pk, amount=D(500), reason="too much in all")
    services.approve_refund(actor=BERT, refund_id=refund.pk)
    assert wallet_of(team).balance == 499


def test_a_failed_refund_returns_to_the_balance(paid, stripe: Double, team):
    refund = services.request_refund(actor=ANNA, payment_id=paid.pk, amount=D(100), reason="asked for")
    reconcilers.reconcile_refund(refund_id=refund.pk)
    refund.refresh_from_db()
    stripe.settle_refund(refund.external_id, good=False)
    for _twice in range(2):
        reconcilers.reconcile_refund(refund_id=refund.pk)
    refund.refresh_from_db()
    paid.refresh_from_db()
    assert (refund.state, paid.refunded, wallet_of(team).balance) == ("failed", 0, 1000)


def test_only_what_is_on_the_balance_is_refunded(paid, team):
    wallets.set_credit_limit(actor=SYSTEM, team=team, amount=D(0))
    services.request_refund(actor=ANNA, payment_id=paid.pk, amount=D(400), reason="first")
    with pytest.raises(DomainError):
        services.request_refund(actor=ANNA, payment_id=paid.pk, amount=D("600.01"), reason="more than left")
    rejected = services.request_refund(actor=ANNA, payment_id=paid.pk, amount=D(600), reason="rest")
    services.reject_refund(actor=BERT, refund_id=rejected.pk)
    assert Refund.objects.filter(state="rejected").count() == 1
    assert wallet_of(team).balance == 600


# ------------------------------------------------------------ disputes


@pytest.mark.parametrize("won", [True, False])
def test_a_dispute_takes_the_money_until_it_is_decided(paid, stripe: Double, team, won):
    dispute = stripe.contest(paid.intent_id, 60_000)
    deliver_all(stripe)
    assert wallet_of(team).balance == 400
    stripe.decide(dispute, won=won)
    deliver_all(stripe)
    assert Dispute.objects.get().state == ("won" if won else "lost")
    assert wallet_of(team).balance == (1000 if won else 400)


def test_what_the_balance_cannot_cover_of_a_dispute_is_lost(paid, stripe: Double, team):
    services.request_refund(actor=ANNA, payment_id=paid.pk, amount=D(400), reason="first")
    dispute = stripe.contest(paid.intent_id, 100_000)
    deliver_all(stripe)
    assert wallet_of(team).balance == 0
    stripe.decide(dispute, won=True)
    deliver_all(stripe)
    assert wallet_of(team).balance == 600


def test_granted_credit_is_not_paid_out(paid, team):
    make_price("type:big", "600")
    machine = resource()
    use(team, machine, Rate("type:big"))
    charging.end(resource_id=machine, now=after(hours=1))
    _voucher, code = grants.create_voucher(actor=SYSTEM, new=NewVoucher("fair", "EUR", D(500)))
    grants.redeem(actor=SYSTEM, team=team, code=code)
    wallets.set_credit_limit(actor=SYSTEM, team=team, amount=D(50))
    asked = {"actor": ANNA, "payment_id": paid.pk, "reason": "closing"}
    with pytest.raises(DomainError) as refusal:
        services.request_refund(**asked, amount=D("400.01"))
    assert refusal.value.reason == "not_refundable"
    services.request_refund(**asked, amount=D(400))
    assert wallet_of(team).balance == 500


def test_what_a_cardholder_has_taken_back_is_not_refunded_as_well(paid, stripe: Double, team):
    refund = services.request_refund(actor=ANNA, payment_id=paid.pk, amount=D(501), reason="closing")
    dispute = stripe.contest(paid.intent_id, 100_000)
    deliver_all(stripe)
    with pytest.raises(DomainError) as refusal:
        services.approve_refund(actor=BERT, refund_id=refund.pk)
    assert refusal.value.reason == "not_refundable"
    refund.refresh_from_db()
    assert (refund.state, wallet_of(team).balance) == ("requested", 0)
    stripe.decide(dispute, won=True)
    deliver_all(stripe)
    services.approve_refund(actor=BERT, refund_id=refund.pk)
    assert wallet_of(team).balance == 499


# ------------------------------------------------------------ messages


def post(client, body: bytes, signature: str):
    return client.post(
        "/webhooks/stripe", body, content_type="application/json", headers={"Stripe-Signature": signature}
    )


def deliver_all(stripe: Double) -> None:
    for event in stripe.events:
        services.receive_message(actor=SYSTEM, payload=(sent := stripe.signed(event))[0], signature=sent[1])
    for message in WebhookEvent.objects.filter(processed_at=None).order_by("received_at"):
        reconcilers.process_message(message_id=message.pk)
    assert not WebhookEvent.objects.filter(processed_at=None).exists()


def test_a_message_is_kept_once_and_looked_into(team, stripe: Double, client):
    payment = begin(team)
    stripe.pay(payment.external_id)
    body, signature = stripe.signed(stripe.events[0])
    assert Webhook.construct_event(body, signature, "whsec_double").id == stripe.events[0]["id"]
    assert post(client, body, signature).json() == {"received": True, "new": True}
    assert post(client, body, signature).json() == {"received": True, "new": False}
    message = WebhookEvent.objects.get()
    assert message.deliveries == 2
    reconcilers.process_message(message_id=message.pk)
    assert wallet_of(team).balance == 50


def test_forged_messages_change_nothing(team, stripe: Double, client, settings):
    payment = begin(team)
    stripe.pay(payment.external_id)
    body, signature = stripe.signed(stripe.events[0])
    _body, late = stripe.signed(stripe.events[0], at=START)
    for wrong in (
        "",
        "t=1",
        "nonsense",
        signature.replace("v1=", "v1=0"),
        late,
        signature.replace("t=", "t=x"),
    ):
        assert post(client, body, wrong).status_code == 403
    assert post(client, body.replace(b"pi_", b"px_"), signature).status_code == 403
    for unreadable in ({}, [], {"id": 7, "type": "x", "data": {"object": {}}}, {"id": "e", "data": 1}):
        assert post(client, *stripe.signed(unreadable)).status_code == 422
    assert client.get("/webhooks/stripe").status_code == 405
    assert not WebhookEvent.objects.exists()
    settings.STRIPE_WEBHOOK_SECRET = ""
    assert post(client, body, signature).status_code == 503


def test_what_a_message_says_is_not_believed(team, stripe: Double):
    payment = begin(team)
    session = stripe.rows[payment.external_id]
    stripe.tell("checkout.session.completed", {**session, "payment_status": "paid", "status": "complete"})
    deliver_all(stripe)
    payment.refresh_from_db()
    assert (payment.state, wallet_of(team).balance) == ("waiting", 0)


def test_another_amount_than_was_asked_is_not_booked(team, stripe: Double):
    payment = begin(team)
    stripe.pay(payment.external_id)
    stripe.rows[payment.external_id]["amount_total"] = 1
    [message] = [event for event in stripe.events if event["type"].startswith("checkout")]
    body, signature = stripe.signed(message)
    services.receive_message(actor=SYSTEM, payload=body, signature=signature)
    reconcilers.process_message(message_id=WebhookEvent.objects.get().pk)
    assert "took 0.01 EUR" in WebhookEvent.objects.get().problem
    assert wallet_of(team).balance == 0


# ------------------------------------------------------------ cards and automatic top-ups


def auto(team, **wish) -> AutoTopUp:
    known = {"is_enabled": True, "threshold": D(10), "amount": D(25), "monthly_most": D(60)}
    return services.save_auto_top_up(actor=SYSTEM, team=team, wish=AutoWish(**{**known, **wish}))


def test_the_balance_is_topped_up_below_the_threshold(team, stripe: Double):
    with pytest.raises(DomainError):
        auto(team)
    save_card(team, stripe)
    auto(team)
    assert (reconcilers.top_up_low(), reconcilers.top_up_low()) == (1, 0)
    reconcilers.reconcile_due()
    assert wallet_of(team).balance == 25
    assert reconcilers.top_up_low() == 0
    auto(team, threshold=D(100))
    assert reconcilers.top_up_low() == 1
    reconcilers.reconcile_due()
    assert (wallet_of(team).balance, reconcilers.top_up_low()) == (50, 0)


def test_a_refused_card_pauses_automatic_top_ups(team, stripe: Double):
    save_card(team, stripe, POOR)
    auto(team)
    reconcilers.top_up_low()
    reconcilers.reconcile_due()
    assert "insufficient" in AutoTopUp.objects.get().paused_because
    assert reconcilers.top_up_low() == 0
    assert auto(team).paused_because == ""


@pytest.mark.parametrize("how", ["rejected", "cancelled"])
def test_an_automatic_top_up_that_came_to_nothing_is_not_begun_again(team, stripe: Double, how):
    save_card(team, stripe)
    auto(team)
    assert reconcilers.top_up_low() == 1
    begun = Payment.objects.get(is_automatic=True)
    if how == "rejected":
        paying.postpone(actor=SYSTEM, payment_id=begun.pk, problem="No such customer", is_final=True)
    else:
        services.cancel_payment(actor=SYSTEM, payment_id=begun.pk)
    assert reconcilers.top_up_low() == 0
    assert AutoTopUp.objects.get().paused_because


def test_a_removed_card_is_forgotten_at_the_provider_too(team, stripe: Double):
    _customer, card = save_card(team, stripe)
    save_card(team, stripe, "1111")
    first = PaymentMethod.objects.get(external_id=card)
    services.set_default_method(actor=SYSTEM, team=team, method_id=first.pk)
    services.remove_method(actor=SYSTEM, team=team, method_id=first.pk)
    assert PaymentMethod.objects.get(removed_at=None).is_default
    reconcilers.detach_removed()
    assert stripe.rows[card]["customer"] is None


def test_nobody_elses_card_can_be_used(team, stripe: Double):
    save_card(team, stripe)
    mine = PaymentMethod.objects.get().pk
    with pytest.raises(DomainError):
        services.begin_top_up(actor=SYSTEM, team=make_team(), wish=Wish("stripe", D(5), mine))
    assert methods.customer_of(team, "stripe").external_id


# ------------------------------------------------------------ the provider's books


def test_the_providers_books_agree_with_ours(paid, stripe: Double, team):
    refund = services.request_refund(actor=ANNA, payment_id=paid.pk, amount=D(100), reason="asked for")
    reconcilers.reconcile_refund(refund_id=refund.pk)
    stripe.contest(paid.intent_id, 20_000)
    deliver_all(stripe)
    stripe.payout(50_000)
    found = compare()
    assert (found.differences, found.checked) == ([], 4)
    assert clearing() == -(1000 - 100 - 200 - 500 - D("15.25") - 15)
    assert compare().booked == 0


def test_differences_are_shown_and_nothing_is_put_right(paid, stripe: Double, team):
    stripe.lines[0]["amount"] -= 1
    other = begin(team, "5")
    stripe.pay(other.external_id)
    kinds = {(one["kind"], one["provider"], one["ledger"]) for one in compare().differences}
    assert kinds == {("payment", "999.99 EUR", "1000 EUR"), ("payment", "5 EUR", "")}
    stripe.lines.clear()
    assert [one["provider"] for one in compare().differences] == [""]


def test_a_refund_that_the_provider_does_not_know_is_a_difference(paid, stripe: Double):
    refund = services.request_refund(actor=ANNA, payment_id=paid.pk, amount=D(100), reason="asked for")
    reconcilers.reconcile_refund(refund_id=refund.pk)
    refund.refresh_from_db()
    stripe.settle_refund(refund.external_id)
    reconcilers.reconcile_refund(refund_id=refund.pk)
    refund.refresh_from_db()
    around = {"since": refund.created_at, "until": refund.finished_at + timedelta(seconds=1)}
    [found] = comparing.reconcile(actor=SYSTEM, provider="stripe", lines=[], **around).differences
    assert (found["kind"], found["source"], found["ledger"]) == ("refund", refund.external_id, "100 EUR")


def test_refunds_in_a_currency_without_a_limit_need_two_people(paid, settings):
    settings.REFUND_APPROVAL_ABOVE = {"USD": "500"}
    refund = services.request_refund(actor=ANNA, payment_id=paid.pk, amount=D(1), reason="asked for")
    assert refund.state == "requested"


def compare():
    return reconcilers.reconcile_books(now=datetime.fromtimestamp(START, UTC) + timedelta(days=1))


def clearing() -> Decimal:
    return Posting.objects.filter(account__kind="payment_clearing").aggregate(s=Sum("amount"))["s"]
