"""The current task, its cgroup and pid namespace, signals, symbols: what the World says of them."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.errno import E2BIG, EAGAIN, EINVAL, ENOENT
from vm.helpers.base import Place
from vm.helpers.maps import map_of

M64 = (1 << 64) - 1
M32 = (1 << 32) - 1
COMM_SIZE = 16  # TASK_COMM_LEN
SIGNALS = 64
PIDNS_INFO = 8  # sizeof(struct bpf_pidns_info)


def get_current_pid_tgid(place: Place, arguments: Sequence[int]) -> int:
    """tgid << 32 | pid."""
    return place.world.pid_tgid


def get_current_uid_gid(place: Place, arguments: Sequence[int]) -> int:
    """gid << 32 | uid."""
    return place.world.uid_gid


def get_current_comm(place: Place, arguments: Sequence[int]) -> int:
    """Write the task's name, cut and zero-padded to R2 bytes, to R1."""
    address, size = arguments[0], arguments[1] & M32
    if not size:
        return -EINVAL & M64
    name = place.world.comm[: min(size, COMM_SIZE) - 1]
    place.memory.write(address, name.ljust(size, b"\0"))
    return 0


def get_current_task(place: Place, arguments: Sequence[int]) -> int:
    """The address of the task's task_struct."""
    return place.world.task


def get_current_cgroup_id(place: Place, arguments: Sequence[int]) -> int:
    """The id of the task's cgroup."""
    return place.world.cgroups[-1] if place.world.cgroups else 0


def get_current_ancestor_cgroup_id(place: Place, arguments: Sequence[int]) -> int:
    """The id of its ancestor at level R1, where the root is 0; 0 where there is none."""
    level, cgroups = arguments[0] & M32, place.world.cgroups
    return cgroups[level] if level < len(cgroups) else 0


def current_task_under_cgroup(place: Place, arguments: Sequence[int]) -> int:
    """Whether the task's cgroup is the one at index R2 of map R1, or in it. The map holds ids here."""
    state, index = map_of(place, arguments[0], "current_task_under_cgroup"), arguments[1] & M32
    if index >= state.map.max_entries:
        return -E2BIG
    found = state.value(index.to_bytes(4, state.order))
    if not isinstance(found, bytes):
        return -EAGAIN
    return int(int.from_bytes(found, state.order) in place.world.cgroups)


def get_ns_current_pid_tgid(place: Place, arguments: Sequence[int]) -> int:
    """pid and tgid as the namespace with device R1 and inode R2 sees them, to R4 bytes at R3."""
    device, inode, address, size = arguments[:4]
    size &= M32
    if size != PIDNS_INFO or (device, inode) != place.world.pidns:
        place.memory.write(address, bytes(size))
        return -EINVAL
    numbers = (place.world.pid_tgid & M32, place.world.pid_tgid >> 32)
    place.memory.write(address, b"".join(number.to_bytes(4, place.order) for number in numbers))
    return 0


def _send(place: Place, number: int, to: str) -> int:
    number &= M32
    if number > SIGNALS:
        return -EINVAL
    if number:  # 0 only asks whether it could be sent
        place.world.signals.append((to, number))
    return 0


def send_signal(place: Place, arguments: Sequence[int]) -> int:
    """Send signal R1 to the task's process: World.signals has it."""
    return _send(place, arguments[0], "process")


def send_signal_thread(place: Place, arguments: Sequence[int]) -> int:
    """Send signal R1 to the task's thread."""
    return _send(place, arguments[0], "thread")


def get_netns_cookie(place: Place, arguments: Sequence[int]) -> int:
    """The number of the network namespace."""
    return place.world.netns


def get_branch_snapshot(place: Place, arguments: Sequence[int]) -> int:
    """The branches last taken: the CPU keeps no record of them, as most do not."""
    return -EINVAL if arguments[2] else -ENOENT


def get_attach_cookie(place: Place, arguments: Sequence[int]) -> int:
    """The number that the program was attached with."""
    return place.world.cookie


def override_return(place: Place, arguments: Sequence[int]) -> int:
    """Have the probed function return R2: World.overridden has it."""
    place.world.overridden = arguments[1]
    return 0


def kallsyms_lookup_name(place: Place, arguments: Sequence[int]) -> int:
    """Write the address of the symbol that R2 bytes at R1 name, with their zero, to R4."""
    address, size, flags, to = arguments[:4]
    place.memory.write(to, bytes(8))
    size &= M32
    if flags & M32:
        return -EINVAL
    text = place.memory.read(address, size) if 1 < size < 1 << 31 else b"?"
    if text[-1]:
        return -EINVAL
    found = place.world.symbols.get(text.partition(b"\0")[0].decode("latin-1"), 0)
    place.memory.write(to, found.to_bytes(8, place.order))
    return 0 if found else -ENOENT
