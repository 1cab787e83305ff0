"""One thread a process that stops a guest which runs for too long.

Unicorn's own `timeout` starts a thread a run (95 to 830 us); `count` costs every instruction. Arming this one is two
assignments under a lock.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

_PERIOD = 0.05  # seconds between two looks


class Watchdog:
    """Stops the armed guest after its deadline. `fired` tells whether it did."""

    def __init__(self) -> None:
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)  # the thread stays behind, and may have held the lock

    def _reset(self) -> None:
        self.fired = False
        self._lock = threading.Lock()
        self._uc: Any = None
        self._deadline = 0.0
        self._thread: threading.Thread | None = None

    def arm(self, uc: Any, seconds: float) -> None:
        """Watch a guest that is about to start."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._watch, name="crossbpf watchdog", daemon=True)
            self._thread.start()
        with self._lock:
            self.fired = False
            self._uc = uc
            self._deadline = time.monotonic() + seconds

    def disarm(self) -> bool:
        """The guest has stopped; whether that was the watchdog's doing."""
        with self._lock:
            self._uc = None
            return self.fired

    def _watch(self) -> None:
        while True:
            time.sleep(_PERIOD)
            with self._lock:
                if self._uc is not None and time.monotonic() > self._deadline:
                    self.fired = True
                    self._uc.emu_stop()


WATCHDOG = Watchdog()
