"""Objects of the kernel that programs have pointers to: which address is which socket, task, inode or cgroup."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vm.world import World

SOCKET, TASK, INODE, CGROUP = "socket", "task", "inode", "cgroup"
SOCKETS = 0xFFFF_8881_5000_0000
"""Where the sockets of World.net are, a page each: that of cookie n is n pages further on."""

PAGE = 4096
MOST = 1 << 20  # cookies that have an address
_M32 = 0xFFFF_FFFF


def socket_address(world: World, cookie: int) -> int:
    """The address of a socket; 0 where no such one is described."""
    given = world.socket_objects.get(cookie, 0)
    if given or world.net.socket(cookie) is None or not 0 < cookie < MOST:
        return given
    return SOCKETS + PAGE * cookie


def number_of(world: World, kind: str, address: int) -> int | None:
    """The number of the object of a kind at an address: a cookie, a thread's id, an inode's number, a cgroup's id.

    None where there is no such object.
    """
    if not address:
        return None
    if kind == TASK and address == world.task:
        return world.pid_tgid & _M32
    described = {
        SOCKET: world.socket_objects, TASK: world.tasks, INODE: world.inodes, CGROUP: world.cgroup_objects,
    }[kind]  # fmt: skip
    found = next((number for number, at in described.items() if at == address), None)
    if found is not None or kind != SOCKET:
        return found
    cookie = (address - SOCKETS) // PAGE
    return cookie if socket_address(world, cookie) == address else None
