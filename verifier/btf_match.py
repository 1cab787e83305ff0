"""Whether a pointer into a structure is one to another: the same, or one that begins where it points.

Source: btf_struct_ids_match of Linux 6.18.
"""

from __future__ import annotations

from bpf.object.btf import Btf
from verifier.btf_walk import step
from verifier.rejection import Rejection


def matches(btf: Btf, number: int, off: int, wanted: Btf, to: int, *, strict: bool) -> tuple[bool, str]:
    """Whether `off` bytes into structure `number` there is one of type `to`; and what the log says on the way.

    strict: only the structure itself counts. The text is "" or lines with their newlines.
    """
    if off == 0 and btf is wanted and number == to:
        return True, ""
    if strict:
        return False, ""
    while True:
        try:
            inner = step(btf, number, off)
        except Rejection as refused:
            return False, refused.message + "\n"
        if inner is None:
            return False, ""
        inner = btf.strip(inner)
        if btf is wanted and inner == to:
            return True, ""
        number, off = inner, 0
