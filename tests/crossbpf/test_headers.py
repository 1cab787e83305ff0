"""The header of helper declarations is what bpf/spec says."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpf.object.btf import Kind
from bpf.object.parts import raw_types
from bpf.spec.helpers import KERNEL
from bpf.spec.prototypes import PROTOTYPES
from crossbpf.headers import HEADER, helper_header

TYPES = Path("/sys/kernel/btf/vmlinux")


def test_it_is_up_to_date() -> None:
    assert HEADER.read_text("utf-8") == helper_header(), "write it again: python -m crossbpf.headers"


def test_every_helper_of_linux_6_12() -> None:
    assert list(PROTOTYPES) == list(range(1, 212))
    assert len({one.name for one in PROTOTYPES.values()}) == 211


def test_prototypes_agree_with_the_helpers_that_are_here() -> None:
    for number, helper in KERNEL.items():
        prototype = PROTOTYPES[number]
        assert prototype.name == helper.name
        assert len(prototype.parameters) == helper.arguments or "..." in prototype.parameters


@pytest.mark.skipif(not TYPES.is_file(), reason="this kernel has no types")
def test_numbers_are_the_running_kernels() -> None:
    types = raw_types(TYPES.read_bytes())
    number = types.find("bpf_func_id", Kind.ENUM)
    assert number is not None
    names = {value.value: value.name for value in types[number].values}
    for one in PROTOTYPES.values():
        assert names.get(one.number, f"BPF_FUNC_{one.name}") == f"BPF_FUNC_{one.name}"
