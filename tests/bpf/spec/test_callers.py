"""Which program types may call which helper."""

from __future__ import annotations

import pytest

from bpf.spec.callers import _TABLE, allowed, callers
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.spec.prototypes import PROTOTYPES
from bpf.spec.signatures import SIGNATURES

NUMBER = {one.name: number for number, one in PROTOTYPES.items()}


def test_every_type_but_two_has_helpers() -> None:
    assert {name for name in PROGRAM_TYPES if not allowed(name)} == {"unspec", "ext"}


def test_every_helper_has_a_type() -> None:
    assert [one.name for number, one in PROTOTYPES.items() if not callers(number)] == []


def test_signatures_are_of_types_that_may_call() -> None:
    for number, (_, *others) in SIGNATURES.items():
        for one in others:
            for kind in one.types:
                assert number in allowed(*kind.split(":")), (number, kind)


def test_no_name_stands_twice_in_a_row() -> None:
    for line in _TABLE.strip().replace("\n    ", " ").splitlines():
        names = line.partition(":")[2].split()
        assert len(names) == len(set(names)), line


@pytest.mark.parametrize(("kind", "attach", "name", "needs"), [
    ("xdp", "", "xdp_adjust_head", ""),
    ("xdp", "", "skb_load_bytes", None),
    ("socket_filter", "", "trace_printk", "CAP_BPF CAP_PERFMON"),
    ("socket_filter", "", "loop", "CAP_BPF"),
    ("socket_filter", "", "skc_to_tcp_sock", "CAP_PERFMON"),
    ("netfilter", "", "skc_to_tcp_sock", None),
    ("sched_cls", "", "get_cgroup_classid", ""),
    ("xdp", "", "get_cgroup_classid", "CAP_BPF"),
    ("cgroup_sock_addr", "", "bind", ""),
    ("cgroup_sock_addr", "cgroup_inet4_connect", "bind", ""),
    ("cgroup_sock_addr", "cgroup_inet4_bind", "bind", None),
    ("cgroup_sock_addr", "cgroup_inet4_bind", "get_retval", ""),
    ("cgroup_sock_addr", "cgroup_udp4_recvmsg", "get_retval", None),
    ("cgroup_skb", "cgroup_inet_ingress", "set_retval", None),
    ("tracing", "trace_iter", "seq_printf", ""),
    ("tracing", "trace_fentry", "seq_printf", None),
    ("lsm", "lsm_cgroup", "set_retval", ""),
    ("kprobe", "", "probe_write_user", "CAP_SYS_ADMIN"),
])  # fmt: skip
def test_some(kind: str, attach: str, name: str, needs: str | None) -> None:
    found = allowed(kind, attach).get(NUMBER[name])
    assert found == (None if needs is None else frozenset(needs.split()))
