"""Faults of pointers: arithmetic, packets, maps, the stack, calls that read and write memory."""

from __future__ import annotations

from fuzz.mutants.mutant import Edit
from fuzz.mutants.verifier_mutant import DATA_ADDRESS, END, NUMBER, PACKET, faults_in, look_up, unprivileged

_alu = faults_in("memory", "verifier.alu")
_calls = faults_in("memory", "verifier.helper_calls")
_jumps = faults_in("memory", "verifier.jumps")
_memory = faults_in("memory", "verifier.memory")
_nullness = faults_in("memory", "verifier.nullness")
_stack = faults_in("memory", "verifier.stack")
_depth = faults_in("memory", "verifier.stack_depth")
_HIGH = 1 << 32
_ALL = (1 << 64) - 1
_SLOTS = "*(u64 *)(r10 - 8) = 0; *(u64 *)(r10 - 16) = 0; *(u64 *)(r10 - 24) = 0; "
_FIRST_14 = PACKET + "r2 = r7; r2 += 14; if r2 > r8 goto +2; "
_CONTEXT = "r6 = r1; "

MUTANTS = (
    _memory("offset-overflow", "pointer arithmetic: an offset and a range overflow 32 bits together",
            '    if num.umax >= MAX_VAR_OFF:\n        raise Rejection(EACCES, f"R{number} unbounded memory access',
            '    if False:\n        raise Rejection(EACCES, f"R{number} unbounded memory access',
            NUMBER + "r1 &= 1; r1 <<= 32; r9 += r1; r1 = *(u8 *)(r9 + 0); " + END, data=(1,),
            also=[Edit("verifier.memory", "reg, num.umax + off, size", "reg, (num.umax + off) & 0xFFFF_FFFF, size")]),
    _alu("maybe-null-moves", "pointer arithmetic: a pointer that may be null is moved",
         "    if base.type & MAYBE_NULL:\n", '    if base.type & MAYBE_NULL and op != "add":\n',
         look_up(9) + "r0 += 8; " + END),
    _alu("packet-end-moves", "pointer arithmetic: the packet's end is moved",
         "DYNPTR}) | PACKETS", "DYNPTR, PACKET_END}) | PACKETS", PACKET + "r8 += 8; " + END,
         also=[Edit("verifier.alu", "    PACKETS,\n", "    PACKET_END,\n    PACKETS,\n")]),
    _memory("negative-variable-offset", "pointer arithmetic: a variable offset below 0 is let through",
            "    if num.smin < 0 and (num.smin == S64_MIN", "    if False and (num.smin == S64_MIN",
            NUMBER + "r1 s>>= 60; r9 += r1; r1 = *(u8 *)(r9 + 0); " + END, data=(_ALL,),
            also=[Edit("verifier.memory", "reg, num.smin + off, size", "reg, max(num.smin, 0) + off, size"),
                  Edit("verifier.memory", '    if num.umax >= MAX_VAR_OFF:\n        raise Rejection(EACCES, f"R{number} unb',
                       '    if num.smax >= MAX_VAR_OFF:\n        raise Rejection(EACCES, f"R{number} unb'),
                  Edit("verifier.memory", "reg, num.umax + off, size", "reg, num.smax + off, size")]),
    _memory("negative-fixed-offset", "pointer arithmetic: a fixed offset below 0 is let through",
            "    if off >= 0 and (size > 0", "    if (size > 0",
            DATA_ADDRESS + "r9 += -8; r1 = *(u64 *)(r9 + 0); " + END,
            also=[Edit("verifier.memory", "    if num.smin < 0 and (num.smin", "    if False and (num.smin")]),
    _memory("value-off-by-one", "map values: an access may end one byte behind",
            "and off + size <= region:", "and off + size <= region + 1:",
            NUMBER + "r0 = map_value[idx:0][0]; r1 &= 63; r0 += r1; r0 += 1; r3 = r0; "
            "r2 = *(u8 *)(r0 + 0); " + END, data=(63,)),
    _alu("minus-takes-the-near-end", "pointer arithmetic: a difference's bounds are those of the wrong ends",
         "smin, smax = num.smin - by.smax, num.smax - by.smin", "smin, smax = num.smin - by.smin, num.smax - by.smax",
         NUMBER + "r9 += 8; r2 = r1; r2 &= 4; r9 += r2; r1 &= 3; r9 -= r1; " + END, data=(3,)),
    _alu("range-survives-a-variable-offset", "packets: the range is kept when the pointer moves by a number",
         "return Reg(base.type, moved, base.off, env.new_id(), base.ref, base.of, 0)",
         "return Reg(base.type, moved, base.off, env.new_id(), base.ref, base.of, base.aux)",
         _CONTEXT + NUMBER + "r1 &= 15; r7 = *(u32 *)(r6 + 76); r8 = *(u32 *)(r6 + 80); r2 = r7; r2 += 14; if r2 > r8 goto +3; "
         "r7 += r1; r0 = *(u8 *)(r7 + 13); r0 += 0; " + END, data=(15,), packet=bytes(14)),
    _jumps("range-off-by-one", "packets: the range is one byte more than was compared",
           "    reach = pointer.off + open_\n", "    reach = pointer.off + open_ + 1\n",
           _FIRST_14 + "r0 = *(u8 *)(r7 + 14); r0 += 0; " + END, packet=bytes(14)),
    _jumps("range-off-by-two", "packets: a strict comparison tells of two bytes",
           "    reach = pointer.off + open_\n", "    reach = pointer.off + 2 * open_\n",
           PACKET + "r2 = r7; r2 += 13; if r2 >= r8 goto +2; r0 = *(u8 *)(r7 + 14); r0 += 0; " + END, packet=bytes(14)),
    _jumps("jgt-as-jge", "packets: JGT tells what JGE does",
           '    if op == "jgt":\n        _good(this, pointer, False)', '    if op == "jgt":\n        _good(this, pointer, True)',
           _FIRST_14 + "r0 = *(u8 *)(r7 + 14); r0 += 0; " + END, packet=bytes(14)),
    _jumps("range-on-the-wrong-way", "packets: the way where the end is passed gets the range",
           '    elif op == "jle":\n        _good(other, pointer, False)', '    elif op == "jle":\n        _good(this, pointer, False)',
           PACKET + "r2 = r7; r2 += 80; if r2 <= r8 goto +2; r0 = *(u8 *)(r7 + 70); r0 += 0; " + END),
    _jumps("range-of-another-id", "packets: pointers with another variable part get the range too",
           "        if reg.type == pointer.type and reg.id == pointer.id and reg.aux < reach:",
           "        if reg.type == pointer.type and reg.aux < reach:",
           _CONTEXT + NUMBER + "r1 &= 255; r7 = *(u32 *)(r6 + 76); r8 = *(u32 *)(r6 + 80); r3 = r7; r3 += r1; r2 = r7; r2 += 8; "
           "if r2 > r8 goto +2; r0 = *(u8 *)(r3 + 0); r0 += 0; " + END, data=(255,)),
    _calls("range-survives-a-move", "packets: pointers are kept when a helper has moved the packet",
           '    if moves and name != "tail_call":', '    if moves and name not in ("tail_call", "xdp_adjust_head"):',
           "r6 = r1; r7 = *(u32 *)(r6 + 0); r8 = *(u32 *)(r6 + 4); r2 = r7; r2 += 40; if r2 > r8 goto +4; r2 = 32; call 44; "
           "r0 = *(u8 *)(r7 + 39); r0 += 0; r0 = 2; exit", kind="xdp"),
    _memory("size-by-its-minimum", "helpers: the least size that they may be given is checked",
            "for_helper(env, number, num.umax, write", "for_helper(env, number, num.umin, write",
            NUMBER + "r2 = r1; r2 &= 0x3ff; r2 += 8; r1 = r10; r1 += -8; *(u64 *)(r10 - 8) = 0; r3 = r2; r2 = r1; "
            "r1 = map[idx:3]; r4 = 0; call 130; " + END, data=(0x3FF,)),
    _memory("null-with-a-size", "null check: a helper that takes null is given what may be null, and a size",
            "    if regs[number].type & MAYBE_NULL and num.umax:\n", "    if False:\n",
            look_up(9) + "r1 = r0; r2 = 4; r3 = 0; r4 = 0; r5 = 0; call 28; " + END),
    _memory("alignment-of-variable-offsets", "alignment: bits of a variable offset that are not known count as 0",
            "    if (value | mask) & size - 1:", "    if value & size - 1:",
            NUMBER + "r1 &= 7; r9 += r1; r3 = 1; lock *(u64 *)(r9 + 8) += r3; " + END, data=(3,)),
    _nullness("another-id", "null check: what has another id is no longer null",
              "or one.id != id_ or not (id_ or", "or not (id_ or",
              look_up(0) + "r7 = r0; " + look_up(9) + "if r7 == 0 goto +1; r1 = 1; " + END),
    _nullness("null-the-other-way", "null check: on the way where a pointer is null its copies are not",
              "return Reg(SCALAR, ZERO) if null else not_null(env, one)", "return not_null(env, one)",
              look_up(9) + "if r0 != 0 goto +1; r1 = r0; " + END),
    _calls("id-used-twice", "ids: two calls give results of one id",
           "    if flags & MAYBE_NULL:\n        id_ = env.new_id()\n", "    if flags & MAYBE_NULL:\n        id_ = env.ids + 1\n",
           look_up(0) + "r7 = r0; " + look_up(9) + "if r7 == 0 goto +1; r1 = 1; " + END),
    _calls("array-element-is-there", "null check: a lookup of a key beyond an array's end is not null",
           "            and 0 <= made.key < map_.max_entries\n", "            and 0 <= made.key <= map_.max_entries\n",
           look_up(4, 2) + "r1 = r0; " + END),
    _stack("pointer-spilled-in-part", "stack: a spill of a pointer's low half keeps its type",
           '        if size != 8:\n            raise Rejection(EACCES, "invalid size of register spill", env.pc)\n', "",
           DATA_ADDRESS + "*(u32 *)(r10 - 8) = r9; " + END),
    _stack("partial-spill-stays-linked", "stack: a spill of a wide number's low half stays linked to it",
           "        fits = width(reg) <= 8 * size\n", "        fits = True\n",
           NUMBER + "*(u32 *)(r10 - 8) = r1; r2 = *(u32 *)(r10 - 8); if r2 != 5 goto +1; r1 += 0; " + END, data=(_HIGH | 5,),
           also=[Edit("verifier.stack", "reg if width(reg) <= 8 * size else reg.identified(0))\n        env.history",
                      "reg)\n        env.history")]),
    _stack("spill-survives-a-byte", "stack: a spill is kept when a byte of it is overwritten",
           "    frame.stack[index] = Slot(bytes(kinds))\n\n\ndef _scrub", "    frame.stack[index] = slot\n\n\ndef _scrub",
           NUMBER + "r2 = 7; *(u64 *)(r10 - 8) = r2; *(u8 *)(r10 - 7) = r1; r3 = *(u64 *)(r10 - 8); " + END, data=(5,)),
    _stack("zeros-are-not-overwritten", "stack: bytes that were zero stay zero",
           "        kinds[(at - i) % 8] = kind\n", "        kinds[(at - i) % 8] = kind if kinds[(at - i) % 8] != ZEROS else ZEROS\n",
           NUMBER + "*(u8 *)(r10 - 7) = 0; *(u8 *)(r10 - 7) = r1; r2 = *(u8 *)(r10 - 7); " + END, data=(5,)),
    _stack("variable-store-ends-early", "stack: the last byte that a variable store may reach is kept",
           "    for byte in range(low, high):\n        index, place = divmod(-byte - 1, 8)\n        slot = frame.stack[index]\n        kind",
           "    for byte in range(low, high - 8):\n        index, place = divmod(-byte - 1, 8)\n        slot = frame.stack[index]\n        kind",
           NUMBER + _SLOTS + "r1 &= 8; r2 = r10; r2 += -24; r2 += r1; r3 = 255; *(u64 *)(r2 + 0) = r3; r4 = *(u64 *)(r10 - 16); "
           + END, data=(8,)),
    _stack("variable-load-of-the-first", "stack: a variable load looks at the least offset alone",
           "_read_bytes(env, frame_of(env, reg), num.smin + off, num.smax + off + size, into)",
           "_read_bytes(env, frame_of(env, reg), num.smin + off, num.smin + off + size, into)",
           NUMBER + "*(u8 *)(r10 - 12) = 0; *(u8 *)(r10 - 4) = 5; r1 &= 8; r2 = r10; r2 += -12; r2 += r1; r3 = *(u8 *)(r2 + 0); "
           + END, data=(8,)),
    _calls("helper-leaves-the-stack", "stack: what a helper has written to is as it was",
           "    if made.written >= 0:\n", "    if False:\n",
           _CONTEXT + "*(u64 *)(r10 - 8) = 0; r1 = r6; r2 = 0; r3 = r10; r3 += -8; r4 = 8; call 26; r3 = *(u64 *)(r10 - 8); " + END,
           packet=bytes(range(1, 65))),
    unprivileged(_stack)(
        "helper-reads-uninitialised", "stack: a helper reads slots that nothing was written to",
        "        elif kind == ZEROS or (kind == INVALID and env.uninit):\n            if write:",
        "        elif kind == ZEROS or kind == INVALID:\n            if write:",
        "*(u32 *)(r10 - 4) = 0; r2 = r10; r2 += -4; r3 = r10; r3 += -56; r1 = map[idx:1]; r4 = 0; call 2; " + END,
        also=[Edit("verifier.stack", "deepest = -MAX_STACK if write or env.uninit else", "deepest = -MAX_STACK if True else")]),
    unprivileged(_stack)(
        "load-of-uninitialised", "stack: slots that nothing was written to are read",
        '        if kind not in (MISC, ZEROS) and not (kind == INVALID and env.uninit):\n            raise Rejection(EACCES, f"invalid read from stack off {off}+{i} size {size}", env.pc)\n\n\ndef _read_bytes',
        '        if False:\n            raise Rejection(EACCES, f"invalid read from stack off {off}+{i} size {size}", env.pc)\n\n\ndef _read_bytes',
        "*(u64 *)(r10 - 16) = 0; r0 = *(u64 *)(r10 - 8); exit"),
    _depth("combined-depth", "stack: functions that call each other use more than 512 bytes together",
           "LIMIT = 512 ", "LIMIT = 1024 ",
           "*(u64 *)(r10 - 400) = 1; call f; r0 = 0; exit; f: *(u64 *)(r10 - 200) = 1; r0 = 0; exit"),
    _stack("deeper-than-512", "stack: a frame may have more than 512 bytes",
           "deepest = -MAX_STACK if write", "deepest = -MAX_STACK - 8 if write",
           "*(u64 *)(r10 - 520) = 1; " + END, also=[Edit("verifier.stack_depth", "LIMIT = 512 ", "LIMIT = 1024 ")]),
)  # fmt: skip
