"""What the steward (Django, one per host) and its workers (no Django, one per core) tell one another.

Frames are four bytes of length and JSON. Money is whole attos (10^-18) of the currency: exact, quick to
add, and soon more than the 64 bits that MessagePack has for a number. Ids are as everywhere: `team_01k…`.
"""

import msgspec

ATTO = 10**18
# The most that one frame may hold: a snapshot of a very large installation.
MOST_FRAME = 256 * 1024 * 1024
LEVELS = ("platform", "team", "workspace", "key")


class Message(msgspec.Struct, tag=True, array_like=True):
    """One frame."""


class KeyRow(msgspec.Struct, array_like=True, frozen=True):
    """A key that is known; `refusal` is the code of why it may not be used now, empty when it may.

    `models` is None when all are allowed. `requests` and `tokens` are the limits of the four levels, per
    minute and per day; -1 is none. `book` names the price list of the team. `is_apart` when a budget narrower
    than the team's limits what it spends: then its money is leased apart from that of the team's other keys.
    """

    hash: bytes
    id: str
    team_id: str
    workspace_id: str
    refusal: str
    models: list[str] | None
    networks: list[str]
    expires_at: float | None
    requests: tuple[int, int, int, int]
    tokens: tuple[int, int, int, int]
    book: str
    currency: str
    is_apart: bool = False


class PriceRow(msgspec.Struct, array_like=True, frozen=True):
    """Prices of a model in attos per token: input, cached, output, embedding; and as the book has them."""

    currency: str
    attos: tuple[int, int, int, int]
    prices: tuple[str, str, str, str]
    version_ids: tuple[str | None, ...]


class ProviderRow(msgspec.Struct, array_like=True, frozen=True):
    """An external provider: its name for the model, and networks beside the internet where it may stand."""

    model: str
    networks: list[str]


class ReplicaRow(msgspec.Struct, array_like=True, frozen=True):
    """An engine and how to reach it; `is_last`: when no other can answer."""

    id: str
    url: str
    api_key: str
    weight: int
    is_spot: bool
    is_last: bool
    region: str
    provider: ProviderRow | None = None


class RouteRow(msgspec.Struct, array_like=True, frozen=True):
    """An endpoint: who may name it how, and where its requests go."""

    endpoint_id: str
    team_id: str
    names: list[str]
    slug: str
    is_public: bool
    is_metered: bool
    only_embeds: bool
    policy: str
    digest: str
    context_length: int
    queue_limit: int
    can_wake: bool
    created_at: int
    replicas: list[ReplicaRow]
    counts_one: bool = False  # its engines say no more than what the first of several answers has used
    is_revoked: bool = False  # what it serves may be served no more
    revoked: list[str] = []  # replicas that serve what was revoked: their answers are cut


class Keys(Message):
    """Keys that are new or changed, and the hashes of those that are gone."""

    put: list[KeyRow]
    drop: list[bytes]


class Routes(Message):
    """All endpoints."""

    routes: list[RouteRow]


class Prices(Message):
    """All prices: book → model → price."""

    books: dict[str, dict[str, PriceRow]]


class Policy(Message):
    """What else the platform decides; `sharers` is how many workers share the limits when Redis is away."""

    without_redis: str
    sharers: int
    window_ms: int


class Want(Message):
    """A worker asks for money to spend: `need` at least, better `amount`. For a key that is apart, or for all
    others of the team: then workspace and key are empty."""

    team_id: str
    workspace_id: str
    key_id: str
    need: int
    amount: int


class Granted(Message):
    """A lease for whoever asked; `amount` may be less than was wanted, and 0 with a refusal's code.

    `words` say what is used up: the balance, or which budget.
    """

    team_id: str
    workspace_id: str
    key_id: str
    lease_id: str
    amount: int
    seconds: float
    refusal: str
    words: str = ""


class Renewed(Message):
    """A lease lasts for so much longer."""

    lease_id: str
    seconds: float


class Hold(Message):
    """A worker still uses the lease: keep it."""

    lease_id: str
    outstanding: int
    left: int


class GiveBack(Message):
    """A worker has no more use for the lease."""

    lease_id: str


class Recall(Message):
    """The steward asks for the team's idle money back."""

    team_id: str


class Recalled(Message):
    """What a worker keeps of its leases for requests under way: lease → attos."""

    team_id: str
    kept: dict[str, int]


class Wake(Message):
    """Somebody asks for an endpoint that sleeps."""

    endpoint_id: str


class Unhealthy(Message):
    """A replica has failed again and again."""

    replica_id: str
    reason: str


class ReceiptWanted(Message):
    """A caller asks for a receipt."""

    number: int
    key_id: str
    request_id: str


class ReceiptFound(Message):
    """The receipt as JSON; empty when there is none for this key, None when nobody could look."""

    number: int
    body: bytes | None


class Stats(Message):
    """What a worker has done and how it is, once a second."""

    counters: dict[str, float]
    gauges: dict[str, float]
    replicas: dict[str, str]


AnyMessage = (
    Keys
    | Routes
    | Prices
    | Policy
    | Want
    | Granted
    | Renewed
    | Hold
    | GiveBack
    | Recall
    | Recalled
    | Wake
    | Unhealthy
    | ReceiptWanted
    | ReceiptFound
    | Stats
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyMessage)


def pack(message: AnyMessage) -> bytes:
    """The message as one frame."""
    body = _encoder.encode(message)
    return len(body).to_bytes(4, "big") + body


class Frames:
    """Takes bytes as they come, gives whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[AnyMessage]:
        buffer = self._buffer
        buffer += data
        found, at = [], 0
        while len(buffer) - at >= 4:
            size = int.from_bytes(buffer[at : at + 4], "big")
            if size > MOST_FRAME:
                raise ValueError("a frame is too long")
            if len(buffer) - at - 4 < size:
                break
            found.append(_decoder.decode(bytes(buffer[at + 4 : at + 4 + size])))
            at += 4 + size
        del buffer[:at]
        return found
