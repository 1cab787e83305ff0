"""Who may do what, held against a table that test_live_permission.py asks the kernel about."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from samples import text

from bpf.errors import BadInput, CallFailed
from bpf.program import Map
from bpf.spec.maps import MAP_TYPES
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.spec.prototypes import PROTOTYPES
from runtime import Kernel
from runtime.permission import (
    CAPABILITIES,
    PRIVILEGED_INSNS,
    ROOT,
    Caller,
    capabilities,
    may_create,
    may_load,
)

BPF, PERFMON, NET, SYS = CAPABILITIES
EVERY = [frozenset(some) for count in range(5) for some in combinations(CAPABILITIES, count)]

MAPS = {
    "": "array hash percpu_array percpu_hash prog_array perf_event_array cgroup_array array_of_maps hash_of_maps "
        "ringbuf user_ringbuf cgroup_storage percpu_cgroup_storage",
    BPF: "lru_hash lru_percpu_hash lpm_trie stack_trace queue stack bloom_filter reuseport_sockarray struct_ops cpumap "
         "arena sk_storage inode_storage task_storage cgrp_storage",
    NET: "devmap devmap_hash sockmap sockhash xskmap",
}  # fmt: skip

TYPES = {
    (): "socket_filter cgroup_skb",
    (BPF,): "sk_reuseport sk_lookup syscall lirc_mode2 unspec",
    (BPF, NET): "xdp sched_cls sched_act lwt_in lwt_out lwt_xmit lwt_seg6local sk_skb sk_msg flow_dissector sock_ops "
                "cgroup_device cgroup_sock cgroup_sock_addr cgroup_sockopt cgroup_sysctl netfilter",
    (BPF, PERFMON): "kprobe tracepoint perf_event raw_tracepoint raw_tracepoint_writable tracing lsm struct_ops",
    (BPF, NET, PERFMON): "ext",
}  # fmt: skip

HELPERS = {
    (): "map_lookup_elem map_update_elem map_delete_elem map_push_elem map_pop_elem map_peek_elem tail_call "
        "get_prandom_u32 get_smp_processor_id ktime_get_ns ringbuf_output ringbuf_reserve skb_load_bytes",
    (BPF,): "spin_lock spin_unlock jiffies64 timer_init timer_start for_each_map_elem loop dynptr_read dynptr_write",
    (BPF, PERFMON): "trace_printk trace_vprintk probe_read_kernel probe_read_user probe_read_kernel_str "
                    "get_current_task get_current_task_btf snprintf_btf",
}  # fmt: skip
NUMBER = {prototype.name: prototype.number for prototype in PROTOTYPES.values()}


def has(some: frozenset[str], needed: str) -> bool:
    """CAP_SYS_ADMIN stands for the others."""
    return needed in some or SYS in some


def answer(act: object, *arguments: object) -> str:
    """The error's name, "" for yes."""
    try:
        act(*arguments)  # type: ignore[operator]
    except CallFailed as error:
        return error.name
    return ""


def test_the_tables_are_whole() -> None:
    assert sorted(" ".join(MAPS.values()).split()) == sorted(MAP_TYPES)
    assert sorted(" ".join(TYPES.values()).split()) == sorted(PROGRAM_TYPES)


@pytest.mark.parametrize("disabled", [0, 1, 2])
@pytest.mark.parametrize("caps", EVERY, ids=lambda some: "+".join(sorted(some)) or "none")
class TestEveryCaller:
    def test_maps(self, caps: frozenset[str], disabled: int) -> None:
        for needed, names in MAPS.items():
            for name in names.split():
                allowed = (not needed or has(caps, needed)) and (not disabled or has(caps, BPF))
                found = answer(may_create, Caller(caps, disabled), Map("m", name))
                assert found == ("" if allowed else "EPERM"), name

    def test_types(self, caps: frozenset[str], disabled: int) -> None:
        for needed, names in TYPES.items():
            for name in names.split():
                allowed = all(has(caps, one) for one in needed) and (not disabled or has(caps, BPF))
                found = answer(may_load, Caller(caps, disabled), text("r0 = 0; exit"), name)
                assert found == ("" if allowed else "EPERM"), name

    def test_helpers(self, caps: frozenset[str], disabled: int) -> None:
        for needed, names in HELPERS.items():
            for name in names.split():
                expected = "" if all(has(caps, one) for one in needed) else "EINVAL"
                if disabled and not has(caps, BPF):
                    expected = "EPERM"
                found = answer(may_load, Caller(caps, disabled), text(f"call {NUMBER[name]}; exit"), "socket_filter")
                assert found == expected, name


@pytest.mark.parametrize(("caps", "limit"), [("none", 4096), ("CAP_BPF", PRIVILEGED_INSNS)])
def test_how_many_instructions(caps: str, limit: int) -> None:
    caller = Caller(capabilities(caps), 0)
    sizes = (limit, limit + 1) if limit == 4096 else (4097,)
    for size in sizes:
        program = text("r0 = 0;" * (size - 1) + "exit")
        assert answer(may_load, caller, program, "socket_filter") == ("E2BIG" if size > limit else "")


def test_functions_need_a_capability() -> None:
    program = text("call f; exit; f:; r0 = 0; exit")
    assert answer(may_load, Caller(frozenset(), 0), program, "socket_filter") == "EPERM"
    assert answer(may_load, Caller(frozenset({BPF}), 0), program, "socket_filter") == ""


def test_a_seed_of_zero_needs_the_greatest() -> None:
    seeded = Map("m", "hash", 4, 4, 1, flags=0x40)
    assert answer(may_create, Caller(frozenset({BPF, NET, PERFMON})), seeded) == "EPERM"
    assert answer(may_create, Caller(frozenset({SYS})), seeded) == ""


def test_numbers_and_words() -> None:
    with pytest.raises(CallFailed, match=r"insn 0: program of this type cannot use helper bpf_trace_printk#6") as info:
        may_load(Caller(frozenset(), 0), text("call 6; exit"), "socket_filter")
    assert (info.value.errno, info.value.name) == (22, "EINVAL")
    with pytest.raises(CallFailed, match="unprivileged_bpf_disabled is 2") as info:
        may_load(Caller(frozenset()), text("r0 = 0; exit"), "socket_filter")
    assert info.value.errno == 1


def refusal(words: str, kind: str, **changes: str) -> str:
    with pytest.raises(CallFailed) as info:
        may_load(ROOT, replace(text(words), **changes), kind)
    assert info.value.errno == 22
    return str(info.value)


def test_what_a_type_may_not_call() -> None:
    said = refusal("r0 = 0; call 44; exit", "socket_filter")
    assert "insn 1: program of this type cannot use helper bpf_xdp_adjust_head#44" in said
    assert "types that can: xdp" in said
    assert "invalid func unknown#300" in refusal("call 300; exit", "xdp")
    assert answer(may_load, ROOT, text("call 44; exit"), "xdp") == ""
    assert answer(may_load, ROOT, text("call 44; exit"), "unspec") == ""  # there is no such type, and none to ask


def test_what_an_attach_type_may_not_call() -> None:
    connects, binds = (replace(text("call 64; exit"), section=f"cgroup/{word}") for word in ("connect4", "bind4"))
    assert answer(may_load, ROOT, connects, "cgroup_sock_addr") == ""
    assert answer(may_load, ROOT, binds, "cgroup_sock_addr") == "EINVAL"
    assert "cannot use helper bpf_get_retval#186" in refusal(
        "call 186; exit", "cgroup_skb", section="cgroup_skb/ingress"
    )


def test_licenses() -> None:
    said = refusal("call 6; exit", "xdp", section="xdp", license="MIT")
    assert "insn 0: cannot call GPL-restricted function from non-GPL compatible program: bpf_trace_printk#6" in said
    assert "its license is 'MIT'" in said
    assert "it says no license" in refusal("call 6; exit", "xdp", section="xdp")
    for name in ("GPL", "GPL v2", "Dual BSD/GPL"):
        assert answer(may_load, ROOT, replace(text("call 6; exit"), section="xdp", license=name), "xdp") == ""
    assert answer(may_load, ROOT, text("call 6; exit"), "xdp") == ""  # a text, which cannot say


def test_sleep() -> None:
    said = refusal("call 148; exit", "kprobe", section="uprobe/f", license="GPL")
    assert "helper call might sleep in a non-sleepable prog: bpf_copy_from_user#148" in said
    sleeps = replace(text("call 148; exit"), section="uprobe.s/f", license="GPL")
    assert answer(may_load, ROOT, sleeps, "kprobe") == ""
    assert answer(may_load, ROOT, text("call 148; exit"), "syscall") == ""


def test_the_loader_asks() -> None:
    kernel = Kernel()
    with pytest.raises(CallFailed, match="EPERM"):
        kernel.load([text("r0 = 0; exit", section="xdp")], caller=Caller(frozenset({BPF})))
    with pytest.raises(CallFailed, match="EPERM"):
        kernel.load([text("r0 = 0; exit", section="socket", maps=(Map("q", "queue", 0, 4, 1),))],
                    caller=Caller(frozenset(), 0))  # fmt: skip
    assert kernel.load([text("r0 = 0; exit", section="xdp")], caller=Caller(frozenset({BPF, NET})))


def test_how_capabilities_are_written() -> None:
    assert capabilities("cap_bpf,PERFMON") == {BPF, PERFMON}
    assert capabilities("none") == frozenset()
    with pytest.raises(BadInput, match="no capability CAP_FLY"):
        capabilities("CAP_FLY")
