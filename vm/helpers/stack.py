"""Stacks: the return addresses that World.stack and World.user_stack describe."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.map_rules import BUILD_ID, FRAME
from bpf.spec.errno import EFAULT, EINVAL
from vm.helpers.base import Place
from vm.helpers.maps import map_of
from vm.maps.stack import SKIP, USER, USER_BUILD_ID, StackState, entry, frames_of

M32 = (1 << 32) - 1


def get_stackid(place: Place, arguments: Sequence[int]) -> int:
    """Keep the stack in map R2; its id. R3: frames to skip, and BPF_F_USER_STACK, FAST_STACK_CMP, REUSE_STACKID."""
    state, flags = map_of(place, arguments[1], "get_stackid"), arguments[2]
    assert isinstance(state, StackState)
    return state.identify(place.world.user_stack if flags & USER else place.world.stack, flags)


def _stack(place: Place, address: int, size: int, flags: int) -> int:
    """Write a stack to `size` bytes at an address, and zeros behind it; how many bytes it takes."""
    build_id = bool(flags & USER_BUILD_ID)
    one = BUILD_ID if build_id else FRAME
    stack = place.world.user_stack if flags & USER else place.world.stack
    taken = frames_of(stack, size // one, flags)
    failed = 0
    if flags & ~(SKIP | USER | USER_BUILD_ID) or (build_id and not flags & USER) or size % one:
        failed = -EINVAL
    elif not stack or taken is None:
        failed = -EFAULT
    data = b"" if failed else b"".join(entry(at, place.order, build_id=build_id) for at in taken or ())
    place.memory.write(address, data.ljust(size, b"\0"))
    return failed or len(data)


def get_stack(place: Place, arguments: Sequence[int]) -> int:
    """Write the stack to R3 bytes at R2; how many it takes. R4: frames to skip, BPF_F_USER_STACK, USER_BUILD_ID."""
    return _stack(place, arguments[1], arguments[2] & M32, arguments[3])


def get_task_stack(place: Place, arguments: Sequence[int]) -> int:
    """As get_stack, of the task R1, which only the current one has."""
    size = arguments[2] & M32
    if arguments[0] != place.world.task:
        place.memory.write(arguments[1], bytes(size))
        return -EFAULT if arguments[0] else -EINVAL
    return _stack(place, arguments[1], size, arguments[3])
