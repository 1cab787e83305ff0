"""Contexts as data: the layout that a program sees (linux/bpf.h), what each type may do with it, and our own layout.

A program is written against the user layout. It runs on the internal one, where pointers have 64 bits, other fields
have the width that is kept of them and lie in another order, as the kernel's own structures do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from bpf.spec.attach import INET4, INET6, SOCK, UDP4, UDP6, UNIX
from bpf.spec.registers import REGISTERS as MACHINES
from bpf.spec.registers import aliases

PACKET, PACKET_END, PACKET_META, OBJECT = "packet", "packet end", "packet meta", "object"
"""What a pointer field leads to. An OBJECT is something of the kernel's that is not described here."""

SOCKET_FIELD = "sk"
"""The name of an OBJECT that is described: the context's own socket (vm/kept.py)."""

_PACKETS = {PACKET: "pkt", PACKET_END: "pkt_end", PACKET_META: "pkt_meta"}
POINTER = 8
HEADROOM = 256  # XDP_PACKET_HEADROOM
XDP_MOST = 4096 - HEADROOM - 320  # a page less its headroom and skb_shared_info
OPS_MOST = 512  # of a packet to whose TCP header options are added
SKB_MOST = 4 * 4096 - 320  # SKB_MAX_ALLOC
FUNCTION_ARGUMENTS = 12  # MAX_BPF_FUNC_ARGS
RECORD = 8192  # PERF_MAX_TRACE_SIZE: a tracepoint's record at most
SYSCALL = 1 << 16  # U16_MAX, in whole words


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a context.

    offset, size  in the user layout, in bytes
    pointer       what it leads to, "" for a number
    register      what the verifier takes a register for that it is loaded into, in its log's words
    narrow        a load may take an aligned part of it, of at least `least` bytes; head: only its first bytes;
                  reach: the parts are those of a number of so many bytes, which is what lies there
    raw           its bytes lie in both layouts alike, together with the raw fields beside it: any aligned access
                  inside them is carried out as it is; `least` bytes are the smallest store
    whole         raw: an access to its first byte takes all of it
    kept          bytes of it in the internal layout, at offset `at` there
    ceiling       a store of this value or a greater one does nothing; 0: every store counts
    """

    name: str
    offset: int
    size: int
    pointer: str = ""
    narrow: bool = True
    head: bool = False
    reach: int = 0
    raw: bool = False
    whole: bool = False
    least: int = 1
    kept: int = 0
    at: int = 0
    ceiling: int = 0
    register: str = "scalar"


@dataclass(frozen=True, slots=True)
class Layout:
    """A context. size: of the user layout; internal: of ours. `fields` by ascending offset.

    state  what only helpers see: name -> offset in the internal layout of a word of 8 bytes
    room   bytes from a packet's start to the end of its buffer, where a helper may move it
    aliases  other names of fields
    open   it is memory, as long as what is given; fields have no names here; accesses start at first <= offset < end
    """

    name: str
    size: int
    internal: int
    fields: tuple[Field, ...]
    by_name: Mapping[str, Field] = field(compare=False)
    state: Mapping[str, int] = field(default_factory=dict, compare=False)
    room: int = 0
    aliases: Mapping[str, str] = field(default_factory=dict, compare=False)
    open: bool = False
    first: int = 0
    end: int = 1 << 32

    def at(self, offset: int) -> Field | None:
        """The field that the byte at an offset of the user layout belongs to; None in padding."""
        return next((one for one in self.fields if one.offset <= offset < one.offset + one.size), None)

    @property
    def words(self) -> bool:
        """Whether both layouts are the same words, so that bytes say what a context is."""
        return all(one.raw and one.at == one.offset for one in self.fields)

    def run_end(self, inside: Field) -> int:
        """Where the raw fields around a field end, in the user layout."""
        end = inside.offset + inside.size
        for one in self.fields:
            if one.raw and one.offset == end and one.at - inside.at == one.offset - inside.offset:
                end += one.size
        return end


def _layout(name: str, size: int, fields: Iterable[Field], state: str = "", room: int = 0) -> Layout:
    """Give every field its internal place: pointers, then raw runs, then numbers from wide to narrow, last field first.

    The last field comes first, so that hardly a number lies where the user layout has it.
    """
    given = [
        replace(
            one,
            kept=one.kept or (POINTER if one.pointer else one.size),
            narrow=one.narrow and not one.pointer,
            register=_PACKETS.get(one.pointer, one.register),
        )
        for one in fields
    ]
    given.reverse()
    order = sorted(given, key=lambda one: -one.kept)
    given.reverse()
    raw = [one for one in given if one.raw]
    order = [one for one in order if one.pointer] + raw + [one for one in order if not one.pointer and not one.raw]
    placed: dict[str, Field] = {}
    at, before = 0, None
    for one in order:
        follows = one.raw and before is not None and before.raw and before.offset + before.size == one.offset
        if not follows:
            unit = POINTER if one.raw else one.kept
            at = -(-at // unit) * unit
            if one.raw:
                at += one.offset % POINTER
        placed[one.name] = replace(one, at=at)
        at += one.kept
        before = one
    ordered = tuple(placed[one.name] for one in given)
    at = -(-at // 8) * 8
    words = {word: at + 8 * number for number, word in enumerate(state.split())}
    by_name = MappingProxyType({one.name: one for one in ordered})
    return Layout(name, size, at + 8 * len(words), ordered, by_name, MappingProxyType(words), room)


def _memory(name: str, first: int, size: int, end: int) -> Layout:
    """A context that is memory. first, end: see Layout."""
    return replace(_layout(name, size, (Field("", 0, size, raw=True),)), open=True, first=first, end=end)


def _of_machines() -> Iterator[Layout]:
    """The contexts that each machine has its own."""
    for machine, names in MACHINES.items():
        size, text = 8 * len(names), " ".join(names)
        registers = _layout(f"pt_regs.{machine}", size, _words(0, text, 8, raw=True, named=True))
        event = _layout(
            f"bpf_perf_event_data.{machine}", size + 16,
            (*_words(0, text, 8, narrow=False, named=True), *_words(size, "sample_period addr", 8)),
        )  # fmt: skip
        yield from (replace(one, aliases=MappingProxyType(aliases(machine))) for one in (registers, event))


def _words(offset: int, names: str, size: int = 4, *, named: bool = False, **same: object) -> Iterator[Field]:
    """Fields one after the other; `name[N]` is N of them, unless `named`, when it is a name."""
    for name in names.split():
        stem, _, count = ("", "", "") if named else name.partition("[")
        for index in range(int(count[:-1]) if count else 1):
            yield Field(f"{stem}[{index}]" if count else name, offset, size, **same)  # type: ignore[arg-type]
            offset += size


def _pointers(offset: int, **names: str) -> Iterator[Field]:
    """Pointers one after the other: to a part of the packet, or to the object that a register's word names."""
    for number, (name, word) in enumerate(names.items()):
        leads_to = word if word in _PACKETS else OBJECT
        yield Field(name, offset + POINTER * number, POINTER, leads_to, register=word)


_SK_BUFF = (
    *_words(0, "len"), Field("pkt_type", 4, 4, kept=1), *_words(8, "mark"),
    Field("queue_mapping", 12, 4, kept=2, ceiling=0xFFFF),
    Field("protocol", 16, 4, kept=2), *_words(20, "vlan_present"), Field("vlan_tci", 24, 4, kept=2),
    Field("vlan_proto", 28, 4, kept=2), *_words(32, "priority ingress_ifindex ifindex"),
    Field("tc_index", 44, 4, kept=2), *_words(48, "cb[5]", raw=True), *_words(68, "hash"),
    Field("tc_classid", 72, 4, kept=2), Field("data", 76, 4, PACKET), Field("data_end", 80, 4, PACKET_END),
    *_words(84, "napi_id"), Field("family", 88, 4, kept=2),
    *_words(92, "remote_ip4 local_ip4 remote_ip6[4] local_ip6[4]", narrow=False),
    Field("remote_port", 132, 4, kept=2), Field("local_port", 136, 4, kept=2),
    Field("data_meta", 140, 4, PACKET_META), *_pointers(144, flow_keys="flow_keys"),
    Field("tstamp", 152, 8, narrow=False), Field("wire_len", 160, 4), Field("gso_segs", 164, 4, kept=2),
    *_pointers(168, sk="sock_common_or_null"),
    Field("gso_size", 176, 4, kept=2), Field("tstamp_type", 180, 1), Field("hwtstamp", 184, 8, narrow=False),
)  # fmt: skip

_SOCK_OPS = (
    "family remote_ip4 local_ip4 remote_ip6[4] local_ip6[4] remote_port local_port is_fullsock snd_cwnd srtt_us "
    "bpf_sock_ops_cb_flags state rtt_min snd_ssthresh rcv_nxt snd_nxt snd_una mss_cache ecn_flags rate_delivered "
    "rate_interval_us packets_out retrans_out total_retrans segs_in data_segs_in segs_out data_segs_out lost_out "
    "sacked_out sk_txhash"
)

LAYOUTS: Mapping[str, Layout] = MappingProxyType({
    found.name: found for found in (
        _layout("xdp_md", 24, (
            Field("data", 0, 4, PACKET), Field("data_end", 4, 4, PACKET_END), Field("data_meta", 8, 4, PACKET_META),
            *_words(12, "ingress_ifindex rx_queue_index egress_ifindex", narrow=False),
        ), "first last", HEADROOM + XDP_MOST),
        _layout("__sk_buff", 192, _SK_BUFF, "first last mac network mac_len hashed checksum", HEADROOM + SKB_MOST),
        _layout("bpf_sock", 80, (
            *_words(0, "bound_dev_if", narrow=False), *_words(4, "family type protocol", head=True, kept=2),
            *_words(16, "mark priority", narrow=False), *_words(24, "src_ip4 src_ip6[4]"),
            *_words(44, "src_port", head=True, kept=2), Field("dst_port", 48, 4, kept=2, reach=2),
            *_words(52, "dst_ip4 dst_ip6[4]"),
            *_words(72, "state", head=True, kept=1), *_words(76, "rx_queue_mapping", head=True, kept=2),
        )),
        _layout("bpf_sock_addr", 72, (
            *_words(0, "user_family", narrow=False), *_words(4, "user_ip4"),
            *_words(8, "user_ip6[4]", raw=True, least=4), *_words(24, "user_port", kept=2),
            *_words(28, "family type protocol", narrow=False), *_words(40, "msg_src_ip4"),
            *_words(44, "msg_src_ip6[4]", raw=True, least=4), *_pointers(64, sk="sock"),
        )),
        _layout("bpf_sock_ops", 224, (
            *_words(0, "op args[4]", narrow=False), *_words(20, _SOCK_OPS, narrow=False),
            *_words(168, "bytes_received bytes_acked", 8, narrow=False),
            *_pointers(184, sk="sock_or_null", skb_data=PACKET, skb_data_end=PACKET_END),
            *_words(208, "skb_len", narrow=False), *_words(212, "skb_tcp_flags", head=True, kept=1),
            *_words(216, "skb_hwtstamp", 8, narrow=False),
        ), room=OPS_MOST),
        _layout("sk_msg_md", 80, (
            *_pointers(0, data=PACKET, data_end=PACKET_END),
            *_words(16, "family remote_ip4 local_ip4 remote_ip6[4] local_ip6[4] remote_port local_port size",
                    narrow=False),
            *_pointers(72, sk="sock"),
        )),
        _layout("bpf_sk_lookup", 72, (
            *_pointers(0, sk="sock_or_null"), *_words(8, "family protocol", kept=2),
            *_words(16, "remote_ip4 remote_ip6[4]"), Field("remote_port", 36, 4, kept=2),
            *_words(40, "local_ip4 local_ip6[4]"),
            Field("local_port", 60, 4, kept=2), *_words(64, "ingress_ifindex"),
        )),
        _layout("sk_reuseport_md", 56, (
            *_pointers(0, data=PACKET, data_end=PACKET_END),
            *_words(16, "len"), Field("eth_protocol", 20, 4, kept=2, least=2),
            *_words(24, "ip_protocol", kept=2), *_words(28, "bind_inany", kept=1),
            *_words(32, "hash", narrow=False), *_pointers(40, sk="sock", migrating_sk="sock_common_or_null"),
        )),
        _layout("bpf_sysctl", 8, (*_words(0, "write file_pos"),)),
        _layout("bpf_sockopt", 40, (
            *_pointers(0, sk="sock", optval=PACKET, optval_end=PACKET_END),
            *_words(24, "level optname optlen retval", narrow=False),
        )),
        _layout("bpf_cgroup_dev_ctx", 12, (
            *_words(0, "access_type"), *_words(4, "major minor", narrow=False),
        )),
        _layout("raw_tracepoint", 96, _words(0, "args[12]", 8, raw=True)),
        _layout("lirc_mode2", 4, _words(0, "sample", narrow=False)),
        _layout(
            "tracing", 8 * (FUNCTION_ARGUMENTS + 1), _words(0, f"args[{FUNCTION_ARGUMENTS + 1}]", 8, raw=True),
            "arguments returned",
        ),
        _layout("bpf_nf_ctx", 16, _words(0, "state skb", 8, narrow=False)),
        _layout("raw_tracepoint_writable", 96, (
            *_words(0, "buffer", 8, raw=True, whole=True), *_words(8, "args[11]", 8, raw=True),
        )),
        *_of_machines(),
        _memory("tracepoint", 8, RECORD, RECORD),
        _memory("syscall", 0, SYSCALL, SYSCALL - 1),
    )
})  # fmt: skip
"""Layouts by name. Those with a machine behind the dot are that machine's; `tracing` is for all whose words BTF
describes."""


@dataclass(frozen=True, slots=True)
class View:
    """What programs of a type may do with a context: hidden fields cannot be read, writable ones can be written.

    objects  its words are numbers and pointers to the kernel's structures, which BTF tells apart
    """

    layout: Layout
    hidden: frozenset[str] = frozenset()
    writable: frozenset[str] = frozenset()
    objects: bool = False

    def access(self, offset: int, size: int, *, write: bool, signed: bool = False) -> Field | None:
        """The field that an aligned access of `size` bytes means; None where it is not allowed."""
        inside = self.layout.first <= offset < self.layout.end and offset % size == 0
        one = self.layout.at(offset) if inside else None
        if one is None or one.name in self.hidden or (write and one.name not in self.writable):
            return None
        if one.whole and offset == one.offset and size != one.size:
            return None
        if one.raw:
            return one if offset + size <= self.layout.run_end(one) and (not write or size >= one.least) else None
        whole = offset == one.offset and size == one.size
        if write or not one.narrow:
            return one if whole and not (one.pointer and signed) else None
        if whole:
            return one
        if size < one.least or (one.head and offset != one.offset):
            return None
        return one if offset + size <= one.offset + (one.reach or one.size) else None


def _names(*names: str) -> frozenset[str]:
    """Names of fields; `name[N]` is N of them."""
    return frozenset(one.name for one in _words(0, " ".join(names)))


_ADDRESSES = _names("family", "remote_ip4", "local_ip4", "remote_ip6[4]", "local_ip6[4]", "remote_port", "local_port")
_QDISC = _names("tc_classid", "wire_len", "tstamp_type")


def _buff(hidden: Iterable[str], *writable: str) -> View:
    return View(LAYOUTS["__sk_buff"], frozenset(hidden) | {"flow_keys"}, _names(*writable))


_TC = _buff(_ADDRESSES, "mark", "tc_index", "priority", "cb[5]", "tc_classid", "tstamp", "queue_mapping")
_LWT = _buff(_QDISC | _ADDRESSES | {"data_meta", "tstamp", "hwtstamp"}, "mark", "priority", "cb[5]")
_SEEN = _names("data", "data_end", "flow_keys")

VIEWS: Mapping[str, View] = MappingProxyType({
    "socket_filter": _buff(_QDISC | _ADDRESSES | {"data", "data_end", "data_meta", "tstamp", "hwtstamp"}, "cb[5]"),
    "sched_cls": _TC,
    "sched_act": _TC,
    "xdp": View(LAYOUTS["xdp_md"], _names("egress_ifindex")),
    "cgroup_skb": _buff(_QDISC | {"data_meta"}, "mark", "priority", "cb[5]", "tstamp"),
    "cgroup_sock": View(LAYOUTS["bpf_sock"], frozenset(), _names("bound_dev_if", "mark", "priority")),
    "lwt_in": _LWT,
    "lwt_out": _LWT,
    "lwt_xmit": _LWT,
    "lwt_seg6local": _LWT,
    "sock_ops": View(LAYOUTS["bpf_sock_ops"], frozenset(), frozenset({"args[0]", "sk_txhash"})),
    "sk_skb": _buff(_QDISC | {"mark", "data_meta", "tstamp", "hwtstamp"}, "tc_index", "priority"),
    "cgroup_device": View(LAYOUTS["bpf_cgroup_dev_ctx"]),
    "sk_msg": View(LAYOUTS["sk_msg_md"]),
    "raw_tracepoint": View(LAYOUTS["raw_tracepoint"]),
    "cgroup_sock_addr": View(
        LAYOUTS["bpf_sock_addr"], frozenset(),
        _names("user_ip4", "user_ip6[4]", "user_port", "msg_src_ip4", "msg_src_ip6[4]"),
    ),
    "lirc_mode2": View(LAYOUTS["lirc_mode2"]),
    "sk_reuseport": View(LAYOUTS["sk_reuseport_md"]),
    "flow_dissector": View(
        LAYOUTS["__sk_buff"], frozenset(one.name for one in LAYOUTS["__sk_buff"].fields) - _SEEN
    ),
    "cgroup_sysctl": View(LAYOUTS["bpf_sysctl"], frozenset(), _names("file_pos")),
    "cgroup_sockopt": View(LAYOUTS["bpf_sockopt"], frozenset(), _names("level", "optname", "optlen", "retval")),
    "sk_lookup": View(LAYOUTS["bpf_sk_lookup"]),
})  # fmt: skip
"""Program type -> its context, for the types whose context is described here: what any attach type allows."""


def _narrowed(view: View, attach: Iterable[str], hidden: frozenset[str], writable: frozenset[str]) -> dict[str, View]:
    """What programs that are attached there may do of what their type may."""
    return dict.fromkeys(attach, View(view.layout, hidden, view.writable & writable - hidden))


_SOCK, _ADDR, _SOCKOPT = VIEWS["cgroup_sock"], VIEWS["cgroup_sock_addr"], VIEWS["cgroup_sockopt"]
_CREATION, _SOURCE4, _SOURCE6 = _names("bound_dev_if", "mark", "priority"), _names("src_ip4"), _names("src_ip6[4]")
_USER4, _USER6, _FROM4, _FROM6 = (
    _names(name) for name in ("user_ip4", "user_ip6[4]", "msg_src_ip4", "msg_src_ip6[4]")
)  # fmt: skip

ATTACHED: Mapping[str, Mapping[str, View]] = MappingProxyType({
    "xdp": _narrowed(VIEWS["xdp"], ["xdp_devmap"], frozenset(), frozenset()),
    "cgroup_sock": {
        **_narrowed(_SOCK, SOCK[:2], _SOURCE4 | _SOURCE6 | {"src_port"}, _CREATION),
        **_narrowed(_SOCK, SOCK[2:3], _CREATION | _SOURCE6, frozenset()),
        **_narrowed(_SOCK, SOCK[3:], _CREATION | _SOURCE4, frozenset()),
    },
    "cgroup_sock_addr": {
        **_narrowed(_ADDR, (*INET4, UDP4[1]), _USER6 | _FROM4 | _FROM6, _ADDR.writable),
        **_narrowed(_ADDR, UDP4[:1], _USER6 | _FROM6, _ADDR.writable),
        **_narrowed(_ADDR, (*INET6, UDP6[1]), _USER4 | _FROM4 | _FROM6, _ADDR.writable),
        **_narrowed(_ADDR, UDP6[:1], _USER4 | _FROM4, _ADDR.writable),
        **_narrowed(_ADDR, UNIX, _USER4 | _USER6 | _FROM4 | _FROM6, _ADDR.writable),
    },
    "cgroup_sockopt": {
        **_narrowed(_SOCKOPT, ["cgroup_getsockopt"], frozenset(), _names("optlen", "retval")),
        **_narrowed(_SOCKOPT, ["cgroup_setsockopt"], _names("retval"), _names("level", "optname", "optlen")),
    },
})  # fmt: skip
"""Program type -> attach type -> its context, where that depends on it."""

_TCP = (
    "snd_cwnd srtt_us rtt_min snd_ssthresh rcv_nxt snd_nxt snd_una mss_cache ecn_flags rate_delivered rate_interval_us "
    "packets_out retrans_out total_retrans segs_in data_segs_in segs_out data_segs_out lost_out sacked_out"
)

SOCKETS: Mapping[str, View] = MappingProxyType({
    "sock": View(_SOCK.layout),
    "sock_common": View(_SOCK.layout, _names("type", "protocol", "mark", "priority")),
    "tcp_sock": View(_layout("bpf_tcp_sock", 112, (
        *_words(0, _TCP, narrow=False), *_words(80, "bytes_received bytes_acked", 8, narrow=False),
        *_words(96, "dsack_dups delivered delivered_ce icsk_retransmits", narrow=False),
    ))),
    "xdp_sock": View(_layout("bpf_xdp_sock", 4, _words(0, "queue_id", narrow=False))),
})  # fmt: skip
"""What may be read through a pointer to a socket, by the pointer's word in the verifier's log."""

PRIVILEGED: Mapping[str, tuple[frozenset[str], frozenset[str]]] = MappingProxyType({
    "cgroup_skb": (_names("data", "data_end"), _names("tstamp")),
})  # fmt: skip
"""Program type -> the fields that only who holds CAP_BPF may touch, and those that others may only read."""


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes of a context that has no layout here: an aligned access that starts at start <= offset < end is allowed.

    size      the only size that is allowed, 0 for any
    writable  whether stores are
    register  what a load gives, in the verifier's words; type: and the kernel's struct that it points to
    """

    start: int
    end: int
    size: int = 0
    writable: bool = False
    register: str = "scalar"
    type: str = ""

    def allows(self, offset: int, size: int, *, write: bool) -> bool:
        """Whether an access is allowed."""
        fits = self.start <= offset < self.end and offset % size == 0 and self.size in (0, size)
        return fits and (self.writable or not write)


REGISTERS = 21 * 8  # pt_regs of x86_64

REGIONS: Mapping[str, tuple[Region, ...]] = MappingProxyType({
    "kprobe": (Region(0, REGISTERS),),
    "tracepoint": (Region(8, 8192),),  # PERF_MAX_TRACE_SIZE
    "perf_event": (Region(0, REGISTERS, 8), Region(REGISTERS, REGISTERS + 16)),
    "raw_tracepoint_writable": (Region(0, 1, 8, register="tp_buffer"), Region(1, 96)),
    "syscall": (Region(0, 0xFFFF, writable=True),),
    "netfilter": (
        Region(0, 8, 8, register="trusted_ptr_", type="nf_hook_state"),
        Region(8, 16, 8, register="trusted_ptr_", type="sk_buff"),
    ),
})  # fmt: skip
"""Program type -> its context, for other types; registers are those of x86_64, whose verifier this is."""

OTHERS: Mapping[str, View] = MappingProxyType({
    "tracepoint": View(LAYOUTS["tracepoint"]),
    "raw_tracepoint_writable": View(LAYOUTS["raw_tracepoint_writable"]),
    "tracing": View(LAYOUTS["tracing"], objects=True),
    "lsm": View(LAYOUTS["tracing"], objects=True),
    "syscall": View(LAYOUTS["syscall"], frozenset(), frozenset({""})),
    "netfilter": View(LAYOUTS["bpf_nf_ctx"], objects=True),
    **{f"kprobe.{machine}": View(LAYOUTS[f"pt_regs.{machine}"]) for machine in MACHINES},
    **{f"perf_event.{machine}": View(LAYOUTS[f"bpf_perf_event_data.{machine}"]) for machine in MACHINES},
})  # fmt: skip
"""As VIEWS, of contexts that are words or memory; per machine where they are its registers: `kprobe.arm64`."""
