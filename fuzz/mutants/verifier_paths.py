"""Faults of paths: pruning and precision, references, locks, callbacks, and what an unprivileged program must not know."""

from __future__ import annotations

from fuzz.mutants.mutant import Edit
from fuzz.mutants.verifier_mutant import DATA_ADDRESS, END, MERGE, NUMBER, faults_in, unprivileged

_alu = faults_in("paths", "verifier.alu")
_arguments = faults_in("paths", "verifier.arguments")
_calls = faults_in("paths", "verifier.helper_calls")
_exits = faults_in("paths", "verifier.exits")
_explore = faults_in("paths", "verifier.explore")
_frames = faults_in("paths", "verifier.frames")
_held = faults_in("paths", "verifier.held")
_jumps = faults_in("paths", "verifier.jumps")
_locks = faults_in("paths", "verifier.locks")
_memory = faults_in("paths", "verifier.memory")
_nullness = faults_in("paths", "verifier.nullness")
_precision = faults_in("paths", "verifier.precision")
_prune = faults_in("paths", "verifier.prune")
_speculation = faults_in("paths", "verifier.speculation")
_stack = faults_in("paths", "verifier.stack")
_subprograms = faults_in("paths", "verifier.subprograms")

_FAR = "8000"
_RESERVE = "r1 = map[idx:3]; r2 = 8; r3 = 0; call 131; "
_SUBMIT = "r1 = r0; r2 = 0; call 132; "
_LOCK = "r6 = map_value[idx:4][0]; r1 = r6; r1 += 4; call 93; "
_UNLOCK = "r1 = r6; r1 += 4; call 94; "


def _two(first: str, second: str, then: str) -> str:
    """Two paths that meet: the one that is explored first, and the one that a run with R8 = 0 takes."""
    return f"{MERGE}if r8 == 0 goto other; {first}; goto both; other: {second}; both: {then}"


MUTANTS = (
    _prune("scalar-for-a-pointer", "pruning: a state with a number covers one with a pointer",
           "    if type_ != reg.type:\n        return False\n", "    if type_ != reg.type and type_ != SCALAR:\n        return False\n",
           _two("r1 = 0", "r1 = r10", "r9 += r1; r1 = *(u8 *)(r9 + 0); " + END), prune=True),
    _prune("packet-ids", "pruning: packet pointers with one variable part cover those with two",
           "        return old.off == reg.off and ids.same(old.id, reg.id) and within(old.num, reg.num)",
           "        return old.off == reg.off and within(old.num, reg.num)",
           "r6 = r1; " + NUMBER + "r2 = *(u64 *)(r9 + 8); r1 &= 255; r2 &= 255; r7 = *(u32 *)(r6 + 76); r3 = r7; r4 = r7; r3 += r1; r4 += r2; "
           "r5 = *(u64 *)(r9 + 16); r8 = *(u32 *)(r6 + 80); "
           "if r5 == 0 goto other; r4 = r3; goto both; other: r0 = 0; both: r1 = r3; r1 += 8; if r1 > r8 goto +1; r0 = *(u8 *)(r4 + 0); "
           + END, data=(0, 200, 0), prune=True),
    _prune("packet-range", "pruning: a packet pointer with a range covers one without",
           "        elif old.aux > reg.aux:\n            return False\n", "",
           "r6 = r1; " + DATA_ADDRESS + "r5 = *(u64 *)(r9 + 0); r7 = *(u32 *)(r6 + 76); r8 = *(u32 *)(r6 + 80); r0 = 0; r2 = r7; r2 += 80; "
           "if r5 == 0 goto both; if r2 > r8 goto out; both: r0 = *(u8 *)(r7 + 70); out: r0 = 0; exit", prune=True),
    _prune("map-value-offset", "pruning: a pointer into a value covers one at another offset",
           "            old.off == reg.off\n            and old.aux == reg.aux\n            and (old.of is reg.of or old.of == reg.of)\n            and within",
           "            old.aux == reg.aux\n            and (old.of is reg.of or old.of == reg.of)\n            and within",
           _two("r1 = 0", "r9 += 64", "r1 = *(u8 *)(r9 + 0); " + END), prune=True),
    _prune("linked-scalars", "pruning: numbers that move together cover those that do not",
           "        return within(old.num, reg.num) and ids.scalars(old.id, reg.id)\n    base", "        return within(old.num, reg.num)\n    base",
           _two("r1 = *(u64 *)(r9 + 8); r2 = r1", "r1 = *(u64 *)(r9 + 8); r2 = *(u64 *)(r9 + 16)",
                "if r1 > 7 goto out; r9 += r2; r1 = *(u8 *)(r9 + 0); out: " + END), data=(0, 0, int(_FAR)), prune=True),
    _prune("frames-in-part", "pruning: only the running function's frame is compared",
           "    for one, other in zip(old.frames, state.frames, strict=True):\n        if one.callsite",
           "    for one, other in list(zip(old.frames, state.frames, strict=True))[-1:]:\n        if one.callsite",
           _two("r6 = 0", "r6 = " + _FAR, "r1 = 0; call f; r9 += r6; r1 = *(u8 *)(r9 + 0); " + END)
           + "; f: " + "r2 = 0; " * 9 + "goto +0; goto +0; r0 = 0; exit", prune=True),
    _prune("spilled-scalars", "pruning: what is spilled is not compared",
           "            if not _covers(env, slot.reg, other.reg, ids, how, precise >> index & 1 == 1):\n", "            if False:\n",
           _two("*(u64 *)(r10 - 8) = r10", "*(u64 *)(r10 - 8) = r9", "r1 = *(u64 *)(r10 - 8); *(u64 *)(r1 - 16) = 0; " + END), prune=True),
    _prune("stack-in-part", "pruning: slots that only the newer state lacks are not compared",
           "        if not have:\n            return False\n", "        if not have:\n            continue\n",
           _two("r1 = r10; *(u64 *)(r10 - 8) = r1", "r1 = 0", "r1 = *(u64 *)(r10 - 8); r1 = *(u64 *)(r1 - 8); " + END), prune=True),
    _prune("references", "pruning: what is held is not compared",
           "    if len(old.refs) != len(state.refs) or", "    if",
           "r9 = map_value[idx:0][0]; r8 = *(u64 *)(r9 + 0); " + _RESERVE + "if r0 == 0 goto out; r7 = r0; r6 = 0; r6 = 0; "
           "if r8 == 0 goto other; r1 = r7; r2 = 0; call 132; r1 = 0; goto both; other: r1 = 0; both: r7 = 0; " + "out: " + END,
           also=[Edit("verifier.prune", "zip(old.refs, state.refs, strict=True)", "zip(old.refs, state.refs)"),
                 Edit("verifier.held", "    if thrown or len(state.frames) == 1:\n", "    if thrown or (len(state.frames) == 1 and env.before < 0):\n")],
           prune=True),
    _alu("offset-is-not-precise", "precision: an offset that a pointer is moved by is not marked",
         "            precision.register(env, raw.src)\n            pointer(env, raw, row, dst, src)", "            pointer(env, raw, row, dst, src)",
         _two("r1 = 0", "r1 = " + _FAR, "r9 += r1; r1 = *(u8 *)(r9 + 0); " + END), prune=True),
    _memory("size-is-not-precise", "precision: a size that a helper is given is not marked",
            "    precision.register(env, length)\n", "",
            _two("*(u64 *)(r10 - 8) = 0; r3 = 8", "*(u64 *)(r10 - 8) = 0; r3 = 1024",
                 "r1 = map[idx:3]; r2 = r10; r2 += -8; r4 = 0; call 130; " + END), prune=True),
    _jumps("decision-is-not-precise", "precision: a number that decides a jump is not marked",
           "        if dst.type == SCALAR:\n            precision.register(env, raw.dst)\n", "",
           _two("r1 = 0", "r1 = 1", "if r1 == 0 goto out; r9 += 8000; r1 = *(u8 *)(r9 - 7000); out: " + END), prune=True),
    _jumps("deciding-register-is-not-precise", "precision: a register that decides a jump is not marked",
           "        if by_register and src.type == SCALAR:\n            precision.register(env, raw.src)\n", "",
           _two("r1 = 0; r2 = 0", "r1 = 0; r2 = 1", "if r1 == r2 goto out; r9 += 7000; out: " + END), prune=True),
    _precision("copies-are-not-followed", "precision: the way back ends at a copy",
               '        if "src" in row.fields and raw.src != FP:\n            regs[frame] |= src\n', "",
               _two("r1 = 0", "r1 = " + _FAR, "r2 = r1; r9 += r2; r1 = *(u8 *)(r9 + 0); " + END), prune=True),
    _precision("spills-are-not-followed", "precision: the way back ends at a load from the stack",
               "        wanted.slots[step.slot[0]] |= 1 << step.slot[1]\n    elif kind is Kind.ATOMIC:", "    elif kind is Kind.ATOMIC:",
               _two("*(u64 *)(r10 - 8) = 0", "*(u64 *)(r10 - 8) = " + _FAR, "r1 = *(u64 *)(r10 - 8); r9 += r1; r1 = *(u8 *)(r9 + 0); " + END),
               prune=True),
    _precision("arguments-are-not-followed", "precision: the way back ends where a function was entered",
               "        regs[frame - 1] |= regs[frame]\n", "",
               _two("r1 = 0", "r1 = " + _FAR, "call f; " + END) + "; f: " + DATA_ADDRESS + "r9 += r1; r1 = *(u8 *)(r9 + 0); r0 = 0; exit",
               prune=True),
    _precision("results-are-not-followed", "precision: the way back does not enter the function that gave a number",
               "    if result:\n        regs[frame + 1] |= 1\n", "",
               DATA_ADDRESS + "r6 = r9; call f; r6 += r0; r1 = *(u8 *)(r6 + 0); " + END
               + "; f: " + _two("r1 = 0", "r1 = " + _FAR, "r0 = r1; exit"), prune=True),
    _precision("linked-are-not-followed", "precision: what moved together at a comparison is not marked together",
               "            (self.regs if is_reg else self.slots)[frame] |= 1 << at\n\n", "            pass\n\n",
               _two("r1 = *(u64 *)(r9 + 8); r2 = r1", "r1 = *(u64 *)(r9 + 8); r2 = *(u64 *)(r9 + 16)",
                    "if r1 > 7 goto out; r9 += r2; r1 = *(u8 *)(r9 + 0); out: " + END), data=(0, 0, int(_FAR)), prune=True),
    _exits("result-is-not-precise", "precision: a result that must lie in a range is not marked",
           "    precision.register(env, number)\n    num = reg.num\n", "    num = reg.num\n",
           _two("r0 = 1", "r0 = 77", "exit"), kind="sk_lookup", prune=True),
    _arguments("null-is-not-precise", "precision: a null argument covers a number that is none",
               '        precision.register(env, number)\n    if "OBJ_RELEASE" in flags:', '        pass\n    if "OBJ_RELEASE" in flags:',
               "r6 = r1; " + _two("r2 = 0", "r2 = 4096", "r1 = r6; r3 = 0; call 124; r0 = 1; exit"), kind="sk_lookup", prune=True),
    _held("reference-leaks", "references: one that is held at the exit is not missed",
          "    if thrown or len(state.frames) == 1:\n", "    if thrown:\n", _RESERVE + "if r0 == 0 goto +1; r1 = 0; " + END),
    _nullness("not-null-is-given-back", "references: the check against null gives back what is not null",
              "    if reg.ref and reg.ref == id_ and null:\n", "    if reg.ref and reg.ref == id_:\n",
              _RESERVE + "if r0 == 0 goto +1; r1 = 0; " + END),
    _held("used-after-release", "references: pointers to what was given back can still be used",
          "        if reg.ref != id_:\n            return reg\n        return ANY if env.leaks else UNINIT\n", "        return reg\n",
          _RESERVE + "if r0 == 0 goto +5; r6 = r0; " + _SUBMIT.replace("r1 = r0", "r1 = r6") + "*(u64 *)(r6 + 0) = 1; " + END),
    _calls("call-under-a-lock", "locks: a helper is called while one is held",
           "    if state.locks and name not in", "    if False and name not in", _LOCK + "call 7; " + _UNLOCK + END),
    _held("exit-under-a-lock", "locks: the program ends while one is held",
          "    if locks and state.locks:\n", "    if False:\n", _LOCK + END),
    _locks("two-locks", "locks: a second one is taken",
           '        if not resilient and any(ref.kind == "lock" for ref in state.refs):\n            raise', "        if False:\n            raise",
           _LOCK + "r1 = r6; r1 += 4; call 93; " + _UNLOCK + _UNLOCK + END,
           also=[Edit("verifier.helper_calls", 'name not in ("spin_unlock"', 'name not in ("spin_lock", "spin_unlock"')]),
    _calls("callback-once", "callbacks: one that runs many times is walked once",
           "        callbacks.push(env, made)\n",
           "        if env.state.frames[-1].depth:\n            env.state.frames[-1].depth = 0\n        else:\n"
           "            callbacks.push(env, made)\n",
           "*(u64 *)(r10 - 8) = 0; r1 = 3; r2 = func[f]; r3 = r10; r3 += -8; r4 = 0; call 181; " + END
               + "; f: r3 = *(u64 *)(r2 + 0); r3 += 1; *(u64 *)(r2 + 0) = r3; r0 = 0; exit"),
    _subprograms("caller-keeps-arguments", "calls: R1-R5 of the caller survive a call",
                 "    for number in range(6):\n        caller.regs[number] = UNINIT\n", "    caller.regs[0] = UNINIT\n",
                 "r1 = 5; call f; r0 = r1; " + END + "; f: r1 = 6; r0 = 0; exit"),
    _frames("helper-keeps-registers", "calls: R5 survives a helper",
            "    for number in range(6):\n        regs[number] = UNINIT\n", "    for number in range(5):\n        regs[number] = UNINIT\n",
            "r5 = 5; call 7; r0 = r5; " + END),
    unprivileged(_memory)(
        "pointer-into-a-map", "unprivileged: a pointer is stored to a map's value",
        "        if write and value >= 0 and type_ in _LEAKS and type_ not in _LEAKS_LATER:\n", "        if False:\n",
        DATA_ADDRESS + "*(u64 *)(r9 + 0) = r10; " + END),
    unprivileged(_explore)(
        "pointer-by-an-atomic", "unprivileged: a pointer is added to a map's value",
        '    if env.is_pointer(src):\n        raise Rejection(EACCES, f"R{raw.src} leaks addr into mem", env.pc)\n', "",
        DATA_ADDRESS + "r1 = r10; lock *(u64 *)(r9 + 0) += r1; " + END),
    unprivileged(_jumps)(
        "pointer-compared", "unprivileged: a pointer is compared with a number",
        "other)) and env.is_pointer(dst):", "other)) and False:", "r1 = r10; r0 = 0; if r1 s< 0 goto +1; r0 = 1; exit"),
    unprivileged(_alu)(
        "distance-of-pointers", "unprivileged: the distance of two pointers is a number",
        '                if op == "sub" and env.leaks:\n', '                if op == "sub":\n', DATA_ADDRESS + "r0 = r10; r0 -= r9; exit"),
    unprivileged(_alu)(
        "half-of-a-pointer", "unprivileged: a pointer's low half is a number",
        '    if env.is_pointer(reg):\n        raise Rejection(EACCES, f"R{raw.src} partial copy of pointer", env.pc)\n', "", "w0 = w10; exit"),
    unprivileged(_exits)(
        "pointer-returned", "unprivileged: a pointer is the program's result",
        "    if env.is_pointer(reg):\n", "    if False:\n", "r0 = r10; exit"),
    unprivileged(_stack)(
        "pointer-in-part", "unprivileged: bytes of a spilled pointer are a number",
        '        raise Rejection(EACCES, "invalid size of register fill", env.pc)\n', "        return env.set(into, ANY)\n",
        "*(u64 *)(r10 - 8) = r10; r0 = *(u32 *)(r10 - 8); exit"),
    unprivileged(_prune)(
        "data-for-a-pointer", "pruning: bytes on the stack cover a spilled pointer",
        "            if a in (b, INVALID) or (a == MISC and", "            if a in (b, INVALID, MISC) or (a == MISC and",
        DATA_ADDRESS + "r8 = *(u64 *)(r9 + 0); " + "r0 = 0; " * 8 + "if r8 == 0 goto other; *(u64 *)(r10 - 8) = r8; goto both; "
        "other: *(u64 *)(r10 - 8) = r10; both: r0 = *(u64 *)(r10 - 8); exit", prune=True),
    unprivileged(_speculation)(
        "mask-off-by-one", "unprivileged: a pointer's mask lets a misprediction go one byte further",
        "_note(env, raw, op, window.state, abs(window.limit - limit))", "_note(env, raw, op, window.state, abs(window.limit - limit) + 1)",
        NUMBER + "r1 &= 63; r9 += r1; r1 = *(u8 *)(r9 + 0); " + END),
    unprivileged(_speculation)(
        "mask-to-the-wrong-side", "unprivileged: a mask is made for the other direction",
        '        to_left = negative if op == "add" else not negative\n', '        to_left = not negative if op == "add" else negative\n',
        NUMBER + "r1 &= 31; r9 += r1; r1 = *(u8 *)(r9 + 0); " + END, data=(1,)),
)  # fmt: skip
