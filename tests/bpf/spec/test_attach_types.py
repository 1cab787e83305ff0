"""Attach types: numbers, and which a section means."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpf.spec.attach import ATTACH_TYPES, OF_SECTION, attach_of
from bpf.spec.program_types import of_section

TYPES = Path("/sys/kernel/btf/vmlinux")


def test_numbers() -> None:
    names = ("cgroup_inet_ingress", "cgroup_device", "trace_iter", "sk_lookup")
    assert [ATTACH_TYPES[name] for name in names] == [0, 6, 28, 36]
    assert ATTACH_TYPES["trace_uprobe_session"] == len(ATTACH_TYPES) - 1 == 57


def test_sections_have_a_type() -> None:
    assert set(OF_SECTION.values()) <= set(ATTACH_TYPES)
    assert not any(of_section(one) is of_section(one + "/x") is None for one in OF_SECTION)


@pytest.mark.parametrize(("section", "attach"), [
    ("cgroup/connect4", "cgroup_inet4_connect"), ("cgroup/recvmsg6", "cgroup_udp6_recvmsg"), ("xdp.frags", "xdp"),
    ("fentry/tcp_connect", "trace_fentry"), ("?iter/task", "trace_iter"), ("kprobe/do_exit", ""), ("socket", ""),
    ("lsm/file_open", "lsm_mac"), ("kprobe.multi/tcp_*", "trace_kprobe_multi"), ("", ""),
])  # fmt: skip
def test_of_section(section: str, attach: str) -> None:
    assert attach_of(section) == attach


@pytest.mark.skipif(not TYPES.is_file(), reason="this kernel has no types")
def test_names_are_the_kernels() -> None:
    strings = frozenset(TYPES.read_bytes().split(b"\0"))
    assert [name for name in ATTACH_TYPES if f"BPF_{name.upper()}".encode() not in strings] == []
