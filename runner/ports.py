"""Free ports on the loopback address, outside the range the system hands out by itself."""

import random
import socket

LOWEST, HIGHEST = 20_000, 32_000
_DICE = random.SystemRandom()


def is_free(port: int) -> bool:
    """Whether nobody listens there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """A port nobody listens on; the preferred one when it is free."""
    if preferred and is_free(preferred):
        return preferred
    while True:
        port = _DICE.randint(LOWEST, HIGHEST)
        if is_free(port):
            return port


def answers(port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
