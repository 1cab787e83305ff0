"""The body of real programs (examples/programs): what each is given, what it answers, what it leaves.

Every statement here is worked out from what the program is for, not from a run of it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.programs.frames import ME, YOU, address, arp, echo, ethernet, ipv4, question, tcp, udp


@dataclass(frozen=True, slots=True)
class S:
    """Numbers packed in the byte order of the program."""

    form: str
    values: tuple[Any, ...]

    def __init__(self, form: str, *values: Any) -> None:
        object.__setattr__(self, "form", form)
        object.__setattr__(self, "values", values)

    def bytes(self, order: str) -> bytes:
        return struct.pack((">" if order == "big" else "<") + self.form, *self.values)


@dataclass(frozen=True, slots=True)
class Run:
    """One run. after: the packet afterwards, where it is another; given, left: fields of the context;
    printed: lines.

    A field in network order is given as bytes.
    """

    r0: int
    packet: bytes = b""
    after: bytes | None = None
    given: Mapping[str, int | bytes] = field(default_factory=dict)
    left: Mapping[str, int | bytes] = field(default_factory=dict)
    printed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    """A program and its runs in one world.

    type      program type
    elements  map -> what it holds at the start; maps: what it holds in the end (a tuple: of each CPU, or a list)
    data      section -> the first bytes of that global data in the end
    entry     the function that is entered, "" for the object's first
    live      "" where the live kernel does the same, else why it cannot say: words of the answer
    cpu       which CPU runs it
    """

    type: str
    runs: tuple[Run, ...]
    elements: Mapping[str, Sequence[tuple[Any, Any]]] = field(default_factory=dict)
    maps: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, S] = field(default_factory=dict)
    entry: str = ""
    live: str = ""
    cpu: int = 0


PASS, DROP, TX = 2, 1, 3  # XDP
OK, SHOT, PIPE = 0, 2, 3  # tc
NO_TEST_RUN = "BPF_PROG_TEST_RUN does not run"


def port(number: int) -> bytes:
    """A port as packets have it."""
    return struct.pack(">H", number)


def network(text: str, length: int) -> S:
    return S("I4s", length, address(text))


def on_cpu(cpu: int, value: Any, other: Any = 0) -> tuple[Any, ...]:
    """A per-CPU value that one CPU has written."""
    return tuple(value if number == cpu else other for number in range(4))


SHORT = ethernet(b"\x45")
WEB = ethernet(tcp(40000, 80, 2))

# balancer: what the program's hash gives, once more, in Python.


def slot_of(by: str, source: int) -> int:
    found = 0
    for word in (int.from_bytes(address(by), "big"), source):
        found = (found ^ word) * 0x9E3779B1 & 0xFFFFFFFF
        found ^= found >> 15
    return found % 16


SERVERS = ("10.1.0.1", "10.1.0.2", "10.1.0.3")
CLIENTS = (("10.0.0.1", 40000), ("10.0.0.7", 40001), ("10.9.8.7", 1234))


def served(by: str, source: int) -> int:
    return slot_of(by, source) % len(SERVERS)


def to_service(by: str, source: int, flags: int = 2) -> bytes:
    return ethernet(tcp(source, 80, flags, by, "192.0.2.1", b"GET"), to=YOU)


def at_server(by: str, source: int, flags: int = 2) -> bytes:
    number = served(by, source)
    return ethernet(
        tcp(source, 80, flags, by, SERVERS[number], b"GET"), to=bytes((2, 0, 0, 0, 1, number)), by=YOU
    )  # fmt: skip


OPTIONS = ethernet(udp(bytes((7, 4, 0, 0, 1, 2, 9, 1, 5, 8, 6, 1, 1, 1, 1, 2, 2, 0)), 1, 2))
TEXT = ethernet(udp(b"length: 42 and more", 1, 2))
FLOW = ("10.0.0.1", "10.0.0.2")


def flow(source: int, dest: int) -> bytes:
    return address(FLOW[0]) + address(FLOW[1]) + port(source) + port(dest)


def masked(packet: bytes, new: int) -> bytes:
    """A UDP frame with another source port and no checksum."""
    return packet[:34] + port(new) + packet[36:40] + bytes(2) + packet[42:]


def mac(number: int) -> bytes:
    return bytes((2, 0, 0, 0, 0, number))


ASKS = [ethernet(udp(question(name), 5353, 53)) for name in ("ads.example", "WWW.Ads.Example", "ads.example.org")]
DATAGRAMS = [ethernet(udp(text, source, 9000)) for text, source in ((b"hi", 1000), (b"ho", 1001), (b"\xff", 1000))]
TENANT = [ethernet(tcp(1, 22, 2), tag=number) for number in (1, 2, 3)]
BLOCKED, DEEPER = ethernet(udp(b"x", 1, 2, by="198.51.100.7")), ethernet(udp(b"x", 1, 2, by="198.51.100.200"))

SIX = struct.pack(">IHBB", 6 << 28, 0, 58, 64) + bytes(32)
INNER = udp(b"inside", 1, 2, to="10.0.8.7")
PULSE = 1 << 24

FRAGMENTS = (
    (24, ethernet(ipv4(b"part two", 17, fragment=3, number=513))),
    (0, ethernet(ipv4(b"part one", 17, fragment=0x2000, number=513))),
)
PROXY = address("127.0.0.1") + port(15001) + bytes(2)


HOPS = {ttl: ethernet(ipv4(b"a packet's payload....", 17, ttl=ttl)) for ttl in (64, 63, 2, 1)}


def endpoint(text: str, number: int) -> dict[str, bytes]:
    """Where a socket is connected or bound to; in network order."""
    return {"user_ip4": address(text), "user_port": port(number)}


BODY: dict[str, Body] = {
    "firewall": Body(
        "xdp",
        (Run(DROP, BLOCKED), Run(PASS, DEEPER), Run(PASS, WEB), Run(PASS, SHORT), Run(DROP, BLOCKED)),
        {"rules": [(network("198.51.100.0", 24), DROP), (network("198.51.100.192", 26), PASS)]},
        {"verdicts": {DROP: on_cpu(1, S("QQ", 2, 86), bytes(16)), PASS: on_cpu(1,
        S("QQ", 3, 43 + 54 + 15), bytes(16))}},
        cpu=1,
    ),
    "balancer": Body(
        "xdp",
        (
            *(Run(TX, to_service(*client), at_server(*client)) for client in CLIENTS),
            Run(TX, to_service(*CLIENTS[0], 0x10), at_server(*CLIENTS[0], 0x10)),
            Run(PASS, WEB), Run(PASS, ethernet(udp(b"", 1, 80, to="192.0.2.1"))),
        ),
        {
            "services": [(S("4s2sH", address("192.0.2.1"), port(80), 6), 1)],
            "ring": [(16 + slot, slot % len(SERVERS)) for slot in range(16)],
            "servers": [
                (number, S("4s6sHI",
                address(SERVERS[number]), bytes((2, 0, 0, 0, 1, number)), 0, 0)) for number in range(3)
            ],
        },
        {"servers": {
            number: S(
                "4s6sHI", address(SERVERS[number]), bytes((2, 0, 0, 0, 1, number)), 0,
                sum(served(*client) == number for client in CLIENTS),
            ) for number in range(3)
        }},
    ),
    "vlan": Body(
        "xdp",
        (
            Run(PASS, ethernet(tcp(1, 2, 0), tag=42), ethernet(tcp(1, 2, 0))),
            Run(PASS, ethernet(tcp(1, 2, 0)), ethernet(tcp(1, 2, 0), tag=300)),
            Run(DROP, ethernet(b"abc")),
        ),
        {"tags": [(1, 300)]},
    ),
    "ping": Body(
        "xdp",
        (
            Run(TX, ethernet(echo(8, b"ping"), to=YOU), ethernet(echo(0, b"ping", FLOW[1], FLOW[0]), to=ME, by=YOU)),
            Run(PASS, ethernet(echo(0, b"ping"))), Run(PASS, WEB), Run(PASS, SHORT),
        ),
    ),
    "parser": Body(
        "xdp",
        (
            Run(DROP, ethernet(udp(b"to nobody", 1, 9))), Run(PASS, ethernet(udp(b"", 1, 10))), Run(PASS, WEB),
            Run(PASS, ethernet(arp(1, ME, "10.0.0.1"), 0x0806)), Run(DROP, SHORT),
        ),
        maps={"reached": {0: 5, 1: 4, 2: 2}},
        entry="parse",
    ),
    "limiter": Body(
        "sched_cls",
        (Run(OK, ethernet(udp(bytes(200), 1, 2))), Run(SHOT, ethernet(udp(bytes(200), 1, 2))),
         Run(OK, ethernet(udp(bytes(200), 1, 2, by="10.0.0.3"))), Run(OK, ethernet(arp(1, ME, "10.0.0.1"), 0x0806))),
        live="it calls ktime_get_ns, whose result is the machine's",
    ),
    "rewrite": Body(
        "sched_cls",
        (
            Run(PIPE, ethernet(udp(b"moved", 1, 8080)), ethernet(udp(b"moved", 1, 53, to="10.0.0.77")),
            left={"mark": 8080}),
            Run(OK, ethernet(udp(b"stays", 1, 8081))), Run(OK, WEB), Run(OK, ethernet(arp(1, ME, "10.0.0.1"), 0x0806)),
        ),
        {"targets": [(port(8080), S("4s2sH", address("10.0.0.77"), port(53), 0))]},
        {"targets": {port(8080): S("4s2sH", address("10.0.0.77"), port(53), 1)}},
    ),
    "dns": Body(
        "xdp",
        (Run(DROP, ASKS[0]), Run(DROP, ASKS[1]), Run(PASS, ASKS[2]), Run(PASS, ASKS[0][:-8]),
         Run(PASS, ethernet(udp(question("ads.example"), 53, 5353)))),
        {"blocked": [(name.ljust(32, b"\0"), 0) for name in (b"ads.example", b"www.ads.example")]},
        {"blocked": {name.ljust(32, b"\0"): 1 for name in (b"ads.example", b"www.ads.example")}},
    ),
    "syn": Body(
        "xdp",
        (Run(PASS, WEB), Run(PASS, WEB), Run(DROP, WEB), Run(PASS, ethernet(tcp(40000, 80, 0x10))),
         Run(PASS, ethernet(tcp(40000, 80, 2, by="10.0.0.5"))), Run(DROP, WEB)),
        maps={"opened": {address("10.0.0.1"): 4, address("10.0.0.5"): 1}},
        data={".bss": S("Q", 2)},
    ),
    "egress": Body(
        "cgroup_skb",
        (Run(1, ethernet(udp(bytes(40), 1, 2))), Run(1, ethernet(tcp(1, 2, 0))), Run(0, ethernet(udp(bytes(40), 1, 2))),
         Run(1, ethernet(tcp(1, 2, 0)))),
        maps={"usage": {17: on_cpu(0, S("QQ", 68, 1), bytes(16)), 6: on_cpu(0, S("QQ", 80, 2), bytes(16))}},
        data={".data": S("Q", 150 - 68 - 40 - 40)},
    ),
    "device": Body(
        "cgroup_device",
        (
            Run(1, given={"access_type": 2 << 16 | 2, "major": 1, "minor": 3}),
            Run(0, given={"access_type": 4 << 16 | 2, "major": 1, "minor": 3}),
            Run(1, given={"access_type": 6 << 16 | 2, "major": 136, "minor": 12}),
            Run(0, given={"access_type": 2 << 16 | 1, "major": 8, "minor": 0}),
        ),
        {"allowed": [(S("III", 2, 1, 3), 3), (S("III", 2, 136, 0xFFFFFFFF), 6)]},
        data={".bss": S("I", 2)},
        live=NO_TEST_RUN,
    ),
    "syscalls": Body(
        "raw_tracepoint",
        tuple(Run(0, given={"args[1]": number}) for number in (41, 1, 1, 59, 1)),
        maps={"calls": {41: 1, 1: 3, 59: 1}},
        data={".bss": S("Q", 2)},
    ),
    "sysctl": Body(
        "cgroup_sysctl",
        (Run(1), Run(0, given={"write": 1, "file_pos": 3}), Run(1, given={"write": 1}), Run(0, given={"write": 1})),
        data={".bss": S("III", 1, 1, 2)},
        live=NO_TEST_RUN,
    ),
    "sockopt": Body(
        "cgroup_sockopt",
        (
            Run(0, bytes(14) + bytes(4), given={"level": 1, "optname": 36}),
            Run(1, bytes(14) + b"\xbb\0\0\0", bytes(14) + b"\xb8\0\0\0", given={"level": 0, "optname": 1}),
            Run(1, bytes(14) + b"\xbb\0\0\0", given={"level": 6, "optname": 1}),
            Run(0, bytes(14), given={"level": 1, "optname": 36}),
        ),
        maps={"asked": {1 << 32 | 36: 2, 1: 1, 6 << 32 | 1: 1}},
        live=NO_TEST_RUN,
    ),
    "connect": Body(
        "cgroup_sock_addr",
        (
            Run(1, given=endpoint("10.0.0.7", 80), left=endpoint("127.0.0.1", 15001)),
            Run(1, given=endpoint("10.0.0.7", 81), left=endpoint("10.0.0.7", 81)), Run(0,
            given=endpoint("10.0.0.7", 25)),
        ),
        {"proxies": [(address("10.0.0.7") + port(80) + bytes(2), PROXY)]},
        {"wanted": (address("10.0.0.7") + port(80) + bytes(2),)},
        live=NO_TEST_RUN,
    ),
    "bind": Body(
        "cgroup_sock_addr",
        (
            Run(1, given=endpoint("0.0.0.0", 80), left=endpoint("0.0.0.0", 8080)),
            Run(0, given=endpoint("0.0.0.0", 8080)), Run(1, given=endpoint("0.0.0.0", 0)),
            Run(1, given=endpoint("0.0.0.0", 9000), left=endpoint("0.0.0.0", 9000)),
        ),
        maps={"given": {8080: 80, 9000: 9000}},
        live=NO_TEST_RUN,
    ),
    "steer": Body(
        "sk_lookup",
        (
            Run(1, given={"local_ip4": address("10.3.0.1"), "local_port": 80}),
            Run(0, given={"local_ip4": address("10.3.0.1"), "local_port": 90}),
            Run(1, given={"local_ip4": address("10.4.0.1"), "local_port": 90}),
        ),
        {"tenants": [(network("10.3.0.0", 16), S("II", 80, 89))]},
        live=NO_TEST_RUN,
    ),
    "sampler": Body(
        "socket_filter",
        (Run(44, ethernet(udp(b"watched, and long", 1, 4000))[: 14 + 44]), Run(29, ethernet(udp(b"x", 1, 4000))),
         Run(36, ethernet(udp(b"long but", 1, 4001))), Run(40, WEB)),
        {"watched": [(4000, 1)]},
        {"samples": (S("4s2sH8s", address("10.0.0.1"), port(4000), 44, b"watched,"),)},
        live="records cannot be put into a ring buffer",
    ),
    "rtt": Body(
        "sock_ops",
        (
            Run(1, given={"op": 12, "family": 2, "srtt_us": 8 * 1000}), Run(1,
            given={"op": 12, "family": 2, "srtt_us": 8 * 1023}),
            Run(1, given={"op": 12, "family": 2, "srtt_us": 7}), Run(1, given={"op": 12, "family": 10, "srtt_us": 8}),
            Run(1, given={"op": 3, "family": 2, "srtt_us": 8}), Run(1,
            given={"op": 12, "family": 2, "srtt_us": 0xFFFFFFFF}),
        ),
        maps={"histogram": {9: on_cpu(2, 2), 0: on_cpu(2, 1), 23: on_cpu(2, 1)}},
        live=NO_TEST_RUN,
        cpu=2,
    ),
    "events": Body(
        "xdp",
        (Run(DROP, FRAGMENTS[0][1]), Run(PASS, WEB), Run(DROP, FRAGMENTS[1][1])),
        maps={"events": tuple(S("4sHH34s", address("10.0.0.1"), 513, at, packet[:34]) for at, packet in FRAGMENTS)},
        live="no perf event is opened there",
    ),
    "twostage": Body(
        "sched_cls",
        (
            Run(PIPE, ethernet(udp(b"", 1, 2, by="10.0.0.8")), left={"mark": 17}),
            Run(OK, ethernet(udp(b"", 1, 2, by="10.0.0.9")), left={"mark": 0}),
            Run(OK, ethernet(udp(b"", 1, 2, by="10.0.0.10")), left={"mark": 0}),
        ),
        {"maybe": [(b"", address("10.0.0.8")), (b"", address("10.0.0.9"))], "marks": [(address("10.0.0.8"), 17)]},
        data={".bss": S("Q", 2)},
        live="its chance hits are the kernel's own",
    ),
    "masquerade": Body(
        "xdp",
        (
            Run(TX, DATAGRAMS[0], masked(DATAGRAMS[0], 6001)), Run(TX, DATAGRAMS[1], masked(DATAGRAMS[1], 6000)),
            Run(DROP, ethernet(udp(b"late", 1002, 9000))), Run(TX, DATAGRAMS[2], masked(DATAGRAMS[2], 6001)),
            Run(DROP, DATAGRAMS[2]), Run(TX, DATAGRAMS[1], masked(DATAGRAMS[1], 6000)),
        ),
        {"ports": [(b"", port(6000)), (b"", port(6001))]},
        {"ports": (port(6001),), "flows": {flow(1001, 9000): port(6000)}, "turned_away": (flow(1002, 9000),)},
    ),
    "histogram": Body(
        "sched_cls",
        (Run(OK, ethernet(udp(b"abcp\x01\x02\xff", 1, 2)), left={"cb[0]": 8}), Run(SHOT, ethernet(udp(b"", 1, 2)))),
        maps={"classes": {6: 3, 7: 1, 0: 2, 15: 1}},
    ),
    "aging": Body(
        "xdp",
        (
            *(
                Run(answer, ethernet(arp(2, mac(number), f"10.0.0.{number}"), 0x0806))
                for number, answer in ((1, PASS), (2, PASS), (2, PASS), (3, PASS), (2, TX))
            ),
            Run(PASS, ethernet(arp(1, ME, "10.0.0.4"), 0x0806)),
        ),
        maps={"neighbours": {address("10.0.0.2"): S("6sH", mac(2), 0), address("10.0.0.3"): S("6sH", mac(3), 1)}},
    ),
    "expiry": Body(
        "sched_cls",
        (Run(OK, ethernet(udp(b"", 1, 2))), Run(OK, ethernet(udp(b"", 1, 2, by="10.0.0.3"))), Run(OK, SHORT)),
        maps={"flows": {}},
        data={".bss": S("QQ", 2, 2)},
        live="it calls timer_init, whose result is the machine's",
    ),
    "race": Body(
        "xdp",
        (Run(PASS, WEB),) * 3,
        maps={"plain": {0: 3}, "atomic": {0: 3}, "per_cpu": {0: on_cpu(1, 3)}, "locked": {0: S("II", 3, 0)}},
        cpu=1,
    ),
    "options": Body(
        "sched_cls",
        (Run(OK, OPTIONS), Run(SHOT, OPTIONS[:-1]), Run(SHOT, ethernet(udp(b"", 1, 2)))),
        maps={"values": {7: 0x0102, 8: 0x01010101}},
    ),
    "tenants": Body(
        "xdp",
        (*(Run(PASS if number == 1 else DROP, frame) for number, frame in enumerate(TENANT, 1)),
         Run(PASS, ethernet(tcp(1, 80, 2), tag=2)), Run(DROP, ethernet(tcp(1, 80, 2)))),
        {"blue": [(22, 0)], "green": [(80, 4)]},
        {"blue": {22: 1}, "green": {80: 5}},
    ),
    "text": Body(
        "sched_cls",
        (
            Run(PIPE, TEXT, left={"mark": 42}), Run(SHOT, ethernet(udp(b"length: some", 1, 2))),
            Run(OK, ethernet(udp(b"size: 42", 1, 2))), Run(PIPE, ethernet(udp(b"length:-1", 1, 2)),
            left={"mark": 0xFFFFFFFF}),
        ),
        maps={"lines": {0: b"-1 bytes, 0xffffffff".ljust(32, b"\0")}},
    ),
    "hops": Body(
        "lwt_in",
        (Run(0, ethernet(ipv4(b"", 6, ttl=61))), Run(0, ethernet(ipv4(b"", 6, ttl=125))),
         Run(0, ethernet(ipv4(b"", 6, ttl=255))),
         Run(2, ethernet(ipv4(b"", 6, ttl=30))),Run(2, ethernet(b"", 0x0806))),
        maps={"distances": {3: 2, 0: 1}},
    ),
    "ttl": Body(
        "sched_cls",
        (
            Run(OK, HOPS[64], HOPS[63], left={"mark": 56, "cb[1]": 63}), Run(OK, HOPS[2], HOPS[1], left={"cb[1]": 1}),
            Run(SHOT, HOPS[1]), Run(OK, ethernet(arp(1, ME, "10.0.0.1"), 0x0806)),
        ),
    ),
    "snap": Body(
        "socket_filter",
        (Run(40, WEB, left={"cb[0]": 40}), Run(28 + 260 - 256, ethernet(udp(bytes(260), 1, 2)), left={"cb[0]": 288})),
    ),
    "dissector": Body(
        "flow_dissector",
        (
            Run(0, WEB), Run(0, ethernet(SIX, 0x86DD)), Run(2, FRAGMENTS[0][1]), Run(2, ethernet(SIX[:39], 0x86DD)),
            Run(0, WEB),
            Run(2, ethernet(arp(1, ME, "10.0.0.1"), 0x0806)),
        ),
        maps={"protocols": {6: on_cpu(0, 2), 58: on_cpu(0, 1)}},
        live=NO_TEST_RUN,
    ),
    "remote": Body(
        "lirc_mode2",
        (
            *(Run(0, given={"sample": sample}) for bit in "10100101"
              for sample in (PULSE + 600 + 1000 * int(bit), 500)),
            *(Run(0, given={"sample": sample}) for sample in (9000, PULSE + 600, 9000, PULSE + 1600)),
        ),
        maps={"words": (S("I", 0b10100101),)},
        data={".bss": S("II", 1, 1)},
        live=NO_TEST_RUN,
    ),
    "encap": Body(
        "lwt_xmit",
        (
            Run(0, ethernet(INNER), ethernet(ipv4(INNER, 4, to="192.0.2.9"))), Run(0, WEB),
            Run(2, ethernet(b"", 0x0806)),
        ),
        {"tunnels": [(address("10.0.8.0"), address("192.0.2.9"))]},
    ),
    "spread": Body(
        "xdp",
        (
            Run(4, WEB), Run(DROP, ethernet(udp(b"", 1, 2, to="10.0.0.3"))),
            Run(4, ethernet(udp(b"", 1, 2, by="10.0.2.2", to="10.0.0.3"))), Run(PASS, SHORT),
        ),
        {"cpus": [(3, 64)]},
        live="its elements would be threads on the CPUs of this machine",
    ),
    "opens": Body(
        "raw_tracepoint",
        tuple(
            Run(0, given={"args[1]": number}, printed=printed)
            for number, printed in ((257, ("crossbpf opens files: process 4242",)), (1, ()), (257, ()))
        ),
        maps={"commands": {b"crossbpf".ljust(16, b"\0"): 4242}, "users": {1000: 2}},
        live="trace_printk would switch on a trace event",
    ),
    "stream": Body(
        "sk_skb",
        (Run(14, bytes(14) + struct.pack(">I", 10) + b"ten bytes!"), Run(0, bytes(14) + b"\0\0"),
         Run(0xFFFFFFFF, bytes(14) + struct.pack(">I", 1 << 20))),
        data={".bss": S("QQ", 1, 1)},
        live=NO_TEST_RUN,
    ),
    "router": Body(
        "xdp",
        (Run(PASS, ethernet(b"", to=mac(2), by=mac(1)), given={"ingress_ifindex": 1}),
         Run(4, ethernet(b"", to=mac(1), by=mac(2)), given={"ingress_ifindex": 2}),
         Run(PASS, ethernet(b"", to=mac(3), by=mac(2)), given={"ingress_ifindex": 2})),
        {"ports": [(1, 1)]},
        {"learned": {mac(1) + bytes(2): 1, mac(2) + bytes(2): 2}},
        live="its elements would be devices of this machine",
    ),
    "tagging": Body(
        "sched_act",
        (
            Run(OK, ethernet(udp(b"call", 1, 5060)), left={"priority": 6, "vlan_present": 1, "vlan_tci": 100}),
            Run(OK, ethernet(udp(b"time", 1, 123)), left={"priority": 2, "vlan_present": 0}),
            Run(PIPE, ethernet(udp(b"", 1, 124)), left={"priority": 0}),
        ),
        {"classes": [(5060, S("IHH", 6, 100, 0)), (123, S("IHH", 2, 0, 0))]},
    ),
    "message": Body(
        "sk_msg",
        (Run(0, bytes(14) + b"drop it"), Run(0, bytes(14) + b"DROP"), Run(1, bytes(14) + b"keep it"),
         Run(1, bytes(14) + b"dr")),
        {"words": [(b"DROP", 0)]},
        {"words": {b"DROP": 11}},
        live=NO_TEST_RUN,
    ),
    "balance_sockets": Body(
        "sk_reuseport",
        (Run(1, bytes(14 + 100), given={"ip_protocol": 17, "hash": 3}), Run(0, bytes(14 + 10),
         given={"ip_protocol": 17, "hash": 3}),
         Run(1, bytes(14 + 10), given={"ip_protocol": 17, "hash": 2}), Run(1, bytes(14 + 10),
         given={"ip_protocol": 6, "hash": 3})),
        maps={"sizes": {0: on_cpu(0, 10), 1: on_cpu(0, 110)}},
        live=NO_TEST_RUN,
    ),
    "sockets": Body(
        "cgroup_sock",
        (
            Run(1, given={"type": 1}, left={"mark": 0x101, "priority": 2}), Run(1, given={"type": 2},
            left={"mark": 0x102, "priority": 6}),
            Run(0, given={"type": 3}, left={"mark": 0}), Run(1, given={"type": 1}), Run(0, given={"type": 1},
            left={"mark": 0}),
        ),
        maps={"made": {1: on_cpu(0, 2), 2: on_cpu(0, 1)}},
        live=NO_TEST_RUN,
    ),
}  # fmt: skip
