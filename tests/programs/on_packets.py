"""The programs that see packets: XDP, tc, socket filters, tunnels, the flow dissector.

Every statement here is worked out from what the program is for, not from a run of it.
"""

from __future__ import annotations

import struct

from tests.programs.frames import ME, YOU, address, arp, echo, ethernet, ipv4, question, tcp, udp
from tests.programs.said import (
    DROP,
    NO_TEST_RUN,
    OK,
    PASS,
    PIPE,
    SHORT,
    SHOT,
    TX,
    WEB,
    Body,
    Run,
    S,
    network,
    on_cpu,
    port,
)

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


ASKS = [ethernet(udp(question(name), 5353, 53)) for name in ("ads.example", "WWW.Ads.Example", "ads.example.org")]
DATAGRAMS = [ethernet(udp(text, source, 9000)) for text, source in ((b"hi", 1000), (b"ho", 1001), (b"\xff", 1000))]
TENANT = [ethernet(tcp(1, 22, 2), tag=number) for number in (1, 2, 3)]
BLOCKED, DEEPER = ethernet(udp(b"x", 1, 2, by="198.51.100.7")), ethernet(udp(b"x", 1, 2, by="198.51.100.200"))

SIX = struct.pack(">IHBB", 6 << 28, 0, 58, 64) + bytes(32)
INNER = udp(b"inside", 1, 2, to="10.0.8.7")

FRAGMENTS = (
    (24, ethernet(ipv4(b"part two", 17, fragment=3, number=513))),
    (0, ethernet(ipv4(b"part one", 17, fragment=0x2000, number=513))),
)


HOPS = {ttl: ethernet(ipv4(b"a packet's payload....", 17, ttl=ttl)) for ttl in (64, 63, 2, 1)}


def mac(number: int) -> bytes:
    return bytes((2, 0, 0, 0, 0, number))


ON_PACKETS: dict[str, Body] = {
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
    "sampler": Body(
        "socket_filter",
        (Run(44, ethernet(udp(b"watched, and long", 1, 4000))[: 14 + 44]), Run(29, ethernet(udp(b"x", 1, 4000))),
         Run(36, ethernet(udp(b"long but", 1, 4001))), Run(40, WEB)),
        {"watched": [(4000, 1)]},
        {"samples": (S("4s2sH8s", address("10.0.0.1"), port(4000), 44, b"watched,"),)},
        live="records cannot be put into a ring buffer",
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
    "router": Body(
        "xdp",
        (Run(PASS, ethernet(b"", to=mac(2), by=mac(1)), given={"ingress_ifindex": 1}),
         Run(4, ethernet(b"", to=mac(1), by=mac(2)), given={"ingress_ifindex": 2}),
         Run(PASS, ethernet(b"", to=mac(3), by=mac(2)), given={"ingress_ifindex": 2})),
        {"ports": [(1, 1)]},
        {"learned": {mac(1) + bytes(2): 1, mac(2) + bytes(2): 2}},
        live="its elements would be devices of this machine",
    ),
    "pool": Body(
        "sched_cls",
        (*(Run(OK, ethernet(udp(bytes(size), 1, 2))) for size in range(4)), Run(SHOT, WEB)),
        maps={"slots": {number: S("II", 1, 42 + number) for number in range(4)}},
        data={".bss": S("I", 4)},
        entry="produce",
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
}  # fmt: skip
