"""The programs of cgroups and sockets, and those that only watch.

Every statement here is worked out from what the program is for, not from a run of it.
"""

from __future__ import annotations

import struct

from tests.programs.frames import address, ethernet, tcp, udp
from tests.programs.said import (
    NO_TEST_RUN,
    Body,
    Run,
    S,
    network,
    on_cpu,
    port,
)

PULSE = 1 << 24
PROXY = address("127.0.0.1") + port(15001) + bytes(2)


def endpoint(text: str, number: int) -> dict[str, bytes]:
    """Where a socket is connected or bound to; in network order."""
    return {"user_ip4": address(text), "user_port": port(number)}


ON_SOCKETS: dict[str, Body] = {
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
            Run(1, given={"family": 2, "local_ip4": address("10.3.0.1"), "local_port": 80}),
            Run(0, given={"family": 2, "local_ip4": address("10.3.0.1"), "local_port": 90}),
            Run(1, given={"family": 2, "local_ip4": address("10.4.0.1"), "local_port": 90}),
        ),
        {"tenants": [(network("10.3.0.0", 16), S("II", 80, 89))]},
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
