"""Does this model fit these GPUs? Weights, key-value cache and overhead against memory; pure arithmetic.

An estimate, on the safe side by a few per cent: engines differ, and the first launch has the last word.
All sizes are GiB unless named otherwise.
"""

from dataclasses import dataclass

GIB = 1024**3
# What an engine leaves free: fragmentation, the driver's own context, libraries.
USABLE = 0.92
CONTEXT_GIB = 0.7
# Activations of one forward pass: prompts are processed in pieces of this many tokens.
PIECE = 2048
# What rounding may cost: a kilobyte.
A_BIT = 1e-6
ACTIVATION_COPIES = 12
LARGEST_TENSOR_PARALLEL = 8


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a model decides about memory. `kv_bytes` is the bytes of one number in the cache (2 for FP16,
    1 for FP8), 0 for models that keep no cache."""

    weights_bytes: int
    layers: int = 0
    hidden_size: int = 0
    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    vocabulary: int = 0
    context_length: int = 0
    kv_bytes: int = 2

    @property
    def kv_bytes_per_token(self) -> int:
        """Keys and values of all layers for one token."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.kv_bytes


@dataclass(frozen=True, slots=True)
class Fit:
    """How full each of `count` GPUs would be, and what more would fit."""

    gpu_memory_gib: float
    count: int
    context: int
    batch: int
    weights_gib: float
    kv_gib: float
    overhead_gib: float
    usable_gib: float
    fits: bool
    reason: str  # "", "weights", "cache", "heads" or "unknown"
    most_context: int  # tokens, for this batch
    most_batch: int  # requests at once, for this context

    @property
    def needed_gib(self) -> float:
        return self.weights_gib + self.kv_gib + self.overhead_gib

    @property
    def share(self) -> float:
        """Of the memory of one GPU, 1 meaning all of it."""
        return self.needed_gib / self.gpu_memory_gib if self.gpu_memory_gib else 0.0


def fits(shape: Shape, gpu_memory_gib: float, count: int, context: int, batch: int) -> Fit:
    """What each of `count` equal GPUs holds when the model is spread over them by tensor parallelism."""
    count, batch = max(count, 1), max(batch, 1)
    context = min(context, shape.context_length) if shape.context_length else context
    weights = shape.weights_bytes / count / GIB
    per_token = shape.kv_bytes_per_token / _cache_ways(shape, count) / GIB
    overhead = CONTEXT_GIB + _activations(shape, count)
    usable = gpu_memory_gib * USABLE
    room = usable - weights - overhead
    cache = per_token * context * batch
    reason = _reason(shape, count, room, cache)
    return Fit(
        gpu_memory_gib=gpu_memory_gib,
        count=count,
        context=context,
        batch=batch,
        weights_gib=weights,
        kv_gib=cache,
        overhead_gib=overhead,
        usable_gib=usable,
        fits=not reason,
        reason=reason,
        most_context=_most(room, per_token * batch, shape.context_length or context),
        most_batch=_most(room, per_token * context, 4096),
    )


def _reason(shape: Shape, count: int, room: float, cache: float) -> str:
    if not shape.weights_bytes:
        return "unknown"
    if shape.heads and shape.heads % count:
        return "heads"
    if room < 0:
        return "weights"
    return "cache" if cache > room + A_BIT else ""


def _cache_ways(shape: Shape, count: int) -> int:
    """The cache is split by heads; with more GPUs than key and value heads it is kept in copies."""
    return min(count, shape.kv_heads) if shape.kv_heads else count


def _activations(shape: Shape, count: int) -> float:
    """Working memory of one pass, and the logits of one piece."""
    passing = PIECE * shape.hidden_size * ACTIVATION_COPIES * 2
    logits = 256 * shape.vocabulary * 4
    return (passing + logits) / count / GIB


def _most(room: float, each: float, limit: int) -> int:
    if room <= 0:
        return 0
    return limit if each <= 0 else min(int(room / each), limit)


def fewest(shape: Shape, gpu_memory_gib: float, context: int, batch: int) -> Fit:
    """The smallest number of GPUs it fits on (1, 2, 4 or 8), or the largest when it fits on none."""
    tried = fits(shape, gpu_memory_gib, 1, context, batch)
    while not tried.fits and tried.count < LARGEST_TENSOR_PARALLEL:
        tried = fits(shape, gpu_memory_gib, tried.count * 2, context, batch)
    return tried
