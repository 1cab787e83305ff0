"""The context of a run: built from the input in the internal layout, read back after the run.

Fields that the input does not set are what BPF_PROG_TEST_RUN sets: the frame has come in on the loopback device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bpf.errors import BadInput
from bpf.object.attach import RETURNING, attached
from bpf.object.attach import words as attached_words
from bpf.object.btf_build import content
from bpf.order import Order
from bpf.plan import PAGE, Unit
from bpf.spec.contexts import OBJECT, PACKET, PACKET_END, PACKET_META, XDP_MOST, View
from bpf.spec.conventions import Convention
from bpf.spec.program_types import LINK
from vm.world import Input

AF_INET, AF_INET6 = 2, 10
ETH_P_IP, ETH_P_IPV6, ETH_P_802_2, ETH_P_802_3, ETH_P_LEAST = 0x0800, 0x86DD, 4, 1, 0x600
HOST, BROADCAST, MULTICAST, OTHERHOST = range(4)  # PACKET_* of linux/if_packet.h
LOOPBACK = 1  # its ifindex
WORD = 8
DERIVED = frozenset({"len"})
"""Numbers that say what the packet is and so cannot be set."""


def data_offset(convention: Convention, entry: Input) -> int:
    """How far behind the packet's first byte its data begin."""
    if convention.type is None or convention.type.data != LINK:
        return entry.network
    return entry.metadata


def build(unit: Unit, entry: Input, packet: int) -> bytes:
    """The internal context of a run. packet: address of the frame's first byte. Raises BadInput."""
    view = unit.convention.view
    assert view is not None
    if view.layout.open:
        return _memory(unit, content(entry.record, unit.order))
    order = unit.order
    numbers = _checked(view, entry.context)
    found = defaults(unit.convention, entry, order) | numbers
    start = packet + data_offset(unit.convention, entry)
    meta = packet if unit.convention.type is not None and unit.convention.type.data == LINK else start
    pointers = {PACKET: start, PACKET_END: packet + len(entry.packet), PACKET_META: meta, OBJECT: 0}
    data = bytearray(view.layout.internal)
    given = content(entry.record, unit.order)
    if given and (not view.layout.words or len(given) > view.layout.size):
        what = f"at most {view.layout.size}" if view.layout.words else "no"
        raise BadInput(f"{len(given)} bytes of context: a {view.layout.name} takes {what} bytes")
    data[: len(given)] = given
    for one in view.layout.fields:
        if given and one.name not in found:
            continue
        value = pointers[one.pointer] if one.pointer else found.get(one.name, 0)
        data[one.at : one.at + one.kept] = value.to_bytes(one.kept, order)
    for word, value in _state(unit, entry, packet, start, found).items():
        at = view.layout.state[word]
        data[at : at + WORD] = value.to_bytes(WORD, order)
    return bytes(data)


def _memory(unit: Unit, record: bytes) -> bytes:
    """A context that is memory. Raises BadInput where the program uses more than is given, or more than can be is."""
    view = unit.convention.view
    assert view is not None
    if not unit.reach <= len(record) <= view.layout.size:
        what = f"the program uses {unit.reach}" if len(record) < unit.reach else f"at most {view.layout.size} can be"
        raise BadInput(f"a context of {len(record)} bytes, and {what}", remedy="give the bytes that the program reads")
    return record.ljust(max(-(-len(record) // WORD), 1) * WORD, b"\0")


def _state(unit: Unit, entry: Input, packet: int, start: int, found: Mapping[str, int]) -> dict[str, int]:
    """What only helpers see of a context (Layout.state). start: address of the packet's data."""
    assert unit.convention.view is not None
    size, words = len(entry.packet), unit.convention.view.layout.state
    if not words:
        return {}
    if "arguments" in words:
        program = unit.programs[0].source or unit.programs[0]
        returned = attached(program.section)[0] in RETURNING
        known = attached_words(program) or ()
        has = returned and bool(known) and known[-1].name == "ret"
        return {"arguments": len(known) - has, "returned": int(returned)}
    head, tail = unit.room(size)
    first, last = packet - head, packet + size + tail
    if "mac" not in words:
        if head:
            first, last = start - head, max(start + XDP_MOST, packet + size)
        return {"first": first, "last": last}
    network = packet + entry.network
    mac = network - entry.network if start == network else start
    network = max(network, mac + entry.network)
    return {"first": first, "last": last, "mac": mac, "network": network, "hashed": int(bool(found.get("hash")))}


def _checked(view: View, given: Mapping[str, int]) -> dict[str, int]:
    """The fields that a user sets, as unsigned numbers. Raises BadInput."""
    numbers = {}
    for given_name, value in given.items():
        name = view.layout.aliases.get(given_name, given_name)
        one = view.layout.by_name.get(name)
        if one is None or one.pointer or name in DERIVED:
            settable = (f.name for f in view.layout.fields if not f.pointer and f.name not in DERIVED)
            raise BadInput(f"{view.layout.name} has no field {name!r} to set", remedy="fields: " + ", ".join(settable))
        bits = 8 * one.kept
        if not -1 << bits - 1 <= value < 1 << bits:
            raise BadInput(f"{name} = {value} does not fit {bits} bits of {view.layout.name}")
        numbers[name] = value & (1 << bits) - 1
    return numbers


def to_user(view: View, values: Mapping[str, int], order: Order, before: bytes = b"") -> bytes:
    """Fields in the user layout, over what its bytes were before; of memory `+N` is the word at byte N."""
    if view.layout.open:
        memory = bytearray(before.ljust(-(-len(before) // WORD) * WORD, b"\0"))
        for name, value in values.items():
            memory[int(name) : int(name) + WORD] = value.to_bytes(WORD, order)
        return bytes(memory[: len(before)])
    data = bytearray(before[: view.layout.size].ljust(view.layout.size, b"\0"))
    for name, value in values.items():
        one = view.layout.by_name[name]
        data[one.offset : one.offset + one.size] = (value & (1 << 8 * one.size) - 1).to_bytes(one.size, order)
    return bytes(data)


def from_user(view: View, data: bytes, order: Order) -> dict[str, int]:
    """The fields of a context in the user layout; missing bytes are 0, as those behind it must be. Raises BadInput."""
    layout = view.layout
    if any(data[layout.size :]):
        raise BadInput(f"a context of {len(data)} bytes: {layout.name} has {layout.size}")
    data = data[: layout.size].ljust(layout.size, b"\0")
    return {one.name: int.from_bytes(data[one.offset : one.offset + one.size], order) for one in layout.fields}


def read_back(unit: Unit, content: bytes, packet: int) -> dict[str, int]:
    """Field name -> value as a program loads it; a pointer into the packet as the distance from its first byte.

    content: bytes of the internal context; packet: where that byte was at first.
    """
    view = unit.convention.view
    assert view is not None
    layout, found = view.layout, {}
    if layout.open:
        words = range(0, len(content) // WORD * WORD if view.writable else 0, WORD)
        return {f"+{at}": int.from_bytes(content[at : at + WORD], unit.order) for at in words}
    if "first" in layout.state:
        at = layout.state["mac"] if "mac" in layout.state else layout.by_name["data_meta"].at
        packet = int.from_bytes(content[at : at + WORD], unit.order)
    for one in layout.fields:
        value = int.from_bytes(content[one.at : one.at + one.kept], unit.order)
        if one.pointer != OBJECT:
            found[one.name] = value - packet & (1 << 64) - 1 if one.pointer else value
    return found


def packet_after(unit: Unit, entry: Input, context: bytes, packet: bytes) -> bytes:
    """The packet after a run. context: bytes of the internal context; packet: the pages of its region."""
    view = unit.convention.view
    assert view is not None
    size, layout = len(entry.packet), view.layout
    start = unit.packet_start(size)
    base = start - unit.room(size)[0] & -PAGE
    if "first" not in layout.state and "skb_data_end" not in layout.by_name:
        return packet[start - base :][:size]

    def word(at: int) -> int:
        return int.from_bytes(context[at : at + WORD], unit.order) - base

    if not layout.state:
        return packet[start - base : word(layout.by_name["skb_data_end"].at)]
    data, end = word(layout.by_name["data"].at), word(layout.by_name["data_end"].at)
    if "mac" not in layout.state:
        data = word(layout.by_name["data_meta"].at)
    elif unit.convention.type is not None and unit.convention.type.data != LINK:
        return entry.packet[: entry.network] + packet[data:end]
    return packet[data:end]


def defaults(convention: Convention, entry: Input, order: Order) -> dict[str, int]:
    """What the fields are that nobody sets."""
    assert convention.view is not None
    describe = _DESCRIBE.get(convention.view.layout.name)
    return describe(convention, entry, order) if describe else {}


def _xdp(convention: Convention, entry: Input, order: Order) -> dict[str, int]:
    return {"ingress_ifindex": LOOPBACK}


def _sk_buff(convention: Convention, entry: Input, order: Order) -> dict[str, int]:
    frame = entry.packet[entry.metadata :]
    length = max(len(entry.packet) - data_offset(convention, entry), 0)
    found = {"len": length, "wire_len": length, "ifindex": LOOPBACK}
    if entry.network < 14 or len(frame) < entry.network:
        return found
    to, network = frame[:6], frame[entry.network :]
    if not any(to):
        found["pkt_type"] = HOST
    elif to[0] & 1:
        found["pkt_type"] = BROADCAST if to == b"\xff" * 6 else MULTICAST
    else:
        found["pkt_type"] = OTHERHOST
    protocol = int.from_bytes(frame[12:14], "big")
    if protocol < ETH_P_LEAST:
        protocol = ETH_P_802_3 if network[:2] == b"\xff\xff" else ETH_P_802_2
    found["protocol"] = int.from_bytes(protocol.to_bytes(2, "big"), order)
    if protocol == ETH_P_IP and len(network) >= 20:
        found |= {"family": AF_INET, "local_ip4": int.from_bytes(network[12:16], order)}
        found["remote_ip4"] = int.from_bytes(network[16:20], order)
    elif protocol == ETH_P_IPV6 and len(network) >= 40:
        found["family"] = AF_INET6
        for index in range(4):
            found[f"local_ip6[{index}]"] = int.from_bytes(network[8 + 4 * index : 12 + 4 * index], order)
            found[f"remote_ip6[{index}]"] = int.from_bytes(network[24 + 4 * index : 28 + 4 * index], order)
    return found


def _length(convention: Convention, entry: Input, order: Order) -> dict[str, int]:
    length = max(len(entry.packet) - data_offset(convention, entry), 0)
    return {"len": length, "size": length, "skb_len": length}


_DESCRIBE: Mapping[str, Callable[[Convention, Input, Order], dict[str, int]]] = {
    "xdp_md": _xdp, "__sk_buff": _sk_buff, "sk_msg_md": _length, "sk_reuseport_md": _length, "bpf_sock_ops": _length,
}  # fmt: skip
