"""What is verified: a program's bytes, its type, and all that it refers to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bpf.order import Order
from bpf.program import Line, Map
from bpf.spec.program_types import ProgramType

if TYPE_CHECKING:
    from bpf.object.btf import Btf


@dataclass(frozen=True, slots=True)
class Subject:
    """A program as bpf(BPF_PROG_LOAD) is given it.

    code       wire form in byte order `order`
    type       program type; attach: expected_attach_type, 0 where none is named
    maps       an lddw of map_fd or map_idx form counts in them
    btf        its types; types: slot where a function starts -> its FUNC; names: slot -> name
    kfuncs     slot of a call of a kernel function, or of an lddw of its address -> that function's name
    license    "GPL"
    sleepable  BPF_F_SLEEPABLE; target: name of the kernel function or struct that it is attached to
    lines      slot -> source line that starts there
    memory     where R1 is no context: it is the address of so many bytes, and R2 is that number; -1 for a context
    """

    code: bytes
    order: Order
    type: ProgramType
    attach: int = 0
    maps: tuple[Map, ...] = ()
    btf: Btf | None = None
    types: Mapping[int, int] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    license: str = "GPL"
    sleepable: bool = False
    target: str = ""
    kfuncs: Mapping[int, str] = field(default_factory=dict)
    lines: Mapping[int, Line] = field(default_factory=dict)
    memory: int = -1
