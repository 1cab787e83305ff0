"""Write crossbpf/include/bpf/bpf_helper_defs.h from bpf/spec: `python -m crossbpf.headers`."""

from __future__ import annotations

import re
import sys

from bpf.spec.prototypes import PROTOTYPES, Prototype
from crossbpf.cc import INCLUDE

HEADER = INCLUDE / "bpf" / "bpf_helper_defs.h"

_HEAD = """/* Generated from bpf/spec/prototypes.py by `python -m crossbpf.headers`. Do not edit. */
#ifndef CROSSBPF_BPF_HELPER_DEFS_H
#define CROSSBPF_BPF_HELPER_DEFS_H

#include <linux/types.h>

"""
_NOTE = """
/* A helper is called by its number: a constant pointer of that value, which clang folds into `call NUMBER`. */
#define __CROSSBPF_HELPER(type, name, number, ...) \\
\tstatic type (*const bpf_##name)(__VA_ARGS__) __attribute__((unused)) = (type (*)(__VA_ARGS__))number

"""


def helper_header() -> str:
    """The text of the header: what structures the helpers name, then a declaration of each."""
    texts = [_declaration(prototype) for prototype in PROTOTYPES.values()]
    structs = sorted({found for text in texts for found in re.findall(r"struct \w+", text)})
    return _HEAD + "".join(f"{name};\n" for name in structs) + _NOTE + "".join(texts) + "\n#endif\n"


def _declaration(one: Prototype) -> str:
    parameters = ", ".join(one.parameters or ("void",))
    return f"__CROSSBPF_HELPER({one.returns}, {one.name}, {one.number}, {parameters});\n"


if __name__ == "__main__":
    HEADER.write_text(helper_header(), encoding="utf-8", newline="\n")
    sys.stdout.write(f"{HEADER}\n")
