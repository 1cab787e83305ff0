"""What a call of a helper takes: the table agrees with the C declarations, and with what the kernel's are known for."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpf.spec.helpers import KERNEL
from bpf.spec.prototypes import PROTOTYPES
from bpf.spec.signatures import SIGNATURES, Kind, signature

TYPES = Path("/sys/kernel/btf/vmlinux")
EVERY = [one for some in SIGNATURES.values() for one in some]


def test_every_helper_has_one() -> None:
    assert list(SIGNATURES) == list(PROTOTYPES)
    for number, (general, *others) in SIGNATURES.items():
        assert not general.types, number
        assert all(one.types for one in others), number


def test_arguments_are_those_of_the_declaration() -> None:
    other = {17: 0, 176: 2}  # without a context; without the flags, which it does not look at
    for number, (general, *_) in SIGNATURES.items():
        fixed = [one for one in PROTOTYPES[number].parameters if one != "..."]
        assert len(general.arguments) == other.get(number, len(fixed)), PROTOTYPES[number].name


def test_a_size_follows_memory() -> None:
    for one in EVERY:
        for before, kind in zip((Kind(""), *one.arguments), one.arguments, strict=False):
            if kind.base in ("ARG_CONST_SIZE", "ARG_CONST_SIZE_OR_ZERO"):
                assert before.base == "ARG_PTR_TO_MEM"
                assert not before.size
            assert (kind.size > 0) == ("MEM_FIXED_SIZE" in kind.flags)


def test_callbacks_are_functions() -> None:
    for number, helper in KERNEL.items():
        kinds = [kind.base for kind in signature(number).arguments]
        found = kinds.index("ARG_PTR_TO_FUNC") + 1 if "ARG_PTR_TO_FUNC" in kinds else 0
        assert found == helper.callback, helper.name


def test_what_may_move_the_packet_changes_it() -> None:
    assert all(signature(number).changes_packet for number, helper in KERNEL.items() if helper.moves)


def test_some() -> None:
    lookup, update = signature(1), signature(2)
    assert lookup.result == Kind("RET_PTR_TO_MAP_VALUE", frozenset({"PTR_MAYBE_NULL"}))
    assert [kind.base for kind in update.arguments] == [
        "ARG_CONST_MAP_PTR", "ARG_PTR_TO_MAP_KEY", "ARG_PTR_TO_MAP_VALUE", "ARG_ANYTHING",
    ]  # fmt: skip
    assert signature(28).arguments[0] == Kind("ARG_PTR_TO_MEM", frozenset({"PTR_MAYBE_NULL", "MEM_RDONLY"}))
    assert signature(105).arguments[3] == Kind(
        "ARG_PTR_TO_MEM", frozenset({"MEM_UNINIT", "MEM_WRITE", "MEM_FIXED_SIZE", "MEM_ALIGNED"}), 8
    )
    assert signature(158).result == Kind("RET_PTR_TO_BTF_ID", frozenset({"PTR_TRUSTED"}), btf="task_struct")
    assert (signature(84, "xdp").pkt_access, signature(84, "cgroup_sock_addr").pkt_access) == (True, False)
    assert signature(131).acquires
    assert [signature(number).releases for number in (86, 132, 199, 194, 1)] == [1, 1, 1, 2, 0]
    assert signature(148).might_sleep
    assert signature(173, "kprobe").gpl_only
    assert not signature(173, "kprobe", "trace_uprobe_multi").gpl_only
    assert signature(46, "sock_ops").arguments[0].base == "ARG_PTR_TO_CTX"
    assert signature(46, "sk_reuseport").arguments[0].base == "ARG_PTR_TO_BTF_ID_SOCK_COMMON"


@pytest.mark.skipif(not TYPES.is_file(), reason="this kernel has no types")
def test_names_are_the_kernels() -> None:
    kinds = [kind for one in EVERY for kind in (*one.arguments, one.result)]
    strings = frozenset(TYPES.read_bytes().split(b"\0"))
    for name in {kind.base for kind in kinds} | {flag for kind in kinds for flag in kind.flags}:
        assert name.encode() in strings, name
    assert {kind.btf.encode() for kind in kinds} <= strings
