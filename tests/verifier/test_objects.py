"""Registers that accesses to contexts, objects and maps leave, and the sentences they are refused with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bpf.object.btf import VOID, Btf, Kind, Member, Type
from bpf.program import Map
from bpf.spec.map_structures import STRUCTURES
from bpf.spec.maps import MAP_TYPES
from bpf.spec.program_types import PROGRAM_TYPES
from bpf.text import assemble
from tests.verifier.test_btf_walk import INNER, OUTER, TYPES
from verifier import btf_context, memory, objects
from verifier.env import Env
from verifier.log import Log, reg_text
from verifier.options import Options
from verifier.rejection import Rejection
from verifier.scalar import settled
from verifier.state import ZERO, Reg, entry
from verifier.structure import structure
from verifier.subject import Subject
from verifier.types import ALLOC, BTF, MAP_PTR, SCALAR, TRUSTED, UNTRUSTED

CODE = assemble("r0 = 0; exit", order="little").encode()
HERE = objects.kernel_types()


def env(kind: str = "sched_cls", *, sleepable: bool = False, license_: str = "GPL", **options: object) -> Env:
    """A verification at a program's first instruction."""
    subject = Subject(CODE, "little", PROGRAM_TYPES["sched_cls"], license=license_)
    found = Env(subject, Options(log_level=2), structure(subject, Options()), Log())
    found.subject = replace(subject, type=PROGRAM_TYPES[kind])
    found.state = entry()
    found.state.sleepable = sleepable
    for name, value in options.items():
        setattr(found, name, value)
    return found


def says(given: Env, off: int, size: int, reg: Reg | None = None, *, write: bool = False) -> str:
    """What an access through R3 to an object leaves in R2, or why it is refused."""
    reg = reg or Reg(BTF | TRUSTED, ZERO, 0, 0, 0, TYPES, OUTER)
    try:
        objects.access(given, 3, reg, off, size, write, -1 if write else 2)
    except Rejection as found:
        assert found.pc == given.pc
        return found.message
    return reg_text(given.state.frames[-1].regs[2], 0, precise=False)


def test_loads_from_objects() -> None:
    given = env()
    assert says(given, 0, 4) == "scalar()"
    assert says(given, 8, 8) == "ptr_inner()"
    assert says(given, 48, 8) == "rcu_ptr_or_null_inner(id=1)"
    assert says(given, 48, 8) == "rcu_ptr_or_null_inner(id=2)"
    assert says(given, 56, 8) == "rdonly_untrusted_mem(sz=0)"
    assert says(env(sleepable=True), 48, 8) == "untrusted_ptr_inner()"
    held = env(sleepable=True)
    held.state.rcu = 1
    assert says(held, 48, 8) == "rcu_ptr_or_null_inner(id=1)"
    assert says(given, 16, 8, Reg(BTF, ZERO, 0, 0, 0, TYPES, INNER)) == "access beyond struct inner at off 16 size 8"


def test_objects_that_may_not_be_read() -> None:
    assert says(env(leaks=False), 0, 4).startswith("'struct outer' access is allowed only to CAP_PERFMON")
    moved = Reg(BTF | TRUSTED, settled(0, 7, 0, 7, 0, 7, 0, 7, 0, 7), 0, 0, 0, TYPES, OUTER)
    assert says(env(), 0, 4, moved) == "R3 is ptr_outer invalid variable offset: off=0, var_off=(0x0; 0x7)"
    assert says(env(), 0, 4, write=True) == "only read is supported"
    assert says(env(license_="BSD"), 0, 4) == "scalar()"  # the types are the program's own


def test_a_helper_reads_an_object() -> None:
    objects.for_helper(env(), 3, Reg(BTF | TRUSTED, ZERO, 24, 0, 0, TYPES, OUTER), 12, False)
    with pytest.raises(Rejection, match="access beyond the end of member many"):
        objects.for_helper(env(), 3, Reg(BTF | TRUSTED, ZERO, 24, 0, 0, TYPES, OUTER), 16, False)


def test_every_map_has_a_structure() -> None:
    assert STRUCTURES.keys() == MAP_TYPES.keys()


@pytest.mark.skipif(HERE is None, reason="this kernel has no types")
def test_a_map_is_read() -> None:
    given, reg = env(), Reg(MAP_PTR, ZERO, 0, 0, 0, Map("m"))
    for off, size, said in (
        (0, 4, ""),
        (-8, 8, "R1 is bpf_array invalid negative access: off=-8"),
        (100_000, 8, "access beyond struct bpf_array at off 100000 size 8"),
    ):
        try:
            objects.map_access(given, 1, reg, off, size, False, 2)
        except Rejection as found:
            assert said == found.message
        else:
            assert said == ""
    with pytest.raises(Rejection, match="only read from bpf_array is supported"):
        objects.map_access(given, 1, reg, 0, 4, True, -1)


def loaded(given: Env, off: int, size: int) -> str:
    """What a load from the context through R1 leaves in R2."""
    memory.access(given, 1, off, size, False, 2)
    return reg_text(given.state.frames[-1].regs[2], 0, precise=False)


def test_loads_from_a_context() -> None:
    given = env()
    assert loaded(given, 0, 4).startswith("scalar(smin=0,smax=umax=0xffffffff")
    assert loaded(given, 76, 4) == "pkt(r=0)"
    assert loaded(given, 168, 8) == "sock_common_or_null(id=1)"
    with pytest.raises(Rejection, match="invalid bpf_context access off=76 size=1"):
        loaded(given, 76, 1)


def test_a_hooks_result(monkeypatch: pytest.MonkeyPatch) -> None:
    found = btf_context.Argument(SCALAR, 0, -4095, 0)
    monkeypatch.setattr(btf_context, "access", lambda *_, **__: (found, "a note"))
    given = env("lsm")
    assert loaded(given, 8, 8) == "scalar(smin=smin32=-4095,smax=smax32=0)"
    assert given.log.lines[-1] == "a note"


def test_untrusted_objects_stay_so() -> None:
    assert says(env(), 8, 8, Reg(BTF | UNTRUSTED, ZERO, 0, 0, 0, TYPES, OUTER)) == "untrusted_ptr_inner()"


def test_locks_in_allocated_objects_are_not_touched() -> None:
    lock = Type(Kind.STRUCT, "bpf_spin_lock", 4, members=(Member("val", 1, 0),))
    own = Type(Kind.STRUCT, "own", 12, members=(Member("count", 1, 0), Member("lock", 2, 32), Member("rest", 1, 64)))
    btf = Btf((VOID, TYPES[1], lock, own))
    reg = Reg(BTF | ALLOC, ZERO, 0, 0, 1, btf, 3)
    assert says(env(), 0, 4, reg) == "scalar()"
    assert says(env(), 8, 4, reg, write=True) == "?()"
    assert (
        says(env(), 4, 4, reg) == says(env(), 4, 1, reg, write=True) == "direct access to bpf_spin_lock is disallowed"
    )
