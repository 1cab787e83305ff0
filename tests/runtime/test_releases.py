"""What came when: the tables agree with each other, and a load for an older kernel is refused by name."""

from __future__ import annotations

import pytest
from samples import COUNTS, counter, text

from bpf.errors import BadInput, CallFailed
from bpf.isa.table import ROWS
from bpf.program import Map
from bpf.spec.helpers import KERNEL
from bpf.spec.prototypes import PROTOTYPES
from bpf.spec.since import HELPERS, release
from runtime.features import features, refuse_later, used
from runtime.types import of_section


def test_both_tables_of_helpers_say_the_same() -> None:
    assert {number: HELPERS[number] for number in KERNEL} == {number: one.since for number, one in KERNEL.items()}


def test_helpers_came_in_the_order_of_their_numbers() -> None:
    releases = [release(HELPERS[number]) for number in sorted(PROTOTYPES)]
    assert releases == sorted(releases)


@pytest.mark.parametrize(
    ("name", "since"),
    [
        ("probe_read", "4.1"), ("xdp_adjust_head", "4.10"), ("bind", "4.17"), ("fib_lookup", "4.18"),
        ("sk_storage_get", "5.2"), ("probe_read_kernel", "5.5"), ("ringbuf_output", "5.8"), ("d_path", "5.10"),
        ("for_each_map_elem", "5.13"), ("timer_init", "5.15"), ("loop", "5.17"), ("kptr_xchg", "5.19"),
        ("user_ringbuf_drain", "6.1"), ("cgrp_storage_get", "6.2"),
    ],
)  # fmt: skip
def test_helpers(name: str, since: str) -> None:
    (feature,) = [one for one in features() if (one.group, one.name) == ("helper", name)]
    assert feature.since == since
    assert feature.there(since) and feature.there("6.12") and not feature.there("3.18")


def test_everything_is_listed_once() -> None:
    found = [(one.group, one.name) for one in features()]
    assert len(found) == len(set(found))
    assert len(found) >= len(ROWS) - 2 + 211 + 33


@pytest.mark.parametrize(
    ("words", "kernel", "message"),
    [
        ("r1 = 1; r1 = atomic64_fetch_add((u64 *)(r10 - 8), r1); exit", "5.4",
         "insn 1: atomic64_fetch_add came in Linux 5.12, --kernel is 5.4: EINVAL"),
        ("call 181; exit", "5.16", "insn 0: helper loop came in Linux 5.17, --kernel is 5.16: EINVAL"),
        ("if w1 < w2 goto +0; exit", "5.0", "insn 0: jlt32_reg came in Linux 5.1, --kernel is 5.0: EINVAL"),
        ("callx r1; exit", "6.18", "insn 0: callx is in no Linux so far, --kernel is 6.18: EINVAL"),
    ],
)  # fmt: skip
def test_what_came_later_is_refused(words: str, kernel: str, message: str) -> None:
    with pytest.raises(CallFailed) as info:
        refuse_later(kernel, text(words))
    assert str(info.value) == message


def test_maps_too() -> None:
    with pytest.raises(CallFailed, match=r"map q: map type queue came in Linux 4\.20"):
        refuse_later("4.19", text("r0 = 0; exit", maps=(Map("q", "queue", 0, 4, 1),)))


def test_what_an_older_kernel_has_is_taken() -> None:
    refuse_later("3.19", counter(COUNTS))  # a map by index is one by descriptor to a loader
    refuse_later(None, text("callx r1; exit"))
    assert {feature.name for _, feature in used(counter())} >= {"lddw_map_fd", "helper map_lookup_elem"}


@pytest.mark.parametrize("kernel", ["", "5", "new", "5.x"])
def test_no_release(kernel: str) -> None:
    with pytest.raises(BadInput, match="is not a kernel release"):
        refuse_later(kernel, text("r0 = 0; exit"))


def test_releases_compare_as_numbers() -> None:
    assert release("5.4") < release("5.10") < release("v6.1-rc3") == release("6.1.55-arch1")


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("xdp", "xdp"), ("tc", "sched_cls"), ("classifier", "sched_cls"), ("socket", "socket_filter"),
        ("kprobe/do_exit", "kprobe"), ("?xdp", "xdp"), ("fentry/x", "tracing"), ("raw_tp/sys_enter", "raw_tracepoint"),
        (".text", "unspec"), ("nothing", "unspec"), ("", "unspec"),
    ],
)  # fmt: skip
def test_types_by_section(section: str, kind: str) -> None:
    assert of_section(section) == kind
