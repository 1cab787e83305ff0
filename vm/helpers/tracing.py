"""Helpers of tracing programs: the words of their context, what iterators write, variables of each CPU."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.contexts import LAYOUTS
from bpf.spec.errno import EINVAL, EOPNOTSUPP
from vm.helpers.base import Place
from vm.helpers.text import line_of
from vm.services import Trap

M32, M64 = (1 << 32) - 1, (1 << 64) - 1
WORD = 8
_LAYOUT = LAYOUTS["tracing"]


def _word(place: Place, context: int, at: int) -> int:
    """A word of the context, by its offset. Raises Trap for what is no such context."""
    if not context or context != place.packet.context or place.packet.layout != _LAYOUT.name:
        raise Trap("context", context)
    return int.from_bytes(place.memory.read(context + at, WORD), place.order)


def get_func_arg(place: Place, arguments: Sequence[int]) -> int:
    """Write argument R2 of the traced function to R3."""
    context, number = arguments[0], arguments[1] & M32
    if number >= get_func_arg_cnt(place, arguments):
        return -EINVAL & M64
    value = _word(place, context, WORD * number)
    place.memory.write(arguments[2], value.to_bytes(WORD, place.order))
    return 0


def get_func_ret(place: Place, arguments: Sequence[int]) -> int:
    """Write what the traced function returned to R2, of a program that is called behind it."""
    if not _word(place, arguments[0], _LAYOUT.state["returned"]):
        return -EOPNOTSUPP & M64
    value = _word(place, arguments[0], WORD * get_func_arg_cnt(place, arguments))
    place.memory.write(arguments[1], value.to_bytes(WORD, place.order))
    return 0


def get_func_arg_cnt(place: Place, arguments: Sequence[int]) -> int:
    """How many arguments the traced function has."""
    return _word(place, arguments[0], _LAYOUT.state["arguments"])


def seq_printf(place: Place, arguments: Sequence[int]) -> int:
    """Format R5 bytes of numbers at R4 by the string of R3 bytes at R2, for who reads the iterator: World.printed."""
    line = line_of(place, arguments[1], arguments[2] & M32, arguments[3], arguments[4] & M32)
    return line if isinstance(line, int) else _written(place, line)


def seq_write(place: Place, arguments: Sequence[int]) -> int:
    """Write R3 bytes at R2, for who reads the iterator."""
    return _written(place, place.memory.read(arguments[1], arguments[2] & M32))


def _written(place: Place, data: bytes) -> int:
    place.world.printed.append(data.decode("latin-1").rstrip("\n"))
    return 0


def per_cpu_ptr(place: Place, arguments: Sequence[int]) -> int:
    """The address of variable R1 of CPU R2, 0 for none."""
    cpu, areas = arguments[1] & M32, place.world.per_cpu
    return arguments[0] + areas[cpu] & M64 if cpu < len(areas) else 0


def this_cpu_ptr(place: Place, arguments: Sequence[int]) -> int:
    """The address of this CPU's variable R1."""
    return per_cpu_ptr(place, (arguments[0], place.world.cpu))
