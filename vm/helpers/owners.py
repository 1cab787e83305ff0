"""Objects of the kernel that programs have pointers to: which address is which socket, task, inode or cgroup."""

from __future__ import annotations

from bpf.plan import KEPT
from vm.helpers.base import Place
from vm.kept import Kept, address_of, cookies_of

SOCKET, TASK, INODE, CGROUP = "socket", "task", "inode", "cgroup"
SOCKETS = 0xFFFF_8881_5000_0000
"""Where the sockets of World.net are, a page each: that of cookie n is n pages further on. In a run that keeps sockets
(vm/kept.py) they are there, and can be read."""

PAGE = 4096
MOST = 1 << 20  # cookies that have an address
_M32 = 0xFFFF_FFFF


def socket_address(place: Place, cookie: int) -> int:
    """The address of a socket; 0 where no such one is described."""
    world = place.world
    given = world.socket_objects.get(cookie, 0)
    if given or world.net.socket(cookie) is None or not 0 < cookie < MOST:
        return given
    kept = place.memory.address(KEPT)
    if kept and cookie in cookies_of(world.net):
        return address_of(kept, world.net, cookie)
    return SOCKETS + PAGE * cookie


def number_of(place: Place, kind: str, address: int) -> int | None:
    """The number of the object of a kind at an address: a cookie, a thread's id, an inode's number, a cgroup's id.

    None where there is no such object.
    """
    if not address:
        return None
    world = place.world
    if kind == SOCKET and place.memory.address(KEPT):
        cookie = Kept(place.memory, place.order).cookie(address)
        if cookie is not None:
            return cookie
    if kind == TASK and address == world.task:
        return world.pid_tgid & _M32
    described = {
        SOCKET: world.socket_objects, TASK: world.tasks, INODE: world.inodes, CGROUP: world.cgroup_objects,
    }[kind]  # fmt: skip
    found = next((number for number, at in described.items() if at == address), None)
    if found is not None or kind != SOCKET:
        return found
    cookie = (address - SOCKETS) // PAGE
    return cookie if socket_address(place, cookie) == address else None
