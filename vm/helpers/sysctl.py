"""Settings of the kernel's, which cgroup_sysctl programs are asked about (kernel/bpf/cgroup.c): World.sysctl."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.errno import E2BIG, EINVAL
from vm.helpers.base import Place
from vm.helpers.packet import Buffer
from vm.kept import SYSCTL_NEW, Kept

BASE_NAME = 1  # BPF_F_SYSCTL_BASE_NAME
LONGEST = 4095  # PAGE_SIZE - 1


def _copy(place: Place, address: int, size: int, value: bytes) -> int:
    """A value to so many bytes (copy_sysctl_value): how many it has; one too long is cut and -E2BIG."""
    if not size:
        return -E2BIG
    if not value:
        place.memory.write(address, bytes(size))
        return -EINVAL
    if size > len(value):
        place.memory.write(address, value.ljust(size, b"\0"))
        return len(value)
    place.memory.write(address, value[: size - 1] + b"\0")
    return -E2BIG


def sysctl_get_name(place: Place, arguments: Sequence[int]) -> int:
    """The setting's path to R3 bytes at R2, or with R4 = 1 its last part; the result is its length."""
    Buffer(place, arguments[0], "bpf_sysctl")
    name, size = place.world.sysctl.name.encode(), arguments[2]
    if arguments[3] & BASE_NAME:
        name = name.rpartition(b"/")[2]
    if not size:
        return -E2BIG
    place.memory.write(arguments[1], name[: size - 1] + b"\0")
    return len(name) if len(name) < size else -E2BIG


def sysctl_get_current_value(place: Place, arguments: Sequence[int]) -> int:
    """What the setting says, to R3 bytes at R2."""
    Buffer(place, arguments[0], "bpf_sysctl")
    return _copy(place, arguments[1], arguments[2], place.world.sysctl.current)


def sysctl_get_new_value(place: Place, arguments: Sequence[int]) -> int:
    """What is being written, to R3 bytes at R2; zeros where nothing is."""
    writes = Buffer(place, arguments[0], "bpf_sysctl")["write"]
    kept = Kept(place.memory, place.order)
    data = kept.read(SYSCTL_NEW)
    count = int.from_bytes(data[:8], kept.order)
    new = data[8 : 8 + count] if count else place.world.sysctl.new
    return _copy(place, arguments[1], arguments[2], new if writes else b"")


def sysctl_set_new_value(place: Place, arguments: Sequence[int]) -> int:
    """Write the R3 bytes at R2 instead."""
    writes, size = Buffer(place, arguments[0], "bpf_sysctl")["write"], arguments[2]
    if not writes or not place.world.sysctl.new or not size:
        return -EINVAL
    if size > min(LONGEST, SYSCTL_NEW.size - 8):
        return -E2BIG
    kept = Kept(place.memory, place.order)
    kept.write(SYSCTL_NEW, size.to_bytes(8, kept.order) + place.memory.read(arguments[1], size))
    return 0
