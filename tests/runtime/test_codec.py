"""Programs that name something of the kernel's are kept with its name, and without the types of the machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bpf.errors import Refused
from bpf.object.btf import VOID, Btf
from bpf.spec.kfuncs import NUMBERS
from bpf.text import assemble
from runtime import codec


def test_kernel_functions_are_kept_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    given = assemble("r1 = 5; r2 = btf_id[1030][0]; call kfunc bpf_throw; call kfunc bpf_strlen; exit")
    prog = replace(given, kernel=Btf((VOID, VOID)), symbols={0: 1})
    text = codec.program_text(prog)
    found = codec.program_of(text)
    assert found.insns == prog.insns
    assert (found.kernel, found.symbols) == (codec.UNTOLD, {0: 0})
    assert codec.program_of(codec.program_text(given)).kernel is None
    moved = {**NUMBERS, "bpf_throw": 3000}
    monkeypatch.setattr(codec, "NUMBERS", moved)
    assert [insn.imm for insn in codec.program_of(text).insns[3:5] if insn] == [3000, NUMBERS["bpf_strlen"]]
    del moved["bpf_strlen"]
    with pytest.raises(Refused, match="program prog: kernel function bpf_strlen is not implemented"):
        codec.program_of(text)
