"""What is written while the loop takes what has come, sent when it has taken everything."""

import asyncio


class Sender:
    """Bytes wait for the end of the loop's turn and go out peer by peer.

    Sending wakes a peer that sleeps, and waking costs more than the rest of the sending. One that gets all
    that is for it in a row is woken once; and two pieces for one connection are one system call.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self.loop = loop
        self._waiting: dict[object, dict[asyncio.Transport, bytes]] = {}

    def put(self, peer: object, transport: asyncio.Transport, data: bytes) -> None:
        """Send the data to the peer at the end of this turn, after what is waiting for the same transport."""
        waiting = self._waiting
        if not waiting:
            self.loop.call_soon(self.send)
        mine = waiting.get(peer)
        if mine is None:
            waiting[peer] = {transport: data}
        else:
            before = mine.get(transport)
            mine[transport] = data if before is None else before + data

    def send(self) -> None:
        """Send everything that waits."""
        waiting, self._waiting = self._waiting, {}
        for mine in waiting.values():
            for transport, data in mine.items():
                if not transport.is_closing():
                    transport.write(data)


def send_at_once(transport: asyncio.Transport) -> None:
    """Let the transport write without a queue of its own: who writes has queued already."""
    transport.set_write_buffer_limits(high=0)
