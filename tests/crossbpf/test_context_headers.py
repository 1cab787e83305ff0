"""The headers for C have the layouts and numbers of bpf/spec, and of the running kernel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bpf.errors import NotHere
from bpf.object.btf import Btf, Kind
from bpf.object.parts import raw_types
from bpf.order import Order
from bpf.spec import maps
from bpf.spec.contexts import HEADROOM, LAYOUTS
from bpf.spec.errno import NUMBERS
from bpf.spec.program_types import NETFILTER, TC
from bpf.spec.registers import ARGUMENTS, RESULT
from crossbpf import cc
from vm.helpers import fib

HEADED = (
    "xdp_md", "__sk_buff", "bpf_sock", "bpf_sock_addr", "bpf_sock_ops", "sk_msg_md", "bpf_sk_lookup", "sk_reuseport_md",
    "bpf_sysctl", "bpf_sockopt", "bpf_cgroup_dev_ctx",
)  # fmt: skip
"""The contexts that our own headers declare as structures."""

MACHINES: dict[str, tuple[str, Order]] = {
    "x86": ("x86_64", "little"), "arm64": ("arm64", "little"), "riscv": ("riscv64", "little"),
    "powerpc": ("ppc64", "big"), "s390": ("s390x", "big"),
}  # fmt: skip
"""What -D__TARGET_ARCH_ names -> bpf/spec's machine, and a byte order of it."""

TYPES = Path("/sys/kernel/btf/vmlinux")
HEADERS = sorted(path.relative_to(cc.INCLUDE).as_posix() for path in cc.INCLUDE.rglob("*.h"))
INCLUDES = [f"#include <{name}>" for name in HEADERS]
OURS = frozenset({"pt_regs", "user_pt_regs", "user_regs_struct", "sockaddr", "bpf_lpm_trie_key"})
"""Structures that the kernel itself has otherwise than user space, or another on another machine, or no more."""


def equal(left: str, right: object) -> str:
    return f'_Static_assert(({left}) == ({right}), "{left}");'


def compiles(lines: list[str], folder: Path, order: Order = "little", *cflags: str) -> None:
    path = folder / "facts.c"
    path.write_text("\n".join([*lines, 'SEC("xdp") int f(void) { return 0; }', ""]))
    try:
        cc.compile_c(path, order, cflags=cflags)
    except NotHere as error:
        pytest.skip(str(error))


def test_the_headers_have_the_same_layouts(tmp_path: Path) -> None:
    lines = ["#include <linux/bpf.h>", "#include <bpf/bpf_helpers.h>"]
    for name in HEADED:
        lines.append(equal(f"sizeof(struct {name})", LAYOUTS[name].size))
        lines += [equal(f"__builtin_offsetof(struct {name}, {one.name})", one.offset) for one in LAYOUTS[name].fields]
    compiles(lines, tmp_path)


def test_the_headers_have_the_same_numbers(tmp_path: Path) -> None:
    """Of what is a table in bpf/spec, or a number in vm, and is not generated from there."""
    flags = (
        "NO_PREALLOC", "NO_COMMON_LRU", "NUMA_NODE", "RDONLY", "WRONLY", "STACK_BUILD_ID", "ZERO_SEED", "RDONLY_PROG",
        "WRONLY_PROG", "CLONE", "MMAPABLE", "PRESERVE_ELEMS", "INNER_MAP", "SEGV_ON_FAULT", "NO_USER_CONV",
    )  # fmt: skip
    at = {
        "family": fib.FAMILY, "tot_len": fib.LENGTH, "ifindex": fib.IFINDEX, "rt_metric": fib.METRIC,
        "ipv4_src": fib.SOURCE, "ipv6_dst": fib.DESTINATION, "tbid": fib.VLAN, "smac": fib.SMAC, "dmac": fib.DMAC,
    }  # fmt: skip
    answers = {
        "SUCCESS": fib.SUCCESS, "NOT_FWDED": fib.NOT_FORWARDED, "FWD_DISABLED": fib.FORWARDING_OFF,
        "NO_NEIGH": fib.NO_NEIGHBOUR, "FRAG_NEEDED": fib.FRAGMENT_NEEDED, "NO_SRC_ADDR": fib.NO_SOURCE,
    }  # fmt: skip
    compiles([
        *INCLUDES,
        *(equal(name, number) for name, number in NUMBERS.items()),
        *(equal(name, number) for table in (TC, NETFILTER) for number, name in table.items()),
        *(equal(f"BPF_F_{name}", getattr(maps, name)) for name in flags),
        *(equal(f"BPF_{name}", getattr(maps, name)) for name in ("ANY", "NOEXIST", "EXIST", "F_LOCK")),
        equal("XDP_PACKET_HEADROOM", HEADROOM), equal("sizeof(struct bpf_fib_lookup)", fib.SIZE),
        *(equal(f"__builtin_offsetof(struct bpf_fib_lookup, {name})", offset) for name, offset in at.items()),
        *(equal(f"BPF_FIB_LKUP_RET_{name}", number) for name, number in answers.items()),
        *(equal(f"BPF_FIB_LOOKUP_{name}", getattr(fib, name))
          for name in ("DIRECT", "OUTPUT", "SKIP_NEIGH", "TBID", "SRC", "MARK")),
    ], tmp_path)  # fmt: skip


@pytest.mark.parametrize("macro", MACHINES)
def test_registers_lie_where_a_kprobe_has_them(macro: str, tmp_path: Path) -> None:
    machine, order = MACHINES[macro]
    places = LAYOUTS[f"pt_regs.{machine}"].by_name
    event = LAYOUTS[f"bpf_perf_event_data.{machine}"]
    names = {f"PT_REGS_PARM{number}": name for number, name in enumerate(ARGUMENTS[machine], 1)}
    names["PT_REGS_RC"] = RESULT[machine]
    lines = [equal(f"(unsigned long)&{name}(0)", places[register].offset) for name, register in names.items()]
    lines += [equal(f"__builtin_offsetof(struct bpf_perf_event_data, {name})", event.by_name[name].offset)
              for name in ("sample_period", "addr")]  # fmt: skip
    head = ["#include <linux/bpf_perf_event.h>", "#include <bpf/bpf_tracing.h>"]
    compiles([*head, *lines], tmp_path, order, f"-D__TARGET_ARCH_{macro}")


@pytest.mark.skipif(not TYPES.is_file(), reason="this kernel has no types")
def test_the_running_kernel_has_the_same(tmp_path: Path) -> None:
    """Every structure and number of linux/ that its types have, member by member."""
    types = raw_types(TYPES.read_bytes())
    if types.find("bpf_task_work", Kind.STRUCT) is None:
        pytest.skip("older than Linux 6.18, which the headers describe")
    text = "".join((cc.INCLUDE / name).read_text("utf-8") for name in HEADERS if name.startswith("linux/"))
    enums = (one for one in map(types.__getitem__, range(1, len(types))) if one.kind in (Kind.ENUM, Kind.ENUM64))
    known = {value.name: value.value for one in enums for value in one.values}
    lines = [
        equal(name, known[name])
        for name in re.findall(r"^(?:\t|#define )(\w+) (?==|[(\d])", text, re.MULTILINE)
        if name in known
    ]
    for name in sorted(set(re.findall(r"^struct (\w+) \{", text, re.MULTILINE)) - OURS):
        number = types.find(name, Kind.STRUCT)
        if number is not None:
            lines.append(equal(f"sizeof(struct {name})", types.size(number)))
            lines += [equal(f"__builtin_offsetof(struct {name}, {member})", offset)
                      for member, offset in members(types, number)]  # fmt: skip
    assert len(lines) > 500
    compiles([*INCLUDES, *lines], tmp_path)


def members(types: Btf, number: int, start: int = 0) -> list[tuple[str, int]]:
    """Name and offset in bytes of what C can take the address of, also inside of unnamed members."""
    found: list[tuple[str, int]] = []
    for one in types[number].members:
        if one.bits:
            continue
        at = start + one.offset // 8
        found += [(one.name, at)] if one.name else members(types, types.strip(one.type), at)
    return found
