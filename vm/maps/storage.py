"""Values that belong to objects of the kernel: to a socket, an inode, a task, a cgroup (sk_storage and its kin), or to
the cgroup that a program is attached to (cgroup_storage, percpu_cgroup_storage).

They have no max_entries. Here they have room for STORED values, and no more come to be.
"""

from __future__ import annotations

from bpf.order import Order
from bpf.program import Map
from bpf.spec.errno import EBADF, EINVAL, ENOENT, ENOMEM, ENOTSUPP
from bpf.spec.maps import EXIST, F_LOCK
from vm.maps.hash import HashState
from vm.network import Network

_SIGN = 1 << 31


class LocalState(HashState):
    """sk_storage, inode_storage, task_storage, cgrp_storage. A key is the object's number: a socket's cookie, the
    number of an inode, a thread's id, a cgroup's id. bpf() takes a file descriptor there.
    """

    __slots__ = ("_net",)
    FULL = -ENOMEM
    NO_NEXT = -ENOTSUPP

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self._net: Network | None = None

    def describe(self, net: Network) -> None:
        """See MapState."""
        self._net = net

    def named(self, key: bytes) -> int:
        """See MapState."""
        number = int.from_bytes(key, self.order)
        sockets = self._net if self.map.kind == "sk_storage" else None
        return -EBADF if number & _SIGN or (sockets is not None and sockets.socket(number) is None) else 0


class CgroupStorageState(HashState):
    """cgroup_storage, percpu_cgroup_storage. A key is the cgroup's id, and of 16 bytes the attach type behind it.

    An element comes to be where a program is attached (`make`), and bpf() only changes it.
    """

    __slots__ = ()

    def make(self, key: bytes) -> int | None:
        """The element of a key, zero where it is new; its slot, None where there is no room."""
        if key not in self._index and len(self._index) < self._room:
            self._make(key, bytes(self._size), 0)
        return self._index.get(key)

    def put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        """See MapState."""
        if flags & ~(EXIST | (0 if self.per_cpu else F_LOCK)) or (flags & F_LOCK and self.map.lock is None):
            return -EINVAL
        if key not in self._index:
            return -ENOENT
        return super().put(key, value, flags & F_LOCK, cpu)

    def remove(self, key: bytes) -> int:
        """See MapState."""
        return -EINVAL

    def next_key(self, key: bytes | None = None) -> bytes | None:
        """See MapState. There is none after a key that is not there."""
        return None if key is not None and key not in self._index else super().next_key(key)
