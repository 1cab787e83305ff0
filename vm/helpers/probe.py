"""Reads of any address, which give an errno instead of a fault: what the kernel and the task have in memory.

World.kernel and World.user describe that memory; what the program itself can reach counts as the kernel's. As on
Linux an address of the lower half that is not the kernel's is out of range for a kernel read, and one of the upper half
is a fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bpf.object.btf_build import Content, content
from bpf.order import Order
from bpf.spec.errno import EFAULT, EINVAL, ERANGE
from vm.helpers.base import Place
from vm.memory import OutOfReach

M64 = (1 << 64) - 1
M32 = (1 << 32) - 1
USER_TOP = 1 << 63


def _described(memory: Mapping[int, Content], address: int, size: int, order: Order) -> bytes | None:
    """Bytes of described memory, from as many neighbours as it takes."""
    found = b""
    while len(found) < size:
        at = address + len(found)
        for start, given in memory.items():
            data = content(given, order)
            if start <= at < start + len(data):
                found += data[at - start :]
                break
        else:
            return None
    return found[:size]


def kernel_bytes(place: Place, address: int, size: int) -> bytes | int:
    """Bytes of the kernel's memory, or an errno."""
    found = _described(place.world.kernel, address, size, place.order)
    if found is not None and size:
        return found
    try:
        if place.memory.own(address) and place.memory.own(address + max(size, 1) - 1 & M64):
            return place.memory.read(address, size)
        raise OutOfReach(False, address)
    except OutOfReach:
        return -ERANGE if address < USER_TOP else -EFAULT


def user_bytes(place: Place, address: int, size: int) -> bytes | int:
    """Bytes of the task's memory, or an errno."""
    found = _described(place.world.user, address, size, place.order) if address + size <= USER_TOP else None
    return -EFAULT if found is None else found


def _string(place: Place, address: int, size: int, *, user: bool) -> bytes | int:
    """A string with its zero, cut to `size` bytes; or an errno."""
    read = user_bytes if user else kernel_bytes
    found = bytearray()
    while len(found) < size:
        byte = read(place, address + len(found) & M64, 1)
        if isinstance(byte, int):
            return -EFAULT if found else byte
        found += byte
        if byte == b"\0":
            return bytes(found)
    return bytes(found[: size - 1]) + b"\0" if size else b""


def user_string(place: Place, address: int, size: int) -> bytes | int:
    """A string of the task's memory with its zero, cut to `size` bytes; or an errno."""
    return _string(place, address, size, user=True)


def kernel_string(place: Place, address: int, size: int) -> bytes | int:
    """A string of the kernel's memory with its zero, cut to `size` bytes; or an errno."""
    return _string(place, address, size, user=False)


def _is_user(place: Place, address: int) -> bool:
    """Where probe_read, which does not say, looks."""
    return address < USER_TOP and isinstance(kernel_bytes(place, address, 1), int)


def _copy(place: Place, arguments: Sequence[int], *, user: bool) -> int:
    to, size, address = arguments[0], arguments[1] & M32, arguments[2]
    found = (user_bytes if user else kernel_bytes)(place, address, size)
    place.memory.write(to, bytes(size) if isinstance(found, int) else found)
    return found if isinstance(found, int) else 0


def _copy_string(place: Place, arguments: Sequence[int], *, user: bool) -> int:
    to, size, address = arguments[0], arguments[1] & M32, arguments[2]
    found = _string(place, address, size, user=user)
    place.memory.write(to, bytes(size) if isinstance(found, int) else found)
    return found if isinstance(found, int) else len(found)


def probe_read(place: Place, arguments: Sequence[int]) -> int:
    """Copy R2 bytes at R3 to R1, which is zeroed where that fails: of the kernel, or of the task."""
    return _copy(place, arguments, user=_is_user(place, arguments[2]))


def probe_read_kernel(place: Place, arguments: Sequence[int]) -> int:
    """As probe_read, of the kernel."""
    return _copy(place, arguments, user=False)


def probe_read_user(place: Place, arguments: Sequence[int]) -> int:
    """As probe_read, of the task. It is also copy_from_user: pages are never out."""
    return _copy(place, arguments, user=True)


def probe_read_str(place: Place, arguments: Sequence[int]) -> int:
    """Copy a string of at most R2 bytes at R3 to R1, always with a zero; its length with that."""
    return _copy_string(place, arguments, user=_is_user(place, arguments[2]))


def probe_read_kernel_str(place: Place, arguments: Sequence[int]) -> int:
    """As probe_read_str, of the kernel."""
    return _copy_string(place, arguments, user=False)


def probe_read_user_str(place: Place, arguments: Sequence[int]) -> int:
    """As probe_read_str, of the task."""
    return _copy_string(place, arguments, user=True)


def copy_from_user_task(place: Place, arguments: Sequence[int]) -> int:
    """As probe_read_user, of the task R4, which is the current one or has no memory. R5: no flags."""
    to, size, address, task, flags = arguments
    size &= M32
    if flags:
        return -EINVAL
    found = user_bytes(place, address, size) if task == place.world.task or not size else -EFAULT
    place.memory.write(to, bytes(size) if isinstance(found, int) else found)
    return found if isinstance(found, int) else 0


def probe_write_user(place: Place, arguments: Sequence[int]) -> int:
    """Write R3 bytes at R2 to R1 in the task's memory, all or nothing."""
    to, address, size = arguments[0], arguments[1], arguments[2] & M32
    data, user = place.memory.read(address, size), place.world.user
    if isinstance(user_bytes(place, to, size), int):
        return -EFAULT
    for start, old in list(user.items()):
        first, last = max(start, to), min(start + len(old), to + size)
        if first < last:
            user[start] = old[: first - start] + data[first - to : last - to] + old[last - start :]
    return 0
