"""The types of the kernel that a program is verified for: the running one's, where it shows them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from bpf.errors import BadObject
from bpf.object.btf import Btf
from bpf.object.btf_lazy import open_types

PATH = Path("/sys/kernel/btf/vmlinux")


@cache
def kernel_types() -> Btf | None:
    """The running kernel's types, always the same object; None where there are none."""
    try:
        return open_types(PATH.read_bytes())
    except (OSError, BadObject):
        return None
