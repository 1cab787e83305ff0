"""Who may do what, asked of the live kernel: a child process gives up capabilities and calls bpf().

Only at the setting of unprivileged_bpf_disabled that the machine has.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from samples import text

from bpf.errors import CallFailed
from bpf.program import Map
from bpf.spec.attach import ATTACH_TYPES
from bpf.spec.callers import allowed
from bpf.spec.maps import MAP_TYPES, RULES
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.spec.prototypes import PROTOTYPES
from bpf.text import assemble
from engines import syscall
from runtime.permission import CAPABILITIES, PRIVILEGED_INSNS, Caller, may_create, may_load
from tests.live_kernel import live
from tests.probing import RELEASE

pytestmark = live

EVERY = [frozenset(some) for count in range(5) for some in combinations(CAPABILITIES, count)]
BITS = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}
SETTING = Path("/proc/sys/kernel/unprivileged_bpf_disabled")
NEEDS_TYPES = ("sk_storage", "inode_storage", "task_storage", "cgrp_storage", "struct_ops")
"""Map types that are asked for BTF before anything else."""
CODE = assemble("r0 = 0; exit", order=sys.byteorder).encode()
FIRST = {"cgroup_sock_addr": "cgroup_inet4_bind", "cgroup_sockopt": "cgroup_setsockopt", "sk_lookup": "sk_lookup",
         "netfilter": "netfilter"}  # fmt: skip


def as_caller(caps: frozenset[str], ask: Callable[..., object], *arguments: object) -> object:
    """What a function says in a process that has these capabilities alone."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            mask = sum(1 << BITS[name] for name in caps)
            header = (ctypes.c_uint32 * 2)(0x20080522, 0)
            data = (ctypes.c_uint32 * 6)(mask & 0xFFFFFFFF, mask & 0xFFFFFFFF, 0, mask >> 32, mask >> 32, 0)
            if not ctypes.CDLL(None).capset(header, data):
                os.write(writer, json.dumps(ask(*arguments)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return json.loads(said)


def number(act: Callable[..., object], *arguments: object) -> int:
    """0, or the errno."""
    try:
        act(*arguments)
    except OSError as error:
        return error.errno or 0
    except CallFailed as error:
        return error.errno
    return 0


def create(kind: str, flags: int = 0) -> int:
    rules = RULES.get(kind)
    key, value, given = 4, 4, 0
    if rules:
        key, value = (max(least, min(8, most)) for least, most in (rules.keys, rules.values))
        given = rules.needs
    entries = 4096 if value == 0 else 1
    inner = syscall.create_map("inner", MAP_TYPES["array"].number, 4, 4, 1) if kind.endswith("of_maps") else 0
    try:
        descriptor = syscall.create_map("m", MAP_TYPES[kind].number, key, value, entries, given | flags, inner)
        os.close(descriptor)
    finally:
        if inner:
            os.close(inner)
    return descriptor


def load(kind: str, code: bytes = CODE) -> str:
    try:
        attach = ATTACH_TYPES[FIRST.get(kind, "cgroup_inet_ingress")]
        os.close(syscall.load(code, kind=PROGRAM_TYPES[kind].number, attach=attach)[0])
    except syscall.LoadError as error:
        return f"{error.errno} {error.log.partition(chr(10))[0]}"
    return "0"


def setting() -> int:
    return int(SETTING.read_text("ascii"))


@pytest.mark.parametrize("caps", EVERY, ids=lambda some: "+".join(sorted(some)) or "none")
def test_maps_and_types(caps: frozenset[str]) -> None:
    caller = Caller(caps, setting())
    refused = {errno.EPERM}
    maps = as_caller(caps, lambda: {kind: number(create, kind) for kind in MAP_TYPES})
    types = as_caller(caps, lambda: {kind: load(kind) for kind in PROGRAM_TYPES})
    assert isinstance(maps, dict)
    assert isinstance(types, dict)
    for kind, found in maps.items():
        if kind in NEEDS_TYPES and found == errno.EINVAL:
            continue
        said = number(may_create, caller, Map("m", kind))
        assert (found in refused) == (said in refused), (kind, found, said)
    for kind, found in types.items():
        if kind in ("lsm", "ext", "unspec"):
            continue  # refused here to everyone: no target, or by policy
        said = number(may_load, caller, text("r0 = 0; exit"), kind)
        assert (found == "1 ") == (said in refused), (kind, found, said)


@pytest.mark.parametrize("caps", EVERY, ids=lambda some: "+".join(sorted(some)) or "none")
def test_sizes(caps: frozenset[str]) -> None:
    for size in (0, PRIVILEGED_INSNS + 1):
        code = CODE[:8] * (size - 1) + CODE[8 : 8 + 8 * size]
        found = as_caller(caps, load, "socket_filter", code)
        program = text("r0 = 0; exit")
        object.__setattr__(program, "insns", program.insns[:1] * size)
        said = number(may_load, Caller(caps, setting()), program, "socket_filter")
        assert found == f"{said} ", size


@pytest.mark.skipif(not platform.release().startswith(f"{RELEASE}."), reason="the tables are of another kernel")
@pytest.mark.parametrize("caps", [frozenset({"CAP_BPF"}), frozenset({"CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN"})])
def test_helpers(caps: frozenset[str]) -> None:
    kinds = [kind for kind in ("socket_filter", "cgroup_skb", "xdp") if kind != "xdp" or "CAP_NET_ADMIN" in caps]
    numbers = range(1, 212, 2)

    def ask() -> object:
        calls = {n: assemble(f"call {n}; exit", order=sys.byteorder).encode() for n in numbers}
        return [[kind, n, "cannot use helper" in load(kind, calls[n])] for kind in kinds for n in numbers]

    found = as_caller(caps, ask)
    assert isinstance(found, list)
    caller = Caller(caps, setting())
    for kind, n, refused in found:
        needs = allowed(kind, "cgroup_inet_ingress").get(n)
        assert refused == (needs is None or any(not caller.has(one) for one in needs)), PROTOTYPES[n].name
