"""Time as the agent sees it; tests bring their own."""

import threading
import time


class Clock:
    """`wall` stands in reports, `steady` measures; `wait` ends early when somebody calls `wake` or `stop`."""

    def __init__(self) -> None:
        self._woken = threading.Event()
        self._stopped = False

    def wall(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()

    def steady(self) -> float:
        """Seconds from some moment on; never jumps."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        self._woken.wait(max(0.0, seconds))
        self._woken.clear()

    def wake(self) -> None:
        """End the current wait, or the next one at once."""
        self._woken.set()

    def stop(self) -> None:
        self._stopped = True
        self.wake()

    @property
    def is_stopped(self) -> bool:
        return self._stopped
