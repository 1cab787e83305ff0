"""Faults of what all backends share: the Ops, functions and calls, branch relaxation, liveness."""

from __future__ import annotations

from typing import Any

from fuzz.mutants.mutant import Edit, Mutant, faults_in

ops = faults_in("jit.ops", "x86_64")
backend = faults_in("jit.backend", "x86_64")
relax = faults_in("jit.relax", "x86_64")
analysis = faults_in("jit.analysis", "x86_64")

_PLAIN = "return Op(name, pc, row.width, dst=dst, a=dst, b=b, imm=imm)"
_IDENTITY = "any: ALU32 with an immediate that changes nothing is elided, and its zero extension with it"


def _elided(what: str, condition: str, line: str) -> Mutant:
    """An instruction that is left out where the condition on name and immediate holds."""
    new = f'return Op("mov", pc, dst=dst, b=dst) if b == NONE and {condition} else {_PLAIN.removeprefix("return ")}'
    return ops(f"{what}-elided", _IDENTITY, _PLAIN, new, f"r0 = -2; {line}; exit")


def _widened(when: str, condition: str, witness: str) -> Mutant:
    """A 32-bit addition that is done at 64 bits, because the zero extension seems to be unnecessary."""
    old = "            ops.append(_op(program, pc, insn, constants))\n"
    new = f"{old}            if len(ops) > 1 and ops[-2].name == 'add' and {condition}:\n                ops[-2].width = 64\n"
    return ops(
        f"zero-extension-lost-{when}", f"any: zero extension marked unnecessary {when.replace('-', ' ')}", old, new,
        witness,
    )  # fmt: skip


_JUMP = "r2 = map[idx:0]; call 12"


def _entries(setup: str, *more: str) -> str:
    """A witness whose R0 tells how often it was entered: main calls a function, which enters main again."""
    return "; ".join(("call f; r0 += 1; exit; f:", setup, _JUMP, *more, "r0 = 100; exit"))


def _tail(name: str, source: str, old: str, new: str, witness: str, **more: Any) -> Mutant:
    return ops(f"tail-{name}", f"any: tail call: {source}", old, new, witness, jumps=True, **more)


MUTANTS = (
    _elided("add32-0", "name in ('add', 'sub') and imm == 0", "w0 += 0"),
    _elided("or32-0", "name in ('or', 'xor') and imm == 0", "w0 |= 0"),
    _elided("mul32-1", "name == 'mul' and imm == 1", "w0 *= 1"),
    _elided("div32-1", "name == 'div' and imm == 1", "w0 /= 1"),
    _elided("shift32-0", "name in ('lsh', 'rsh', 'arsh') and imm == 0", "w0 <<= 0"),
    _elided("and32-ones", "name == 'and' and imm == -1", "w0 &= -1"),
    _widened(
        "across-a-branch", "row.kind is Kind.BRANCH",
        "r0 = 0xffffffff ll; w0 += 1; if r1 == 0 goto +1; r0 = 7; exit",
    ),
    _widened("across-a-call", "row.kind is Kind.CALL", "r6 = 0xffffffff ll; w6 += 1; call 8; r0 = r6; exit"),
    _widened("of-a-copy", "row.name == 'mov64_reg'", "r1 = 0xffffffff ll; w1 += 1; r0 = r1; exit"),
    ops(
        "sub-of-int-min", "any: SUB imm 0x80000000 done as ADD of the negated immediate", _PLAIN,
        'return Op("add" if name == "sub" and b == NONE else name, pc, row.width, dst=dst, a=dst, b=b, '
        'imm=signed(-imm, 32) if name == "sub" else imm)',
        "r0 = 5; r0 -= -2147483648; exit",
    ),
    ops(
        "mod-1-leaves-dst", "any: MOD imm 1 leaves dst", 'imm == 0 and name in ("mod", "smod")',
        'imm in (0, 1) and name in ("mod", "smod")', "r0 = 7; r0 %= 1; exit",
    ),
    ops(
        "div-0-leaves-dst", "any: div by zero wrong (immediate)", 'Op("mov", pc, row.width, dst=dst, imm=0)',
        'Op("mov", pc, row.width, dst=dst, b=dst)', "r0 = 7; r0 /= 0; exit",
    ),
    ops(
        "mod32-0-not-cut", "any: mod by zero wrong (32 bits keep the upper half)",
        'return Op("mov", pc, row.width, dst=dst, b=dst)', 'return Op("mov", pc, dst=dst, b=dst)',
        "r0 = -1; w0 %= 0; exit",
    ),
    ops(
        "lddw-low-half-signed", "any: LDDW low half sign-extended into the high",
        'return Op("const", pc, dst=dst, imm=constants[pc])',
        'return Op("const", pc, dst=dst, imm=(constants[pc] & -1 << 32) + signed(constants[pc], 32) & (1 << 64) - 1)',
        "r0 = 0x180000000 ll; exit",
    ),
    ops(
        "neg32-at-64-bits", "any: a 32-bit result that is not zero-extended (neg)",
        "return Op(name, pc, row.width, dst=dst, a=dst)\n", "return Op(name, pc, dst=dst, a=dst)\n",
        "r0 = 1; w0 = -w0; exit",
    ),
    ops(
        "movsx32-at-64-bits", "any: movsx writes the wrong width",
        "return Op(name, pc, row.width, dst=dst, b=b, bits=row.bits)",
        "return Op(name, pc, dst=dst, b=b, bits=row.bits)", "r1 = 128; w0 = (s8)w1; exit",
    ),
    ops(
        "movsx-reads-a-byte", "any: movsx 16 reads the wrong width",
        "return Op(name, pc, row.width, dst=dst, b=b, bits=row.bits)",
        "return Op(name, pc, row.width, dst=dst, b=b, bits=8 if row.bits == 16 else row.bits)",
        "r1 = 0x180; r0 = (s16)r1; exit",
    ),
    ops(
        "ldsx32-unsigned", "any: a sign-extending load that does not", "signed=row.signed",
        "signed=row.signed and row.width < 32",
        "r1 = -1; *(u64 *)(r10 - 8) = r1; r0 = *(s32 *)(r10 - 8); exit",
    ),
    ops(
        "xchg32-at-64-bits", "any: xchg writes back the wrong width",
        'return Op("atomic", pc, row.width,', 'return Op("atomic", pc, 64 if row.op == "xchg" else row.width,',
        "r1 = -1; *(u64 *)(r10 - 8) = r1; r0 = 5; w0 = xchg32_32(r10 - 8, w0); exit",
    ),
    ops(
        "jmp32-at-64-bits", "any: JMP32 compares 64 bits", 'return Op("branch", pc, row.width,',
        'return Op("branch", pc, 64,', "r1 = 0x100000001 ll; r0 = 0; if w1 == 1 goto +1; exit; r0 = 1; exit",
    ),
    ops(
        "jset32-at-64-bits", "any: JSET32 tests upper bits", 'return Op("branch", pc, row.width,',
        'return Op("branch", pc, 64 if row.op == "jset" else row.width,',
        "r1 = 0x100000000 ll; r0 = 0; if w1 & -1 goto +1; exit; r0 = 1; exit",
    ),
    ops(
        "gotol-in-16-bits", "any: gotol kept in 16 bits", 'return Op("goto", pc, target=pc + 1 + insn.distance)',
        'return Op("goto", pc, target=pc + 1 + signed(insn.distance, 16))',
        "r0 = 0; gotol +40000;" + "r0 = 1;" * 40_000 + "exit",
    ),
    ops(
        "goto-one-too-far", "any: branch table off by one", "op.target = first[op.target]",
        'op.target = first[op.target] + (op.name == "goto")', "r0 = 0; goto +1; r0 += 1; r0 += 2; exit",
    ),
    ops(
        "jump-to-the-last", "any: jump to the last instruction", "op.target = first[op.target]",
        "op.target = first[min(op.target, len(program) - 2)]", "r0 = 1; if r1 == 0 goto +1; r0 = 2; exit",
    ),
    ops(
        "fetched-register-not-saved", "any: callee-saved register not restored (one that only an atomic writes)",
        'if self.name == "atomic" and self.fetch:', 'if self.name == "atomic" and self.fetch and self.b < 6:',
        "r0 = 0; r1 = 1; *(u64 *)(r10 - 8) = r1; r6 = atomic_fetch_add((u64 *)(r10 - 8), r6); exit",
    ),
    ops(
        "leaf-that-calls-helpers", "any: stack misaligned at a call, return address lost",
        'calls = calls or op.name in ("call_helper", "call_local")', 'calls = calls or op.name == "call_local"',
        "call 8; exit",
    ),
    ops(
        "r1-survives-a-call", "any: caller-saved register live across a call",
        'for register in range(1, 6 if tail or row.op in ("call_local", "callx") else 2):',
        'for register in range(2, 6 if tail or row.op in ("call_local", "callx") else 2):', "call 8; r0 = r1; exit", on="arm64",
    ),
    backend(
        "second-exit-restores-nothing", "any: callee-saved register not restored on one exit path",
        'self.jump("goto", (), self._epilogue)',
        'self.epilogue(type(self.function)("", 0, 0, 0, self.function.calls))',
        "r6 = 1; r0 = 0; if r1 == 0 goto +1; exit; r0 = 1; exit",
    ),
    backend(
        "entered-behind-the-prologue", "any: target entered before its prologue ran",
        "            self.prologue(function)\n",
        "            self.prologue(function)\n            if index:\n"
        "                straight[len(ops) + index] = len(out) * unit\n",
        "r6 = 5; call pc+2; r0 = r6; exit; r6 = 1; r0 = 0; exit",
    ),
    backend(
        "r9-not-saved", "any: callee-saved register not restored", "SAVED = (6, 7, 8, 9)", "SAVED = (6, 7, 8)",
        "r9 = 1; r0 = 0; exit",
    ),
    backend(
        "frame-not-moved-back", "any: frame pointer wrong after a BPF-to-BPF call",
        "        self.move_frame(FRAME)\n", "", "call pc+1; exit; r0 = 1; exit",
    ),
    backend(
        "frames-overlap", "any: frame pointer wrong in a BPF-to-BPF call",
        "from bpf.plan import FRAME, STUB_SIZE", "from bpf.plan import STUB_SIZE\nFRAME = 256",
        "call pc+1; exit; r0 = 1; *(u64 *)(r10 - 8) = r0; exit",
    ),
    backend(
        "helper-result-cut", "any: helper return not extended as the ABI wants",
        "self.front.unit.plan.stub(op.imm)))\n        self.after_call()\n",
        "self.front.unit.plan.stub(op.imm)))\n        self.after_call()\n        self.zero_extend(0, 0, 32)\n",
        "call 14; exit",
    ),
    backend(
        "helper-argument-cut", "any: helper argument not extended as the ABI wants",
        '        self.fixups.append(Fixup(self.position(), "call"',
        '        self.zero_extend(1, 1, 32)\n        self.fixups.append(Fixup(self.position(), "call"',
        "r1 = r10; r1 += -16; r2 = 16; call 16; exit",
    ),
    backend(
        "be-swaps-everywhere", "any: BE conversion wrong on a big-endian machine",
        'self._convert(op, swap=self.target.order == "little")', "self._convert(op, swap=True)",
        "r0 = 1; r0 = be16 r0; exit", on="ppc64",
    ),
    backend(
        "le16-keeps-upper-bits", "any: LE 16 leaves upper bits", "elif op.bits < 64:", "elif op.bits == 32:",
        "r0 = -1; r0 = le16 r0; exit",
    ),
    backend(
        "bswap-is-be", "any: bswap does nothing on a big-endian machine", "self._convert(op, swap=True)",
        'self._convert(op, swap=self.target.order == "little")', "r0 = 1; r0 = bswap32 r0; exit", on="ppc64",
    ),
    relax(
        "one-round", "any: branch displacement from a pass that had not converged",
        "if not growth[0 if backward else -1]:", "if True:",
        "r0 = 1; if r1 == 0 goto +60;" + "r0 += 1;" * 60 + "exit",
    ),
    relax(
        "call-from-an-old-place", "any: call displacement from an old layout",
        "fixup.address - base - fixup.at - old[index]", "fixup.address - base - fixup.at",
        "if r1 == 0 goto +0; call 8; exit",
    ),
    relax(
        "short-when-backward", "any: reach of a branch checked without its sign",
        "not choices[reach].low <= distance <= choices[reach].high",
        "not min(choices[reach].low, -1 << 17) <= distance <= choices[reach].high",
        "r6 = 2; r0 = 1;" + "r0 += 1;" * 60 + "r6 -= 1; if r6 != 0 goto -62; exit",
    ),
    analysis(
        "branch-target-not-read", "any: caller-saved register live across a call (read behind a branch)",
        "after |= live[pc + 1 + off]", "pass",
        "call pc+4; if r0 == 0 goto +1; exit; r0 = r1; exit; r0 = 0; exit", observe=False,
    ),
    analysis(
        "loop-not-swept-again", "any: caller-saved register live across a call (read at the head of a loop)",
        "again = again or off < 0", "pass",
        "r6 = 2; r7 = 0; r7 += r1; r6 -= 1; call pc+3; if r6 != 0 goto -4; r0 = r7; exit; r0 = 0; exit",
        observe=False,
    ),
    analysis(
        "cmpxchg-reads-no-r0", "any: R0 as a hidden operand of cmpxchg forgotten",
        'compares = int(row.op == "cmpxchg")', "compares = 0",
        "r0 = 5; call pc+1; exit; r1 = 0xdeadc0de5afe0000 ll; *(u64 *)(r10 - 8) = r1; r1 = 1;"
        "r0 = cmpxchg_64(r10 - 8, r0, r1); r0 = 0; exit",
        observe=False,
    ),
    ops(
        "may-goto-starts-again", "any: a loop counter set up at the head of the loop",
        "                ops += _start_counter(unit)\n        first[pc] = len(ops)\n",
        "                first[pc] = len(ops)\n                ops += _start_counter(unit)\n"
        "        if pc not in starts or program.function_at(pc) not in counting:\n            first[pc] = len(ops)\n",
        "may_goto +1; goto -2; r0 = 0; exit",
    ),
    ops(
        "may-goto-one-short", "any: a loop counter off by one", 'return Op("branch", pc, a=AX, imm=0, cond="jeq"',
        'return Op("branch", pc, a=AX, imm=1, cond="jeq"', "r0 = 0; may_goto +2; r0 += 1; goto -3; exit",
    ),
    ops(
        "may-goto-of-the-caller", "any: count not kept for each of the BPF-to-BPF calls",
        "            if program.function_at(pc) in counting:",
        "            if program.function_at(pc) in counting and pc == 0:",
        "may_goto +0; call pc+1; exit; r0 = 0; may_goto +2; r0 += 1; goto -3; exit",
    ),
    ops(
        "callx-knows-one-function", "any: branch table off by one (callx of the second function)",
        "    functions = unit.callees(pc)\n", "    functions = unit.callees(pc)[:1]\n",
        "r1 = func[f]; r2 = func[g]; callx r2; exit; f:; r0 = 1; exit; g:; r0 = 2; exit",
    ),
    ops(
        "callx-goes-on-behind-the-call", "any: branch table falls through into the next entry",
        'Op("goto", pc, target=end),', 'Op("goto", pc, target=at + 4 * number),',
        "r1 = func[f]; callx r1; exit; f:; r0 = 1; exit",
    ),
    ops(
        "packet-index-without-imm", "any: LD_IND without its immediate", "dst=2, a=insn.src, imm=insn.imm)]",
        "dst=2, a=insn.src, imm=0)]", "r6 = r1; r1 = 1; r0 = *(u8 *)skb[r1 + 1]; exit", packet=bytes(range(64)),
    ),
    ops(
        "packet-word-for-byte", "any: LD_ABS of the wrong size", "imm=LOAD_PACKET[insn.row.width])]",
        "imm=LOAD_PACKET[32])]", "r6 = r1; r0 = *(u8 *)skb[1]; exit", packet=bytes(range(64)),
    ),
    ops(
        "packet-zero-is-outside", "any: LD_ABS takes a loaded zero for an error", 'cond="jsge", target=at + 1',
        'cond="jsgt", target=at + 1', "r6 = r1; r0 = *(u8 *)skb[0]; r0 = 7; exit", packet=bytes(64),
    ),
    ops(
        "cast-of-null", "any: a null pointer gets the arena's base", "    if insn.imm == TO_ARENA:\n", "    if False:\n",
        "r1 = 0; r0 = addr_space_cast(r1, 1, 0); exit", arena=True,
    ),
    ops(
        "cast-keeps-upper-bits", "any: an arena pointer is not cut to 32 bits",
        '[Op("mov", pc, 32, dst=dst, b=insn.src), *ops]', '[Op("mov", pc, dst=dst, b=insn.src), *ops]',
        "r1 = -1; r0 = addr_space_cast(r1, 0, 1); exit", arena=True,
    ),
    _tail(
        "index-compared-as-64-bits", "index compared as 64 bits", 'Op("branch", pc, 32, a=3, imm=unit.maps',
        'Op("branch", pc, a=3, imm=unit.maps', _entries("r3 = 0x100000002 ll"),
    ),
    _tail(
        "index-used-as-64-bits", "index used as 64 bits", 'Op("mov", pc, 32, dst=3, b=3),\n        Op("const", pc, dst=AX',
        'Op("mov", pc, dst=3, b=3),\n        Op("const", pc, dst=AX', _entries("r3 = 0x100000002 ll"),
    ),
    _tail(
        "index-signed", "index compared with its sign", 'imm=unit.maps[index].max_entries, cond="jge"',
        'imm=unit.maps[index].max_entries, cond="jsge"', _entries("r3 = 0x80000002 ll"),
    ),
    _tail(
        "bound-one-more", "bound off by one", 'imm=unit.maps[index].max_entries, cond="jge"',
        'imm=unit.maps[index].max_entries, cond="jgt"', _entries("r3 = 512"),
    ),
    _tail(
        "bound-one-less", "bound off by one", 'imm=unit.maps[index].max_entries, cond="jge"',
        'imm=unit.maps[index].max_entries - 1, cond="jge"', _entries("r3 = 511"),
    ),
    _tail(
        "count-34", "count off by one (34 calls)", 'Op("branch", pc, a=4, b=5, cond="jge", target=out)',
        'Op("branch", pc, a=4, b=5, cond="jgt", target=out)', _entries("r3 = 0"),
    ),
    _tail(
        "count-32", "count off by one (32 calls)", "    out = at + 15\n", "    out = at + 16\n", _entries("r3 = 0"),
        also=(Edit(
            "jit.ops", "a=AX, off=8),\n", 'a=AX, off=8),\n        Op("sub", pc, dst=5, a=5, imm=1),\n'
        ),),
    ),
    _tail(
        "failed-call-counts", "a call that is not taken counts",
        """        Op("load", pc, dst=3, a=3),
        Op("branch", pc, a=3, imm=0, cond="jeq", target=out),
        Op("add", pc, dst=4, a=4, imm=1),
        Op("store", pc, a=AX, b=4),
""",
        """        Op("load", pc, dst=3, a=3),
        Op("add", pc, dst=4, a=4, imm=1),
        Op("store", pc, a=AX, b=4),
        Op("branch", pc, a=3, imm=0, cond="jeq", target=out),
""",
        _entries("r6 = r1; r3 = 1", "r1 = r6; r3 = 0", _JUMP),
    ),
    _tail(
        "count-of-each-function", "count not kept across BPF-to-BPF calls",
        "            if unit.tail_calls and program.function_at(pc) in unit.mains:\n",
        "            if unit.tail_calls and program.function_at(pc) not in unit.mains:\n"
        "                ops += [\n"
        '                    Op("const", NONE, dst=AX, imm=unit.plan.harness + TAIL_CALLS),\n'
        '                    Op("store", NONE, a=AX, imm=0),\n'
        "                ]\n"
        "            if unit.tail_calls and program.function_at(pc) in unit.mains:\n",
        _entries("r3 = 0"),
    ),
    _tail(
        "count-read-at-the-wrong-place", "count read at the wrong slot", 'Op("load", pc, dst=4, a=AX),',
        'Op("load", pc, dst=4, a=AX, off=-8),', _entries("r3 = 0"),
    ),
    _tail(
        "empty-slot-entered", "empty slot not noticed", 'Op("branch", pc, a=3, imm=0, cond="jeq", target=out)',
        'Op("branch", pc, a=3, imm=1, cond="jeq", target=out)', _entries("r3 = 1"),
    ),
    _tail(
        "cell-of-the-wrong-size", "index scaled by the wrong size", 'Op("lsh", pc, dst=3, a=3, imm=3)',
        'Op("lsh", pc, dst=3, a=3, imm=2)', _entries("r3 = 2"),
    ),
)  # fmt: skip
