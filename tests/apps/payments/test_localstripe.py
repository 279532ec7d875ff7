"""Where localstripe can do it, it agrees with our own double: customers, cards, payments, refunds."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest

from apps.drivers.errors import Rejected
from apps.drivers.payments import Charge, Outcome, PaymentDriver
from apps.drivers.stripe.config import StripeConfig
from apps.drivers.stripe.driver import StripeDriver
from tests.apps.payments import double

PATIENCE = 90
PROGRAM = """
import sys
from aiohttp import web
from localstripe import server
web.run_app(server.app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def localstripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """It, as a process on loopback that ends with the tests."""
    where, port = tmp_path_factory.mktemp("localstripe"), free_port()
    with (where / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(port)],
            cwd=where, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield wait_for(process, f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


def wait_for(process: "subprocess.Popen[bytes]", url: str) -> str:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert process.poll() is None, "localstripe does not start"
        try:
            httpx.get(f"{url}/v1/customers", auth=("sk_test_12345", ""), timeout=5)
        except httpx.HTTPError:
            time.sleep(0.1)
            continue
        return url
    raise AssertionError("localstripe does not answer")


@pytest.fixture(params=["localstripe", "double"])
def driver(request: pytest.FixtureRequest) -> Iterator[PaymentDriver]:
    """The same driver against either."""
    if request.param == "double":
        server = double.Server()
        yield StripeDriver(StripeConfig(secret_key=double.KEY, api_url=server.url))
        server.stop()
    else:
        url = request.getfixturevalue("localstripe")
        yield StripeDriver(StripeConfig(secret_key="sk_test_12345", api_url=url))


def card_for(driver: PaymentDriver, customer: str, number: str) -> str:
    """A card as the provider's page would save it."""
    client = driver._client  # type: ignore[attr-defined]
    card = {"number": number, "exp_month": "12", "exp_year": "2040", "cvc": "123"}
    made = client.payment_methods.create({"type": "card", "card": card})
    client.payment_methods.attach(made.id, {"customer": customer})
    return str(made.id)


def charge(customer: str, method: str, key: str) -> Charge:
    # What localstripe does not know, such as a description, is left out here.
    return Charge(key, customer, 2500, "EUR", "", "https://example.com", method)


def test_a_card_is_charged_and_refunded(driver: PaymentDriver) -> None:
    customer = driver.customer(key="pcu_1", name="Kestrel", email="books@example.com")
    method = card_for(driver, customer, "4242424242424242")
    [card] = driver.cards(customer)
    assert (card.id, card.last4, card.expires) == (method, "4242", "12/2040")
    paid = driver.start(charge(customer, method, "pay_1"))
    assert (paid.outcome, paid.amount, paid.currency, paid.key) == (Outcome.SUCCEEDED, 2500, "EUR", "pay_1")
    assert driver.payment(paid.id).outcome == Outcome.SUCCEEDED
    refund = driver.refund(key="rfd_1", intent=paid.intent, amount=1000)
    assert (refund.amount, refund.currency, refund.key) == (1000, "EUR", "rfd_1")
    assert refund.outcome in (Outcome.SUCCEEDED, Outcome.WAITING)
    assert driver.refund_seen(refund.id).id == refund.id
    driver.detach(method)
    assert driver.cards(customer) == []


def test_a_declined_card_is_not_charged(driver: PaymentDriver) -> None:
    """localstripe leaves out the intent that the real one and our double name: then it is a refusal."""
    customer = driver.customer(key="pcu_2", name="Heron", email="")
    method = card_for(driver, customer, "4000000000000341")
    try:
        outcome = driver.start(charge(customer, method, "pay_2")).outcome
    except Rejected:
        outcome = Outcome.FAILED
    assert outcome == Outcome.FAILED
