"""Small programs on maps whose keys or values are objects of the kernel, and what comes of them."""
# ruff: noqa: E501 (a table of programs)

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from bpf.program import Map
from bpf.spec.maps import NO_PREALLOC
from tests.engines.helper_programs import Case
from vm.helpers.owners import PAGE, SOCKETS
from vm.network import LISTEN, Network, Sent, Socket

ENOENT, EFAULT, EEXIST, EINVAL, EOPNOTSUPP = -2, -14, -17, -22, -95
INODE, CGROUP = 0xFFFF_8881_0777_0000, 0xFFFF_8881_0888_0000
TASKS = Map("tasks", "task_storage", 4, 8, 0, flags=NO_PREALLOC)
SOCKS = Map("socks", "sk_storage", 4, 8, 0, flags=NO_PREALLOC)
INODES = Map("inodes", "inode_storage", 4, 8, 0, flags=NO_PREALLOC)
CGROUPS = Map("cgroups", "cgrp_storage", 4, 8, 0, flags=NO_PREALLOC)
OWN, OWN_ID = Map("own", "cgroup_storage", 16, 8, 0), Map("own", "cgroup_storage", 8, 8, 0)
EACH = Map("own", "percpu_cgroup_storage", 16, 8, 0)
STACKS = Map("stacks", "stack_trace", 4, 32, 8)
STACK = {"stack": (0xA, 0xB, 0xC, 0xD, 0xE, 0xF), "user_stack": (0x400, 0x500)}
NET = Network(sockets={
    1: Socket(), 2: Socket(state=LISTEN), 3: Socket(state=""), 4: Socket("udp", local_port=9), 6: Socket("xdp", queue=3),
    7: Socket(state=LISTEN, local_port=7, reuseport=True), 8: Socket(state=LISTEN, local_port=7, reuseport=True),
    9: Socket("udp", local_port=7, reuseport=True), 10: Socket(state=LISTEN, local_port=8, reuseport=True),
})  # fmt: skip
SOCK, HASHED = Map("m", "sockmap", 4, 8, 4), Map("m", "sockhash", 4, 8, 4)
XSKS, PORTS = Map("m", "xskmap", 4, 4, 4), Map("m", "reuseport_sockarray", 4, 8, 4)


def sk(cookie: int) -> str:
    """The address of a socket, in R2."""
    return f"r2 = 0x{SOCKETS + PAGE * cookie:x} ll"


def get(helper: int, owner: str, flags: int, value: int | None = 5) -> str:
    """A call of a storage's get; R6 is its result."""
    given = "r3 = 0" if value is None else f"*(u64 *)(r10 - 8) = {value}; r3 = r10; r3 += -8"
    return f"{owner}; {given}; r1 = map[idx:0]; r4 = {flags}; call {helper}; r6 = r0"


def drop(helper: int, owner: str) -> str:
    return f"{owner}; r1 = map[idx:0]; call {helper}"


def seen(number: int = 0) -> str:
    """R0 is the value at R6; `number` where there is none."""
    return f"r0 = {number}; if r6 == 0 goto +1; r0 = *(u64 *)(r6 + 0)"


TASK = "call 158; r2 = r0"
AT = {"inode": f"r2 = 0x{INODE:x} ll", "cgroup": f"r2 = 0x{CGROUP:x} ll", "task": TASK, "socket": sk(1)}
KNOWN = {"inodes": {7: INODE}, "cgroup_objects": {42: CGROUP}, "net": NET}


def stores() -> dict[str, Case]:
    """The same programs on each storage."""
    found = {}
    for name, map_, helper in (
        ("task", TASKS, 156),
        ("socket", SOCKS, 107),
        ("inode", INODES, 145),
        ("cgroup", CGROUPS, 210),
    ):
        at, delete, rest = AT[name], helper + 1, {"maps": (map_,), "world": KNOWN}
        nobody = "r2 = 0x1234500000 ll"
        found |= {
            f"{name} made": Case(f"{get(helper, at, 1)}; {seen()}", 5, **rest),
            f"{name} made of zeros": Case(f"{get(helper, at, 1, None)}; {seen(9)}", 0, **rest),
            f"{name} that is there": Case(f"{get(helper, at, 1)}; {get(helper, at, 1, 6)}; {seen()}", 5, **rest),
            f"{name} without": Case(f"{get(helper, at, 0)}; {seen(9)}", 9, **rest),
            f"{name} with flags": Case(f"{get(helper, at, 2)}; {seen(9)}", 9, **rest),
            f"{name} null": Case(f"{get(helper, 'r2 = 0', 1)}; {seen(9)}", 9, **rest),
            f"{name} that is none": Case(f"{get(helper, nobody, 1)}; {seen(9)}", 9, **rest),
            f"{name} deleted": Case(f"{get(helper, at, 1)}; {drop(delete, at)}; r7 = r0; {get(helper, at, 0)}; {seen(9)}; r0 += r7", 9, **rest),
            f"{name} deleted twice": Case(drop(delete, at), ENOENT, **rest),
            f"{name} null deleted": Case(drop(delete, "r2 = 0"), EINVAL, **rest),
        }  # fmt: skip
    return found


def stack(size: int, flags: int) -> str:
    return f"r1 = r9; r2 = r9; r3 = {size}; r4 = {flags}; call 67"


def kept(flags: int) -> str:
    return f"r1 = r9; r2 = map[idx:0]; r3 = {flags}; call 27"


def numbers(*words: int, order: str = "little") -> bytes:
    return b"".join(word.to_bytes(8, order) for word in words)  # type: ignore[arg-type]


MANY = f"r7 = 0; again: *(u32 *)(r10 - 12) = r7; r2 = r10; r2 += -12; {sk(1)}; r3 = r2; r2 = r10; r2 += -12; r1 = map[idx:0]; r4 = 0; call 2; r7 += 1; if r7 < 5 goto again"
FIND = "*(u32 *)(r10 - 4) = 2; r2 = r10; r2 += -4; r1 = map[idx:0]; call 1; if r0 == 0 goto +1; r0 = *(u32 *)(r0 + 0)"
CASES: dict[str, Case] = {
    **stores(),
    "a cgroup's own": Case(
        "r1 = map[idx:0]; r2 = 0; call 81; r1 = 3; lock *(u64 *)(r0 + 0) += r1; r1 = map[idx:0]; r2 = 0; call 81; r0 = *(u64 *)(r0 + 0)", 3, maps=(OWN,)),
    "a cgroup's own by its id": Case("r1 = map[idx:0]; r2 = 0; call 81; *(u64 *)(r0 + 0) = 4; r0 = *(u64 *)(r0 + 0)", 4, maps=(OWN_ID,)),
    "a cgroup's own of each CPU": Case("r1 = map[idx:0]; r2 = 0; call 81; *(u64 *)(r0 + 0) = 4; r0 = *(u64 *)(r0 + 0)", 4, maps=(EACH,), world={"cpu": 2}),
    "a stack": Case(stack(48, 0), 48, world=STACK),
    "a stack in more room": Case(f"{stack(64, 0)}; r1 = *(u64 *)(r9 + 48); r0 += r1", 48, b"\x11" * 64, world=STACK),
    "a stack in less room": Case(f"{stack(16, 0)}; r1 = *(u64 *)(r9 + 8); r0 += r1", 16 + 0xB, world=STACK),
    "a stack without its first": Case(f"{stack(16, 4)}; r1 = *(u64 *)(r9 + 0); r0 += r1", 16 + 0xE, world=STACK),
    "a stack without all": Case(stack(16, 6), 0, world=STACK),
    "a stack without more": Case(f"{stack(16, 7)}; r1 = *(u64 *)(r9 + 0); r0 += r1", EFAULT, b"\x11" * 64, world=STACK),
    "a stack of the user": Case(f"{stack(32, 0x100)}; r1 = *(u64 *)(r9 + 8); r0 += r1", 16 + 0x500, world=STACK),
    "a stack with build ids": Case(f"{stack(64, 0x900)}; r1 = *(u64 *)(r9 + 24); r0 += r1; r1 = *(u32 *)(r9 + 0); r0 += r1", 64 + 0x400 + 2, world=STACK),
    "a stack of the kernel with build ids": Case(stack(64, 0x800), EINVAL, world=STACK),
    "a stack in a room that does not fit": Case(stack(12, 0), EINVAL, world=STACK),
    "a stack with flags": Case(stack(16, 0x200), EINVAL, world=STACK),
    "no stack": Case(stack(16, 0), EFAULT),
    "a task's stack": Case("call 158; r1 = r0; r2 = r9; r3 = 16; r4 = 0; call 141", 16, world=STACK),
    "another task's stack": Case("r1 = 5; r2 = r9; r3 = 16; r4 = 0; call 141", EFAULT, world=STACK),
    "no task's stack": Case("r1 = 0; r2 = r9; r3 = 16; r4 = 0; call 141", EINVAL, world=STACK),
    "a trace twice": Case(f"{kept(0)}; r6 = r0; {kept(0)}; r0 -= r6", 0, maps=(STACKS,), world=STACK),
    "a trace with flags": Case(kept(0x800), EINVAL, maps=(STACKS,), world=STACK),
    "a trace of nothing": Case(kept(6), EFAULT, maps=(STACKS,), world=STACK),
    "traces in each other's way": Case(f"{kept(0)}; {kept(1)}", EEXIST, maps=(Map("stacks", "stack_trace", 4, 32, 1),), world=STACK),
    "a socket put into a map": Case(
        f"{sk(1)}; r3 = r2; *(u32 *)(r10 - 4) = 2; r2 = r10; r2 += -4; r1 = map[idx:0]; r4 = 0; call 2; r6 = r0; {FIND.replace('(r0 + 0)', '(r0 + 12)')}; r0 += r6",
        6, maps=(SOCK,), world={"net": NET}),
    "a socket past the map": Case(
        f"{sk(1)}; r3 = r2; *(u32 *)(r10 - 4) = 4; r2 = r10; r2 += -4; r1 = map[idx:0]; r4 = 0; call 2", -7, maps=(SOCK,), world={"net": NET}),
    "a socket that is closed": Case(
        f"{sk(3)}; r3 = r2; *(u32 *)(r10 - 4) = 2; r2 = r10; r2 += -4; r1 = map[idx:0]; r4 = 0; call 2", EOPNOTSUPP, maps=(HASHED,), world={"net": NET}),
    "no socket put into a map": Case("r3 = 7; *(u32 *)(r10 - 4) = 2; r2 = r10; r2 += -4; r1 = map[idx:0]; r4 = 0; call 2", EINVAL, maps=(HASHED,), world={"net": NET}),
    "more sockets than there is room for": Case(MANY, -7, maps=(HASHED,), world={"net": NET}),
    "a socket taken out": Case("*(u32 *)(r10 - 4) = 2; r2 = r10; r2 += -4; r1 = map[idx:0]; call 3", 0, maps=(SOCK,), world={"net": NET, "elements": {"m": [(2, 1)]}}),
    "no socket taken out": Case("*(u32 *)(r10 - 4) = 1; r2 = r10; r2 += -4; r1 = map[idx:0]; call 3", EINVAL, maps=(SOCK,), world={"net": NET}),
}  # fmt: skip


@dataclass(frozen=True)
class Typed:
    """A program of a type, its R0, and what it has sent."""

    kind: str
    text: str
    r0: int
    map: Map
    sent: tuple[Sent, ...] = ()
    context: dict[str, int] = field(default_factory=dict)
    elements: tuple[tuple[int, int], ...] = ()
    net: dict[str, Any] = field(default_factory=dict)


KEY = "*(u32 *)(r10 - 4) = {}; r3 = r10; r3 += -4"


def own(helper: int, flags: int = 0, key: int = 1) -> str:
    return f"{KEY.format(key)}; r2 = map[idx:0]; r4 = {flags}; call {helper}"


def to(helper: int, key: int, flags: int = 0) -> str:
    return f"r2 = map[idx:0]; r3 = {key}; r4 = {flags}; call {helper}"


HELD = ((1, 1), (2, 2), (3, 4))
DEVICES = Map("m", "devmap", 4, 4, 4)
TYPED_CASES: dict[str, Typed] = {
    "a new connection": Typed("sock_ops", own(53), 0, SOCK, context={"op": 4}),
    "a new connection, hashed": Typed("sock_ops", own(70), 0, HASHED, context={"op": 5}),
    "too early": Typed("sock_ops", own(53), EOPNOTSUPP, SOCK, context={"op": 3}),
    "a connection that is there": Typed("sock_ops", own(70, 1), EEXIST, HASHED, context={"op": 4}, elements=HELD),
    "a connection that is not there": Typed("sock_ops", own(53, 2, 0), ENOENT, SOCK, context={"op": 4}, elements=HELD),
    "data to a socket": Typed("sk_skb", to(52, 1), 1, SOCK, (Sent("sk_redirect_map", 0, "m", 1, socket=1),), elements=HELD),
    "data into a socket": Typed("sk_skb", to(52, 3, 1), 1, SOCK, (Sent("sk_redirect_map", 0, "m", 3, 1, socket=4),), elements=HELD),
    "data to a listener": Typed("sk_skb", to(52, 2), 0, SOCK, elements=HELD),
    "data to nothing": Typed("sk_skb", to(52, 0), 0, SOCK, elements=HELD),
    "data with flags": Typed("sk_skb", to(52, 1, 2), 0, SOCK, elements=HELD),
    "data to a socket, hashed": Typed("sk_skb", own(72), 1, HASHED, (Sent("sk_redirect_hash", 0, "m", 1, socket=1),), elements=HELD),
    "a message to a socket": Typed("sk_msg", to(60, 1), 1, SOCK, (Sent("msg_redirect_map", 0, "m", 1, socket=1),), elements=HELD),
    "a message out of no TCP socket": Typed("sk_msg", to(60, 3), 0, SOCK, elements=HELD),
    "a message into no TCP socket": Typed("sk_msg", own(71, 1, 3), 1, HASHED, (Sent("msg_redirect_hash", 0, "m", 3, 1, socket=4),), elements=HELD),
    "a socket of the group": Typed("sk_reuseport", own(82), 0, PORTS, (Sent("sk_select_reuseport", 0, "m", 1, socket=8),), elements=((1, 8),), net={"cookie": 7}),
    "a socket of another group": Typed("sk_reuseport", own(82), -77, PORTS, elements=((1, 10),), net={"cookie": 7}),
    "a socket of another protocol": Typed("sk_reuseport", own(82), -91, PORTS, elements=((1, 9),), net={"cookie": 7}),
    "no socket of the group": Typed("sk_reuseport", own(82), ENOENT, PORTS),
    "a choice with flags": Typed("sk_reuseport", own(82, 1), EINVAL, PORTS, elements=((1, 8),)),
    "a socket of no group": Typed("sk_reuseport", own(82), EINVAL, SOCK, elements=HELD),
    "frames to a process": Typed("xdp", "r1 = map[idx:0]; r2 = 1; r3 = 2; call 51", 4, XSKS, (Sent("redirect_map", 0, "m", 1, 2, socket=6),), elements=((1, 6),)),
    "what a devmap says": Typed("xdp", FIND, 1, DEVICES, elements=((2, 1),)),
    "what a devmap says of nothing": Typed("xdp", FIND, 0, DEVICES, elements=((1, 1),)),
    "a value of the packet's socket": Typed(
        "sched_cls", "r2 = *(u64 *)(r1 + 168); r1 = map[idx:0]; r3 = 0; r4 = 1; call 107; r6 = r0; r0 = 0; if r6 == 0 goto +3; r1 = 3; lock *(u64 *)(r6 + 0) += r1; r0 = *(u64 *)(r6 + 0)",
        3, replace(SOCKS, name="m")),
    "the queue of a process": Typed("xdp", FIND, 3, XSKS, elements=((2, 6),)),
    "frames to nobody": Typed("xdp", "r1 = map[idx:0]; r2 = 2; r3 = 2; call 51", 2, XSKS, elements=((1, 6),)),
}  # fmt: skip
