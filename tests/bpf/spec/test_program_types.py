"""Program types: their numbers, the sections that mean them, what return values say."""

from __future__ import annotations

import pytest

from bpf.errors import BadInput
from bpf.spec.program_types import ALIASES, BY_NUMBER, PROGRAM_TYPES, of_section
from runtime.types import named


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
        ("uprobe.session//bin/sh:x", "kprobe"), ("uprobe.session.s", "kprobe"),
        ("xdpdump", None), ("tcp", None), ("iterate", None), (".text", None), ("", None),
        # by how they begin, as before libbpf 1.0
        ("xdp/other", "xdp"), ("xdp_prog", "xdp"), ("classifier/ingress", "sched_cls"), ("action_x", "sched_act"),
        ("socket1", "socket_filter"), ("socket_filter", "socket_filter"), ("tracepoint_x", "tracepoint"),
        ("kprobe.x", "kprobe"), ("cgroup/sock1", "cgroup_sock"), ("cgroup/sock_create1", "cgroup_sock"),
        ("raw_tracepoint.w_x", "raw_tracepoint_writable"), ("sk_skb_x", "sk_skb"),
    ],
)  # fmt: skip
def test_sections(section: str, name: str | None) -> None:
    found = of_section(section)
    assert (found.name if found else None) == name


def test_a_user_names_types_by_whole_names() -> None:
    assert of_section("xdp_prog", old=False) is None
    with pytest.raises(BadInput, match="no program type named 'xdp_prog'"):
        named("xdp_prog")


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
