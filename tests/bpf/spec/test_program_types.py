"""Program types: their numbers, the sections that mean them, what return values say."""

from __future__ import annotations

import pytest

from bpf.spec.program_types import ALIASES, BY_NUMBER, PROGRAM_TYPES, of_section


def test_the_numbers_of_linux() -> None:
    assert sorted(BY_NUMBER) == list(range(33))
    for name, number in {"xdp": 6, "sched_cls": 3, "cgroup_skb": 8, "sk_lookup": 30, "netfilter": 32}.items():
        assert PROGRAM_TYPES[name].number == number
    assert set(ALIASES.values()) <= set(PROGRAM_TYPES)


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("xdp", "xdp"), ("xdp.frags", "xdp"), ("xdp/cpumap", "xdp"), ("tc", "sched_cls"), ("classifier", "sched_cls"),
        ("tcx/egress", "sched_cls"), ("action", "sched_act"), ("socket", "socket_filter"), ("?tc", "sched_cls"),
        ("cgroup_skb/ingress", "cgroup_skb"), ("cgroup/skb", "cgroup_skb"), ("cgroup/connect4", "cgroup_sock_addr"),
        ("cgroup/getsockopt", "cgroup_sockopt"), ("kprobe/do_exit", "kprobe"), ("kprobe", "kprobe"),
        ("tp/sched/sched_switch", "tracepoint"),
        ("raw_tp.w/x", "raw_tracepoint_writable"), ("raw_tp/x", "raw_tracepoint"),
        ("fentry.s/x", "tracing"), ("lsm_cgroup/x", "lsm"), ("lwt_xmit", "lwt_xmit"), ("sk_skb/verdict", "sk_skb"),
        ("xdp/other", None), ("xdpdump", None), (".text", None), ("", None),
    ],
)  # fmt: skip
def test_sections(section: str, name: str | None) -> None:
    found = of_section(section)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("name", "value", "meaning"),
    [
        ("xdp", 1, "XDP_DROP"), ("xdp", 5, ""), ("sched_cls", (1 << 64) - 1, "TC_ACT_UNSPEC"),
        ("sched_cls", 2, "TC_ACT_SHOT"),
        ("sched_cls", 0xFFFF_FFFF, "TC_ACT_UNSPEC"), ("socket_filter", 0, "drop"), ("socket_filter", 60, "keep"),
        ("cgroup_skb", 1, "allow"), ("sk_skb", 1, "SK_PASS"), ("xdp", 1 << 32 | 2, "XDP_PASS"),
    ],
)  # fmt: skip
def test_what_return_values_mean(name: str, value: int, meaning: str) -> None:
    assert PROGRAM_TYPES[name].meaning(value) == meaning
