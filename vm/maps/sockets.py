"""Maps of sockets: sockmap, sockhash, reuseport_sockarray, xskmap. A value is a socket's cookie.

bpf() takes a file descriptor and gives the cookie; here a socket's number is its cookie on both ways.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bpf.order import Order
from bpf.program import Map
from bpf.spec.errno import E2BIG, EBADF, EBUSY, EEXIST, EINVAL, ENOENT, ENOSPC, ENOTSUPP, EOPNOTSUPP
from bpf.spec.maps import EXIST, NOEXIST
from vm.maps.array import next_index
from vm.maps.base import MapState, Value
from vm.network import Network

_MOST = (1 << 31) - 1
_COOKIE = 8


class SocketArrayState(MapState):
    """sockmap. An element is the cookie of a socket; `member` says which. No program sees bytes of it."""

    __slots__ = ("_held", "_net")

    def __init__(self, map_: Map, order: Order) -> None:
        super().__init__(map_, order)
        self._held: dict[bytes, int] = {}
        self._net: Network | None = None

    def hidden(self) -> int:
        """See MapState. A value of 4 bytes holds no cookie."""
        return 0 if self.map.value_size == _COOKIE else -ENOSPC

    def describe(self, net: Network) -> None:
        """See MapState."""
        self._net = net

    def member(self, key: bytes) -> int | None:
        """The cookie of the socket at a key."""
        return self._held.get(key)

    def put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        """See MapState; what bpf() does with a descriptor."""
        cookie = int.from_bytes(value, self.order)
        if cookie > _MOST:
            return -EINVAL
        return self._there(cookie) or self.join(key, cookie, flags)

    def _there(self, cookie: int) -> int:
        """0, or what a number that is no socket's is answered with."""
        return -EBADF if self._net is not None and self._net.socket(cookie) is None else 0

    def join(self, key: bytes, cookie: int, flags: int) -> int:
        """Put a socket there: 0 or a negative errno. What a program does with a pointer to one."""
        socket = None if self._net is None else self._net.socket(cookie)
        if socket is not None and not socket.mappable:
            return -EOPNOTSUPP
        if flags > EXIST:
            return -EINVAL
        if failed := self._outside(key) or self._flagged(key, flags):
            return failed
        self._held[key] = cookie
        return 0

    def _outside(self, key: bytes) -> int:
        """0, or the errno for a key that there is no room for."""
        return -E2BIG if int.from_bytes(key, self.order) >= self.map.max_entries else 0

    def _flagged(self, key: bytes, flags: int) -> int:
        if key in self._held:
            return -EEXIST if flags == NOEXIST else 0
        return -ENOENT if flags == EXIST else 0

    def remove(self, key: bytes) -> int:
        """See MapState."""
        return 0 if self._held.pop(key, None) is not None else -EINVAL

    def keys(self) -> Iterable[bytes]:
        """See MapState."""
        return self._held

    def next_key(self, key: bytes | None = None) -> bytes | None:
        """See MapState."""
        return next_index(self, key)

    def value(self, key: bytes) -> Value | None:
        """See MapState."""
        cookie = self._held.get(self._key(key))
        return None if cookie is None else cookie.to_bytes(self.map.value_size, self.order)

    def lookup(self, key: bytes, cpu: int = 0) -> memoryview | None:
        """See MapState; of a copy."""
        found = self.value(key)
        return memoryview(found) if isinstance(found, bytes) else None

    def _save(self) -> Any:
        return tuple(self._held.items())

    def _load(self, saved: Any) -> None:
        self._held = dict(saved)


class SocketHashState(SocketArrayState):
    """sockhash: as sockmap, with any keys."""

    __slots__ = ()

    def join(self, key: bytes, cookie: int, flags: int) -> int:
        """See SocketArrayState."""
        full = key not in self._held and len(self._held) >= self.map.max_entries
        if full and flags in (0, NOEXIST):
            socket = None if self._net is None else self._net.socket(cookie)
            return -EOPNOTSUPP if socket is not None and not socket.mappable else -E2BIG
        return super().join(key, cookie, flags)

    def _outside(self, key: bytes) -> int:
        return 0

    def remove(self, key: bytes) -> int:
        """See MapState."""
        return 0 if self._held.pop(key, None) is not None else -ENOENT

    def next_key(self, key: bytes | None = None) -> bytes | None:
        """See MapState."""
        return MapState.next_key(self, key)


class ReuseportState(SocketArrayState):
    """reuseport_sockarray: of sockets that share an address. Only bpf() fills it, and a socket is in it once."""

    __slots__ = ()

    def put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        """See MapState."""
        if flags > EXIST:
            return -EINVAL
        if failed := self._outside(key):
            return failed
        cookie = int.from_bytes(value, self.order)
        if cookie > _MOST:
            return -EINVAL if self.map.value_size == _COOKIE else -EBADF
        failed = self._there(cookie) or self._flagged(key, flags) or self._unfit(cookie)
        if not failed:
            self._held[key] = cookie
        return failed

    def _unfit(self, cookie: int) -> int:
        socket = None if self._net is None else self._net.socket(cookie)
        if socket is not None and socket.protocol not in ("tcp", "udp"):
            return -ENOTSUPP
        if socket is not None and socket.group is None:
            return -EINVAL
        return -EBUSY if cookie in self._held.values() else 0

    def remove(self, key: bytes) -> int:
        """See MapState."""
        return self._outside(key) or (0 if self._held.pop(key, None) is not None else -ENOENT)


class XskState(SocketArrayState):
    """xskmap: of AF_XDP sockets."""

    __slots__ = ()

    def hidden(self) -> int:
        """See MapState. Only programs look."""
        return -EOPNOTSUPP

    def put(self, key: bytes, value: bytes, flags: int, cpu: int) -> int:
        """See MapState."""
        if flags > EXIST:
            return -EINVAL
        cookie = int.from_bytes(value, self.order)
        failed = self._outside(key) or (-EBADF if cookie > _MOST else self._there(cookie))
        socket = None if self._net is None else self._net.socket(cookie)
        if not failed and socket is not None and socket.protocol != "xdp":
            failed = -EOPNOTSUPP
        if failed or self._held.get(key) == cookie:
            return failed
        if failed := self._flagged(key, flags):
            return failed
        self._held[key] = cookie
        return 0

    def remove(self, key: bytes) -> int:
        """See MapState. Linux removes what is not there, too."""
        if self._outside(key):
            return -EINVAL
        self._held.pop(key, None)
        return 0
