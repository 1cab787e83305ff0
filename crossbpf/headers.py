"""Write what follows from bpf/spec: `python -m crossbpf.headers`.

crossbpf/include/linux/bpf_numbers.h, bpf/bpf_helper_defs.h and bpf/bpf_kfuncs.h, and in a checkout docs/helpers.md.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from bpf.spec.attach import ATTACH_TYPES
from bpf.spec.callers import allowed, callers
from bpf.spec.helpers import KERNEL
from bpf.spec.kfuncs import DECLARATIONS, KFUNCS, Kfunc
from bpf.spec.maps import MAP_TYPES, PER_CGROUP
from bpf.spec.program_types import FLOW, LWT, PROGRAM_TYPES, SK, XDP
from bpf.spec.prototypes import PROTOTYPES, Prototype
from bpf.spec.signatures import SIGNATURES
from bpf.spec.since import HELPERS
from crossbpf.cc import INCLUDE

HEADER = INCLUDE / "bpf" / "bpf_helper_defs.h"
NUMBERS = INCLUDE / "linux" / "bpf_numbers.h"
KERNEL_HEADER = INCLUDE / "bpf" / "bpf_kfuncs.h"

DOCUMENT = INCLUDE.parents[1] / "docs" / "helpers.md"

_TABLE = """# Helpers

<!-- Generated from bpf/spec by `python -m crossbpf.headers`. Do not edit. -->

Every helper of Linux 6.12, by its number; *since*: the kernel that it came in. {there} of {all} are there. A program
that calls another is refused when it is loaded, with that helper's name and number.

What helpers see of a machine is the `World` (`vm/world.py`): clock, task, cgroups, described memory of the kernel and
the task, symbols. What they do to it is there afterwards: printed lines, signals, timers. `docs/linux.md` says where
that differs from Linux.

*Programs*: the types that may call it in Linux 6.18, some only with one expected attach type
(`bpf/spec/callers.py`); *needs*: a capability that it needs besides those of the type, in at least one of them; *GPL*:
the program's license must be compatible. `freplace` programs (ext) have what they replace has.

| number | name | since | | programs | needs |
|---|---|---|---|---|---|
"""
_HEAD = """/* Generated from bpf/spec/prototypes.py by `python -m crossbpf.headers`. Do not edit. */
#ifndef CROSSBPF_BPF_HELPER_DEFS_H
#define CROSSBPF_BPF_HELPER_DEFS_H

#include <linux/types.h>

"""
_FUNCTIONS = """
## Kernel functions

What programs call by name, as an `extern` declaration in section `.ksyms` (`crossbpf/include/bpf/bpf_kfuncs.h`).
{there} are there. An object that calls another, or one that its program's type may not call, is refused by that name.

| function | since | types |
|---|---|---|
"""
_THERE = ("bpf_iter_num_new", "bpf_iter_num_next", "bpf_iter_num_destroy")  # in bpf_helpers.h
_OWN = {
    "struct bpf_iter_bits": "struct bpf_iter_bits {\n\t__u64 __opaque[2];\n} __attribute__((aligned(8)));\n",
    "struct bpf_iter_task": "struct bpf_iter_task {\n\t__u64 __opaque[3];\n} __attribute__((aligned(8)));\n",
}
"""Structures of iterators, which a program has on its stack."""
_MACROS = """
/* A new object of a type of the program's, zeroed, or NULL; and its end. */
#define bpf_obj_new(type) ((typeof(type) *)bpf_obj_new_impl(__builtin_btf_type_id(*(typeof(type) *)0, 0), (void *)0))
#define bpf_obj_drop(object) bpf_obj_drop_impl(object, (void *)0)

/* Loops that the kernel ends in the end (may_goto, Linux 6.9): for (...; can_loop; ...), or cond_break in the body. */
#ifndef can_loop
#define can_loop \\
	({ \\
		__label__ __over, __go_on; \\
		_Bool __again = 1; \\
		__asm__ volatile goto("may_goto %l[__over]" :::: __over); \\
		goto __go_on; \\
	__over: \\
		__again = 0; \\
	__go_on:; \\
		__again; \\
	})
#define cond_break \\
	({ \\
		if (!can_loop) \\
			break; \\
	})
#endif
"""
_NUMBERS_HEAD = """/* Generated from bpf/spec by `python -m crossbpf.headers`. Do not edit. */
#ifndef CROSSBPF_LINUX_BPF_NUMBERS_H
#define CROSSBPF_LINUX_BPF_NUMBERS_H
"""
_KERNEL_HEAD = """/* Generated from bpf/spec/kfuncs.py by `python -m crossbpf.headers`. Do not edit. */
#ifndef CROSSBPF_BPF_KFUNCS_H
#define CROSSBPF_BPF_KFUNCS_H

#include <bpf/bpf_helpers.h>

"""
_NOTE = """
/* A helper is called by its number: a constant pointer of that value, which clang folds into `call NUMBER`. */
#define __CROSSBPF_HELPER(type, name, number, ...) \\
\tstatic type (*const bpf_##name)(__VA_ARGS__) __attribute__((unused)) = (type (*)(__VA_ARGS__))number

"""


def _enum(comment: str, name: str, values: Iterable[tuple[str, int]]) -> str:
    rows = "".join(f"\t{word} = {number},\n" for word, number in values)
    return f"\n/* {comment} */\nenum {name} {{\n{rows}}};\n"


def numbers_header() -> str:
    """The text of bpf_numbers.h: the enumerations of linux/bpf.h that bpf/spec has as tables."""
    maps = [("BPF_MAP_TYPE_UNSPEC", 0)]
    for kind in MAP_TYPES.values():
        name = f"BPF_MAP_TYPE_{kind.name.upper()}"
        maps += [(f"{name}_DEPRECATED", kind.number)] if kind.name in PER_CGROUP else []
        maps.append((name, kind.number))
    programs = [(f"BPF_PROG_TYPE_{kind.name.upper()}", kind.number) for kind in PROGRAM_TYPES.values()]
    attached = [(f"BPF_{name.upper()}", number) for name, number in ATTACH_TYPES.items()]
    helpers = [(f"BPF_FUNC_{one.name}", one.number) for one in PROTOTYPES.values()]
    answers = [(name, number) for number, name in sorted({**LWT, **FLOW}.items())]
    enums = (
        _enum("Kinds of map.", "bpf_map_type", maps),
        _enum("Types of program.", "bpf_prog_type", programs),
        _enum("What a program is attached to.", "bpf_attach_type", attached),
        _enum("What an XDP program answers.", "xdp_action", [(name, number) for number, name in XDP.items()]),
        _enum("What sk_skb, sk_msg, sk_lookup and sk_reuseport programs answer.", "sk_action",
              [(name, number) for number, name in SK.items()]),
        _enum("What lightweight tunnels and flow dissectors answer.", "bpf_ret_code", answers),
        _enum("Helpers by number; bpf/bpf_helpers.h declares them as functions.", "bpf_func_id",
              [("BPF_FUNC_unspec", 0), *helpers, ("__BPF_FUNC_MAX_ID", len(helpers) + 1)]),
    )  # fmt: skip
    return _NUMBERS_HEAD + "".join(enums) + "\n#endif\n"


def helper_header() -> str:
    """The text of the header: what structures the helpers name, then a declaration of each."""
    texts = [_declaration(prototype) for prototype in PROTOTYPES.values()]
    structs = sorted({found for text in texts for found in re.findall(r"struct \w+", text)})
    return _HEAD + "".join(f"{name};\n" for name in structs) + _NOTE + "".join(texts) + "\n#endif\n"


def _declaration(one: Prototype) -> str:
    parameters = ", ".join(one.parameters or ("void",))
    return f"__CROSSBPF_HELPER({one.returns}, {one.name}, {one.number}, {parameters});\n"


def _callers(number: int) -> str:
    found = set(callers(number))
    missing = sorted({name for name in PROGRAM_TYPES if allowed(name)} - found)
    if len(missing) > len(found):
        return " ".join(callers(number))
    return "all" + (f" but {' '.join(missing)}" if missing else "")


def _needs(number: int) -> str:
    needs = {one for name in callers(number) for one in allowed(name)[number]}
    gpl = ["GPL"] if SIGNATURES[number][0].gpl_only else []
    return " ".join((*sorted(needs), *gpl))


def helper_table() -> str:
    """The text of docs/helpers.md."""
    rows = [
        f"| {one.number} | `{one.name}` | {HELPERS[one.number]} | {'yes' if one.number in KERNEL else ''} "
        f"| {_callers(one.number)} | {_needs(one.number)} |\n"
        for one in PROTOTYPES.values()
    ]
    kernel = [f"| `{DECLARATIONS[one.name]}` | {one.since} | {_users(one)} |\n" for one in KFUNCS.values()]
    table = _TABLE.format(there=len(KERNEL), all=len(PROTOTYPES)) + "".join(rows)
    return table + _FUNCTIONS.format(there=len(KFUNCS)) + "".join(kernel)


def _users(one: Kfunc) -> str:
    return ", ".join(sorted(one.types)) or "all"


def kernel_header() -> str:
    """The text of bpf_kfuncs.h."""
    texts = [f"extern {DECLARATIONS[one.name]} __weak __ksym;\n" for one in KFUNCS.values() if one.name not in _THERE]
    structs = sorted({found for text in texts for found in re.findall(r"struct \w+", text)})
    head = _KERNEL_HEAD + "".join(f"{name};\n" for name in structs) + "\n"
    own = "#ifndef __VMLINUX_H__\n" + "\n".join(_OWN.values()) + "#endif\n\n"
    return head + own + "".join(texts) + _MACROS + "\n#endif\n"


if __name__ == "__main__":
    for path, text in (
        (NUMBERS, numbers_header()), (HEADER, helper_header()), (KERNEL_HEADER, kernel_header()),
        (DOCUMENT, helper_table()),
    ):  # fmt: skip
        if path.parent.is_dir():
            path.write_text(text, encoding="utf-8", newline="\n")
            sys.stdout.write(f"{path}\n")
