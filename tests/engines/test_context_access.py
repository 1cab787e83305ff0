"""What a context allows is what the live kernel's verifier allows: every type, offset, size, load and store."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys

import pytest

from bpf.spec.conventions import TYPED
from bpf.spec.program_types import ProgramType
from bpf.text import assemble
from engines import syscall
from engines.linux import unavailable

_release = tuple(map(int, re.findall(r"\d+", platform.release())[:2])) if sys.platform == "linux" else ()
KNOWN = (6, 12) <= _release <= (6, 18)
pytestmark = [
    pytest.mark.skipif(bool(unavailable()), reason=f"no live kernel: {unavailable()}"),
    pytest.mark.skipif(not KNOWN, reason=f"the tables are those of Linux 6.12 to 6.18, this is {platform.release()}"),
]

ATTACH = {
    "cgroup_sock": (2, 34, 12, 13), "cgroup_skb": (0, 1), "cgroup_sock_addr": (8, 9, 10, 11, 14, 15, 19, 20, 29, 30),
    "netfilter": (45,),
    "sk_skb": (5,), "cgroup_sysctl": (18,), "cgroup_sockopt": (21, 22), "sk_lookup": (36,), "sk_reuseport": (39, 40),
}  # fmt: skip
"""Type -> expected attach types (BPF_CGROUP_INET_SOCK_CREATE, ...): what any of them may do counts."""


def loads(kind: ProgramType, text: str, attach: int) -> bool | None:
    """Whether the kernel takes a program; None where it does not know the type at all."""
    code = assemble(text, order=sys.byteorder).encode()
    log, license_ = ctypes.create_string_buffer(1 << 16), ctypes.create_string_buffer(b"GPL")
    insns = ctypes.create_string_buffer(code, len(code))
    addresses = [ctypes.addressof(one) for one in (insns, license_, log)]
    attr = syscall._ProgLoad(kind.number, len(code) // 8, addresses[0], addresses[1], 1, len(log), addresses[2])
    attr.expected_attach_type = attach
    attr.prog_flags = syscall.SLEEPABLE if kind.number == syscall.SYSCALL else 0
    try:
        os.close(syscall.bpf(syscall.PROG_LOAD, attr))
    except OSError:
        return False if log.value else None
    return True


@pytest.mark.parametrize("name", TYPED)
def test_the_kernel_allows_the_same(name: str) -> None:
    convention = TYPED[name]
    kind, view = convention.type, convention.view
    assert kind is not None
    assert view is not None
    attach = ATTACH.get(name, (0,))
    if name.partition(".")[2] not in ("", platform.machine()):
        pytest.skip("the context is another machine's")
    if platform.machine() != "x86_64" and convention.orders:
        pytest.skip("the default context is another machine's")
    if kind.name in ("tracing", "lsm"):
        pytest.skip("its words are those of a function")
    if loads(kind, "r0 = 1; exit", attach[0]) is None:
        pytest.skip(f"this kernel has no programs of type {name}")
    for size in (1, 2, 4, 8):
        offsets = range(min(view.layout.size + 8, 1 << 15))  # an instruction has 15 bits for it
        for offset in [*offsets[:24], *offsets[-24:]] if view.layout.open else offsets:
            for sign in "us" if size < 8 else "u":
                text = f"r0 = *({sign}{8 * size} *)(r1 + {offset}); r0 = 1; exit"
                allowed = view.access(offset, size, write=False, signed=sign == "s") is not None
                assert any(loads(kind, text, one) for one in attach) == allowed, text
            text = f"r0 = 1; r2 = 0; *(u{8 * size} *)(r1 + {offset}) = r2; exit"
            allowed = view.access(offset, size, write=True) is not None
            assert any(loads(kind, text, one) for one in attach) == allowed, text
