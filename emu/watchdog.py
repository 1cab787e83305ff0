"""One thread a process that stops guests which run for too long.

Unicorn's own `timeout` starts a thread a run (95 to 830 us); `count` costs every instruction. Arming this one is two
assignments under a lock.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import Any

_PERIOD = 0.05  # seconds between two looks


@dataclass(slots=True)
class _Watched:
    uc: Any
    deadline: float
    fired: bool = False


class Watchdog:
    """Stops each armed guest after its deadline; there are several where CPUs take turns."""

    def __init__(self) -> None:
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)  # the thread stays behind, and may have held the lock

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[int, _Watched] = {}
        self._thread: threading.Thread | None = None

    def arm(self, uc: Any, seconds: float) -> None:
        """Watch a guest that is about to start."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._watch, name="crossbpf watchdog", daemon=True)
            self._thread.start()
        with self._lock:
            self._watched[id(uc)] = _Watched(uc, time.monotonic() + seconds)

    def fired(self, uc: Any) -> bool:
        """Whether an armed guest has been stopped."""
        watched = self._watched.get(id(uc))
        return watched is not None and watched.fired

    def disarm(self, uc: Any) -> bool:
        """The guest has stopped; whether that was the watchdog's doing."""
        with self._lock:
            return self._watched.pop(id(uc)).fired

    def _watch(self) -> None:
        while True:
            time.sleep(_PERIOD)
            self._look()

    def _look(self) -> None:
        with self._lock:
            now = time.monotonic()
            for watched in self._watched.values():
                if now > watched.deadline:
                    watched.fired = True
                    watched.uc.emu_stop()


WATCHDOG = Watchdog()
