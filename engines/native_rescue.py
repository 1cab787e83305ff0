"""Probe loads on the host's own CPU: what the process does when one faults.

A signal handler looks the faulting instruction up in the image's exception table, gives the load its value and lets
the program go on behind it: 0, or what the kernel's described memory holds at an address that no process can have.
The fault comes from compiled code alone, so the handler may be a function like any helper. Any other fault ends the
process, as it does without a handler.
"""

from __future__ import annotations

import ctypes
import signal
import sys
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence

from bpf.isa.effects import signed
from bpf.order import Order
from jit.image import Rescue
from vm.memory import Memory

M64 = (1 << 64) - 1
_SIGINFO, _NODEFER = 4, 0x4000_0000  # SA_*, Linux
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class _Action(ctypes.Structure):
    """struct sigaction of Linux's C libraries."""

    _fields_ = (
        ("handler", ctypes.c_void_p), ("mask", ctypes.c_uint64 * 16), ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )  # fmt: skip


class Rescuer:
    """The handler. rescues: the exception table; homes: registers of R0-R10; saved: see HostCode, of this platform.

    It stays installed until `close`; `memory` and `order` are those of the run in progress.
    """

    def __init__(self, rescues: Sequence[Rescue], homes: Sequence[str], saved: Mapping[str, int], order: Order) -> None:
        self._rescues = rescues
        self._starts = [rescue.start for rescue in rescues]
        self._homes = homes
        self._saved = saved
        self._order = order
        self.memory: Memory | None = None
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._function = _HANDLER(self._fault)  # kept: C holds its address
        self._install(self._function)

    def _install(self, function: Callable[..., None] | None) -> None:
        """function: None for the default action."""
        action = _Action()
        action.handler = None if function is None else ctypes.cast(function, ctypes.c_void_p)  # type: ignore[arg-type]
        action.flags = _SIGINFO | _NODEFER if function is not None else 0
        for number in (signal.SIGSEGV, signal.SIGBUS):
            self._libc.sigaction(int(number), ctypes.byref(action), None)

    def close(self) -> None:
        """A fault ends the process again."""
        self._install(None)

    def _fault(self, number: int, info: int, context: int) -> None:
        """A fault: go on behind it, or return to it with the default action."""

        def word(name: str) -> ctypes.c_uint64:
            return ctypes.c_uint64.from_address(context + self._saved[name])

        pc = word("pc").value
        at = bisect_right(self._starts, pc) - 1
        if at < 0 or pc >= self._rescues[at].end:
            self.close()
            return
        rescue = self._rescues[at]
        address = word(self._homes[rescue.a]).value + rescue.off & M64
        word(self._homes[rescue.dst]).value = self._value(address, rescue)
        word("pc").value = rescue.end

    def _value(self, address: int, rescue: Rescue) -> int:
        """What the load gives."""
        assert self.memory is not None
        value = self.memory.probe(address, rescue.width // 8, self._order)
        return signed(value, rescue.width) & M64 if rescue.signed else value


def here(saved: Mapping[str, Mapping[str, int]]) -> Mapping[str, int]:
    """Where a handler finds registers on this platform; empty where that is not known."""
    return saved.get(sys.platform, {})
