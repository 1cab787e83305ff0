"""Verdicts as a whole: sentences that are promised, limits, options, and laws that hold of every program."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from bpf.spec.program_types import PROGRAM_TYPES
from bpf.text import assemble
from fuzz import border, genome
from fuzz.parity import oracle
from runtime.verifying import subject
from tests.verifier.live import needs_linux
from verifier import Options, Subject, verify
from verifier.parts import functions, part, together

_MOVED = "r6 = r1; *(u64 *)(r10 - 8) = r6; r1 = *(u64 *)(r10 - 8); r1 += 8; r2 = *(u64 *)(r1 + 0)"
_CSUM = "r1 = r10; r1 += -8; r2 = 8; r3 = 0; r4 = 0; r5 = 0; call 28; r0 = 0; exit"
_BPF_ALONE = frozenset({"CAP_BPF", "CAP_NET_ADMIN"})

PROMISED = [
    (_MOVED, "socket_filter", None, 22, "last insn is not an exit or jmp"),
    (f"{_MOVED}; r0 = 0; exit", "socket_filter", None, 13, "dereference of modified ctx ptr R1 off=8 disallowed"),
    (_CSUM, "sched_cls", _BPF_ALONE, 13, "invalid read from stack R1 off=-8 size=8"),
    (_CSUM, "sched_cls", None, 0, ""),
]


def _wire(text: str) -> bytes:
    """The code of a program, whole or not."""
    lines = "\n".join(line.strip() for line in text.split(";"))
    if lines.endswith("exit"):
        return assemble(lines).encode()
    return assemble(lines + "\nexit").encode()[:-8]


def _subject(text: str, kind: str = "socket_filter") -> Subject:
    return Subject(_wire(text), "little", PROGRAM_TYPES[kind])


@pytest.mark.parametrize(("text", "kind", "caps", "errno", "message"), PROMISED)
def test_promised_sentences(text: str, kind: str, caps: frozenset[str] | None, errno: int, message: str) -> None:
    options = Options() if caps is None else Options(caps)
    verdict = verify(_subject(text, kind), options)
    assert (verdict.errno, verdict.message.splitlines()[-1:] or [""]) == (errno, [message] if message else [""])


@pytest.mark.parametrize(("text", "kind", "caps", "errno", "message"), [one for one in PROMISED if one[2] is None])
class TestPromisedLive:
    pytestmark = needs_linux

    def test_linux_says_so_too(
        self, text: str, kind: str, caps: frozenset[str] | None, errno: int, message: str
    ) -> None:
        answer = oracle.ask(_subject(text, kind), Options())
        assert (answer.errno, answer.message) == (errno, message)


def test_limits_have_their_words() -> None:
    loop = _subject("r1 = 0; r1 += 1; if r1 < 100000 goto -2; r0 = 0; exit")
    verdict = verify(loop, Options(processed=1000))
    assert (verdict.errno, verdict.message) == (7, "BPF program is too large. Processed 1001 insn")
    branches = "; ".join(f"if r6 == {n} goto +0" for n in range(40))
    verdict = verify(_subject(f"call 7; r6 = r0; {branches}; r0 = 0; exit"), Options(sequence=10, prune=False))
    assert (verdict.errno, verdict.message) == (14, "The sequence of 11 jumps is too complex.")


def test_a_time_limit_is_undecided_and_names_the_instruction() -> None:
    endless = _subject("call 7; r6 = r0; r1 = 0; r1 += 1; if r1 < 300000 goto -2; r0 = 0; exit")
    verdict = verify(endless, Options(seconds=1e-9))
    assert verdict.errno == 11
    assert verdict.message.startswith("time limit reached at insn ")
    assert not verdict.accepted


def test_unprivileged_loaders_may_do_less() -> None:
    nobody = Options(frozenset())
    assert verify(_subject("r0 = r1; exit"), nobody).message == "R0 leaks addr as return value"
    loop = verify(_subject("r0 = 0; if r0 == 0 goto -1; exit"), nobody)
    assert loop.message.startswith("back-edge from insn")
    assert verify(_subject("r0 = 0; exit", "xdp"), nobody).errno == 1


def test_memory_of_a_plain_program() -> None:
    for size, accepted in ((8, True), (7, False), (0, False)):
        program = assemble("r0 = *(u64 *)(r1 + 0)\nexit")
        assert verify(subject(program, "plain", memory=size)).accepted is accepted


# Laws ------------------------------------------------------------------------------------------------


def _generated(seed: int, count: int, size: int) -> list[Subject]:
    random = Random(seed)
    return [subject(border.decode(genome.draw(random, size)), "sched_cls") for _ in range(count)]


def _agree_with_linux(seed: int, count: int) -> None:
    for number, made in enumerate(_generated(seed, count, 14)):
        here, linux = verify(made), oracle.ask(made, Options(log_level=1))
        assert here.errno == linux.errno, f"seed {seed} program {number}: {here.message!r}, Linux: {linux.message!r}"


class TestLive:
    pytestmark = needs_linux

    def test_generated_programs_get_linux_verdict(self) -> None:
        _agree_with_linux(11, 150)

    @pytest.mark.deep
    def test_many_generated_programs_get_linux_verdict(self) -> None:
        _agree_with_linux(12, 10_000)


def test_what_joined_states_accept_the_search_accepts() -> None:
    for made in _generated(13, 150, 15):
        alone, merged = verify(made, Options(processed=30_000)), verify(made, Options(processed=30_000, merge=True))
        assert alone.accepted >= merged.accepted or alone.errno in (7, 14)
        assert merged.accepted >= alone.accepted  # what is refused is searched


def test_joined_states_are_few() -> None:
    branches = "; ".join(f"if r6 > {n} goto +1; r7 += {n + 1}" for n in range(60))
    made = _subject(f"call 7; r6 = r0; r7 = r0; {branches}; r0 = 0; exit")
    assert verify(made, Options(merge=True)).processed == 125


def test_pruning_changes_no_verdict() -> None:
    for made in _generated(14, 60, 8):
        pruned = verify(made, Options(processed=20_000))
        full = verify(made, Options(processed=20_000, prune=False))
        assert pruned.errno == full.errno or {7, 14} & {pruned.errno, full.errno}


@pytest.mark.parametrize("level", [0, 1, 2])
def test_parts_together_are_the_whole(level: int) -> None:
    options = Options(log_level=level)
    for made in _generated(15, 20, 10):
        numbers = functions(made, options)
        found = together(made, options, {number: part(made, options, number) for number in numbers}.__getitem__)
        assert found == verify(made, options)


def test_garbage_gets_an_answer_with_a_reason() -> None:
    _garbage(1, 600)


@pytest.mark.deep
def test_much_garbage_gets_an_answer_with_a_reason() -> None:
    _garbage(2, 100_000)


def _garbage(seed: int, count: int) -> None:
    random = Random(seed)
    kinds = list(PROGRAM_TYPES.values())
    for made in _generated(seed, count // 100, 8) * 100:
        code = bytearray(made.code if random.random() < 0.7 else random.randbytes(8 * random.randint(1, 12)))
        for _ in range(random.randint(1, 3)):
            code[random.randrange(len(code))] = random.choice((0, 1, 0xFF, random.getrandbits(8)))
        caps = Options().caps if random.random() < 0.8 else frozenset[str]()
        asked = replace(made, code=bytes(code), type=random.choice((made.type, random.choice(kinds))))
        verdict = verify(asked, Options(caps, processed=5000))
        assert verdict.accepted == (verdict.errno == 0)
        assert verdict.accepted or verdict.message or verdict.errno in (1, 7, 22, 524)  # bpf() itself has no sentences
