"""A packet as helpers see it: the words of its context, where only these functions and the program change them."""

from __future__ import annotations

from bpf.spec.contexts import LAYOUTS
from vm.helpers.base import Place
from vm.services import Trap

M16, M32, M64 = 0xFFFF, 0xFFFF_FFFF, (1 << 64) - 1
ETH_HLEN, ETH_P_IP, ETH_P_IPV6 = 14, 0x0800, 0x86DD
ETH_P_8021Q, ETH_P_8021AD = VLANS = 0x8100, 0x88A8
TAG, VLAN_DEPTH = 4, 8  # VLAN_HLEN, VLAN_MAX_DEPTH
WORD = 8
SKB, XDP = "__sk_buff", "xdp_md"


def signed32(value: int) -> int:
    """The low 32 bits as a signed number."""
    return (value & M32 ^ 0x8000_0000) - 0x8000_0000


class Buffer:
    """A packet. Fields of its context and words of Layout.state are items. Raises Trap for what is no such context."""

    __slots__ = ("_at", "_context", "memory", "order")

    def __init__(self, place: Place, context: int, *layouts: str) -> None:
        if not context or context != place.packet.context or place.packet.layout not in layouts:
            raise Trap("context", context)
        layout = LAYOUTS[place.packet.layout]
        self.memory = place.memory
        self.order = place.order
        self._context = context
        self._at = {name: (at, WORD) for name, at in layout.state.items()}
        self._at |= {one.name: (one.at, one.kept) for one in layout.fields}

    def __getitem__(self, name: str) -> int:
        at, size = self._at[name]
        return int.from_bytes(self.memory.read(self._context + at, size), self.order)

    def __setitem__(self, name: str, value: int) -> None:
        at, size = self._at[name]
        self.memory.write(self._context + at, (value & (1 << 8 * size) - 1).to_bytes(size, self.order))

    @property
    def size(self) -> int:
        """Bytes of its data."""
        return self["data_end"] - self["data"]

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of its data."""
        return self.memory.read(self["data"] + offset, size)

    def write(self, offset: int, data: bytes) -> None:
        """Overwrite bytes of its data."""
        self.memory.write(self["data"] + offset, data)

    @property
    def protocol(self) -> int:
        """Of an skb: skb->protocol as a number."""
        return self.network_order(self["protocol"])

    @protocol.setter
    def protocol(self, value: int) -> None:
        self["protocol"] = self.network_order(value)

    def inner_protocol(self) -> int:
        """What its VLAN tags are followed by (skb_protocol, skip_vlan); 0 where they do not end."""
        protocol, depth = self.protocol, self["mac_len"] - TAG if self["mac_len"] else ETH_HLEN
        for _ in range(VLAN_DEPTH):
            if protocol not in VLANS:
                return protocol
            at = self["mac"] + depth
            if at + TAG > self["data_end"]:
                return 0
            protocol = int.from_bytes(self.memory.read(at + 2, 2), "big")
            depth += TAG
        return 0

    def reset_mac_len(self) -> None:
        """The link-layer header is what lies before the network header."""
        self["mac_len"] = self["network"] - self["mac"] & M16

    def network_order(self, value: int) -> int:
        """A number of 16 bits from the program's byte order to the network's, or back."""
        return int.from_bytes((value & M16).to_bytes(2, "big"), self.order)

    # Of an skb: its data begin and end elsewhere ------------------------------------------------------

    def end_at(self, end: int) -> None:
        """Let the data end at an address; what they grow by is zero."""
        old = self["data_end"]
        if end > old:
            self.memory.write(old, bytes(end - old))
        self["data_end"] = end
        self["len"] = end - self["data"]

    def start_at(self, data: int) -> None:
        """Let the data begin at an address; there are no metadata then."""
        self["data"] = self["data_meta"] = data
        self["len"] = self["data_end"] - data

    def make_room(self, before: int, behind: int = 0) -> bool:
        """Have so many free bytes around it: it is moved where there are too few, as Linux takes another buffer."""
        start, end = min(self["mac"], self["data"]), self["data_end"]
        first, last = self["first"], self["last"]
        if start - before >= first and end + behind <= last:
            return True
        if before + end - start + behind > last - first:
            return False
        distance = first + before - start if start - before < first else last - behind - end
        content = self.memory.read(start, end - start)
        for name in ("data", "data_meta", "data_end", "mac", "network"):
            self[name] += distance
        self.memory.write(start + distance, content)
        return True

    def insert(self, offset: int, size: int) -> bool:
        """Push: zeros between the first `offset` bytes of its data and the rest; False without room."""
        if not self.make_room(size):
            return False
        head = self.read(0, offset)
        self.start_at(self["data"] - size)
        self.write(0, head + bytes(size))
        return True

    def take_out(self, offset: int, size: int) -> None:
        """Pull: remove bytes behind the first `offset` of its data."""
        head = self.read(0, offset)
        self.start_at(self["data"] + size)
        self.write(0, head)


def skb(place: Place, context: int) -> Buffer:
    """The skb of a context. Raises Trap."""
    return Buffer(place, context, SKB)


def xdp(place: Place, context: int) -> Buffer:
    """The xdp buffer of a context. Raises Trap."""
    return Buffer(place, context, XDP)
