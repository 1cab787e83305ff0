"""What is verified of an object is what libbpf would load, also where a run needs something else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bpf.errors import Refused
from bpf.isa import decode_all
from bpf.object import Object
from bpf.object.btf import VOID, Btf, Kind, Type, Variable
from bpf.object.parts import raw_types
from bpf.plan import Unit
from bpf.program import Map, Program
from bpf.spec.conventions import TYPED
from bpf.spec.kfuncs import NUMBERS
from bpf.text import assemble
from runtime.codec import program_of, program_text
from runtime.kernel import Kernel
from runtime.permission import ROOT
from runtime.verifying import accept, subject
from tests.bpf.object.elfs import built
from verifier import Options, Verdict, verify


def of_object(name: str, *, as_given: bool) -> Program:
    """A function of core.c for a machine whose structures lack a field."""
    target = raw_types(built("core_target", "little"))
    opened = Object(built("core", "little"), target=target, as_given=as_given)
    return opened.program(opened.choose(name=name)[0])


def verdict(program: Program, kind: str = "socket_filter") -> Verdict:
    return verify(subject(program, kind), Options(log_level=2))


@pytest.mark.parametrize("as_given", [False, True])
def test_a_guard_that_only_the_verifier_sees_through(*, as_given: bool) -> None:
    """The test whether there is a field is in a function of its own."""
    assert verdict(of_object("careful", as_given=as_given)).accepted


@pytest.mark.parametrize("as_given", [False, True])
def test_without_a_guard(*, as_given: bool) -> None:
    found = verdict(of_object("careless", as_given=as_given))
    assert (found.errno, found.message) == (22, "invalid func unknown#195896080")


def test_who_is_accepted_may_run() -> None:
    program = of_object("careful", as_given=False)
    assert program.poisoned
    with pytest.raises(Refused, match="finds nothing on the target"):
        Unit((program,), convention=TYPED["socket_filter"])
    accepted = accept(program, "socket_filter", ROOT)
    assert not accepted.poisoned
    Unit((accepted,), convention=TYPED["socket_filter"])


def test_what_was_accepted_once_is_again() -> None:
    """A stored program is shown to the verifier as it was given: its dump has the verifier's facts."""
    accepted = accept(of_object("careful", as_given=False), "socket_filter", ROOT)
    stored = program_of(program_text(accepted))
    assert verdict(replace(stored, maps=accepted.maps)).accepted


def test_without_the_verifier_nothing_is_poisoned() -> None:
    with pytest.raises(Refused, match="finds nothing on the target"):
        Kernel().load([of_object("careful", as_given=False)], kind="socket_filter", verify=False)


def test_all_of_it_may_be_malformed() -> None:
    """Each slot is read once."""
    insns, malformed = decode_all(b"\xff" * 8 * 50_000, "little")
    assert len(insns) == len(malformed) == 50_000


@pytest.mark.parametrize("kind", ["socket_filter", "plain"])
def test_who_is_not_accepted_may_not(kind: str) -> None:
    with pytest.raises(Refused, match=r"struct thing___old\.gone \(0:0\) finds nothing on the target"):
        accept(of_object("careless", as_given=False), kind, ROOT)


def test_an_object_without_a_license_is_not_gpl() -> None:
    text = assemble("r1 = 0; *(u64 *)(r10 - 8) = r1; r1 = r10; r1 += -8; r2 = 8; call 6; r0 = 0; exit")
    assert verdict(text, "kprobe").accepted
    object_ = replace(text, section="kprobe/f")
    assert verdict(object_, "kprobe").message == "cannot call GPL-restricted function from non-GPL compatible program"
    assert verdict(replace(object_, license="GPL"), "kprobe").accepted


def test_a_lock_in_global_data() -> None:
    """libbpf types such a map by its section."""
    data = Map(".data.a", value_size=8, initial=bytes(8))
    text = "r1 = map_value[idx:0][4]; call 93; r1 = map_value[idx:0][4]; call 94; r0 = 0; exit"
    types = (
        VOID,
        Type(Kind.STRUCT, "bpf_spin_lock", 4),
        Type(Kind.VAR, "n", type=1, linkage=1),
        Type(Kind.DATASEC, ".data.a", variables=(Variable(2, 4, 4),)),
    )
    program = replace(assemble(text), maps=(data,), btf=Btf(types))
    found = verdict(program, "sched_cls")
    assert found.accepted
    assert "refs=" not in found.log  # it has no id
    assert "has to have BTF" in verdict(replace(program, btf=None), "sched_cls").message


def test_the_address_of_a_kernel_function() -> None:
    """As bpf_ksym_exists() asks for it, in an object: its number is none of the kernel's."""
    number = NUMBERS["bpf_rcu_read_lock"]
    text = assemble(f"r1 = btf_id[{number}][0]; if r1 == 0 goto +2; call kfunc bpf_rcu_read_lock; "
                    "call kfunc bpf_rcu_read_unlock; r0 = 0; exit")  # fmt: skip
    assert verdict(replace(text, section="tc", license="GPL"), "sched_cls").accepted
