"""Storage: values that belong to a socket, inode, task or cgroup, and to the cgroup that a program is attached to."""

from __future__ import annotations

from collections.abc import Sequence

from bpf.spec.errno import EINVAL, ENOENT
from bpf.spec.maps import LOCAL, NOEXIST
from vm.helpers.base import Helper, Place
from vm.helpers.maps import map_of
from vm.helpers.owners import number_of
from vm.maps.storage import CgroupStorageState

CREATE = 1  # BPF_LOCAL_STORAGE_GET_F_CREATE
_ID = 8


def get_from(kind: str) -> Helper:
    """The helper that finds values in a storage of a kind, or makes them."""

    def get(place: Place, arguments: Sequence[int]) -> int:
        """The address of what map R1 has for object R2; 0 for nothing.

        R4: 1 makes it, with the value at R3, or zeros where that is 0.
        """
        state = map_of(place, arguments[0], f"{kind}_get")
        number, flags = number_of(place, LOCAL[kind], arguments[1]), arguments[3]
        if number is None or flags & ~CREATE or number >> 32:
            return 0
        key = number.to_bytes(state.map.key_size, state.order)
        offset = state.at(key, 0)
        if offset is None and flags & CREATE:
            size = state.map.value_size
            value = place.memory.read(arguments[2], size) if arguments[2] else bytes(size)
            if state.put(key, value, NOEXIST, place.world.cpu) == 0:
                offset = state.at(key, 0)
        return 0 if offset is None else place.maps.address(state, offset)

    return get


def delete_from(kind: str) -> Helper:
    """The helper that deletes values of a storage of a kind."""

    def delete(place: Place, arguments: Sequence[int]) -> int:
        """Delete what map R1 has for object R2."""
        state = map_of(place, arguments[0], f"{kind}_delete")
        number = number_of(place, LOCAL[kind], arguments[1])
        if number is None:
            return -EINVAL
        return -ENOENT if number >> 32 else state.remove(number.to_bytes(state.map.key_size, state.order))

    return delete


def get_local_storage(place: Place, arguments: Sequence[int]) -> int:
    """The address of the value of the cgroup that the program is attached to, which is the task's, in map R1.

    Linux makes it when a program is attached; here the first call does. A map without room is 0.
    """
    state = map_of(place, arguments[0], "get_local_storage")
    assert isinstance(state, CgroupStorageState)
    cgroup = place.world.cgroups[-1] if place.world.cgroups else 0
    key = cgroup.to_bytes(_ID, state.order)
    if state.map.key_size > _ID:
        key += place.world.attach_type.to_bytes(4, state.order) + bytes(4)
    slot = state.make(key)
    cpu = place.world.cpu if state.per_cpu else 0
    return 0 if slot is None else place.maps.address(state, state.offset(slot, cpu))
