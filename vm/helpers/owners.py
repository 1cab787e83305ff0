"""Objects of the kernel that programs have pointers to: which address is which socket, task, inode or cgroup."""

from __future__ import annotations

from bpf.plan import KEPT
from vm.helpers.base import Place
from vm.kept import Kept, address_of, cookies_of
from vm.world import World

SOCKET, TASK, INODE, CGROUP = "socket", "task", "inode", "cgroup"
SOCKETS = 0xFFFF_8881_5000_0000
"""Where the sockets of World.net are that have no slot (vm/kept.py): that of cookie n is n pages further on."""

PAGE = 4096
MOST = 1 << 20  # cookies that have an address
_M32 = 0xFFFF_FFFF


def socket_address(place: Place, cookie: int) -> int:
    """The address of a socket; 0 where no such one is described."""
    kept = place.memory.address(KEPT)
    if kept and cookie in cookies_of(place.world.net):
        return address_of(kept, place.world.net, cookie)
    return place.world.socket_objects.get(cookie, 0) or _page(place.world, cookie)


def _page(world: World, cookie: int) -> int:
    """The page of a socket of World.net; 0 where there is none."""
    return SOCKETS + PAGE * cookie if 0 < cookie < MOST and world.net.socket(cookie) is not None else 0


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
    return cookie if _page(world, cookie) == address else None
