"""What a program is attached to, by the name of its section, and of what types the words of its context are then.

The context of tracing, LSM and iterator programs is an array of 64-bit words: arguments of a function of the kernel,
what it returns behind them, or the members of a structure. The machine's BTF has the types; where it does not, nothing
is known of a word.
"""

from __future__ import annotations

from dataclasses import dataclass

from bpf.object.btf import COMPOSITE, Btf, Kind
from bpf.program import Program

WORD = 8
_STRUCTURES = {"netfilter": "bpf_nf_ctx"}
RETURNING = frozenset({"fexit", "fmod_ret"})
"""How programs are attached that get_func_ret tells what the function returned."""
_RETURNS = RETURNING | {"lsm", "lsm_cgroup"}


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a context. type: the structure that it points to, 0 where it is a number."""

    name: str
    type: int = 0


def types_of(prog: Program) -> Btf | None:
    """The types that structures of the kernel are read by: the machine's, else the program's own."""
    return prog.kernel if prog.kernel is not None else prog.btf


def attached(section: str) -> tuple[str, str]:
    """How a program is attached, and to what: "fentry.s/do_exit" -> ("fentry", "do_exit")."""
    kind, _, name = section.removeprefix("?").partition("/")
    return kind.partition(".")[0], name


def words(prog: Program) -> tuple[Word, ...] | None:
    """The words of a program's context in order; None where the types do not say."""
    types = types_of(prog)
    kind, name = attached(prog.section)
    if types is None:
        return None
    if kind in _STRUCTURES or kind == "iter":
        found = types.find(_STRUCTURES.get(kind, f"bpf_iter__{name}"), Kind.STRUCT)
        return None if found is None else _members(types, found)
    number = _prototype(types, kind, name)
    if number is None:
        return None
    one = types[number]
    params = one.params[kind == "tp_btf" :]  # a tracepoint's first argument is its own data
    found_words = [Word(param.name or f"arg{at}", pointee(types, param.type)) for at, param in enumerate(params)]
    if kind in _RETURNS and one.type:
        found_words.append(Word("ret", pointee(types, one.type)))
    return tuple(found_words)


def _prototype(types: Btf, kind: str, name: str) -> int | None:
    """The FUNC_PROTO of what a program is attached to."""
    if kind == "tp_btf":
        alias = types.find(f"btf_trace_{name}", Kind.TYPEDEF)
        pointer = types.strip(alias) if alias is not None else 0
        number = types.strip(types[pointer].type) if types[pointer].kind is Kind.PTR else 0
    else:
        function = types.find(f"bpf_lsm_{name}" if kind in ("lsm", "lsm_cgroup") else name, Kind.FUNC)
        number = types[function].type if function is not None else 0
    return number if number and types[number].kind is Kind.FUNC_PROTO else None


def _members(types: Btf, number: int) -> tuple[Word, ...]:
    """A word for each 8 bytes of a structure."""
    one = types[number]
    found = [Word("")] * -(-one.size // WORD)
    for member in one.members:
        at, inside = divmod(member.offset // 8, WORD)
        if not inside and at < len(found):
            found[at] = Word(member.name or _inner(types, member.type), pointee(types, member.type))
    return tuple(found)


def _inner(types: Btf, number: int) -> str:
    """The name of the first member of a union without one: how headers write a pointer of 8 bytes on any machine."""
    one = types[types.strip(number)]
    return one.members[0].name if one.kind in COMPOSITE and one.members else ""


def pointee(types: Btf, number: int) -> int:
    """The structure that a type points to, 0 for what is no pointer to one."""
    one = types[types.strip(number)]
    if one.kind is Kind.UNION:  # a pointer that takes 8 bytes on any machine
        return next(filter(None, (pointee(types, member.type) for member in one.members)), 0)
    if one.kind is not Kind.PTR:
        return 0
    inner = types.strip(one.type)
    if types[inner].kind is Kind.FWD:  # it is whole elsewhere
        inner = types.find(types[inner].name, Kind.STRUCT, Kind.UNION) or 0
    return inner if types[inner].kind in COMPOSITE else 0


def walk(types: Btf, number: int, offset: int, depth: int = 0) -> int | None:
    """What 8 bytes at an offset of a structure are: the structure they point to, 0 for a number; None: not known."""
    one = types[types.strip(number)]
    if depth > 32 or offset < 0:
        return None
    if one.kind is Kind.ARRAY:
        size = types.size(one.type)
        return walk(types, one.type, offset % size, depth + 1) if size else None
    if one.kind not in COMPOSITE:
        return pointee(types, number) if not offset else 0
    found: set[int | None] = set()
    for member in one.members:
        at = member.offset // 8
        kind = types[types.strip(member.type)].kind
        if member.bits or not at <= offset < at + max(types.size(member.type), 1 if kind is Kind.ARRAY else 0):
            continue
        found.add(walk(types, member.type, offset - at, depth + 1))
    if one.kind is Kind.UNION:
        found.discard(0)  # of the members of a union a pointer counts, as Linux has it
        return found.pop() if len(found) == 1 else None if found else 0
    return found.pop() if len(found) == 1 else None
