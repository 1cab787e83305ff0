"""Small programs that call kernel functions, and what comes of them."""
# ruff: noqa: E501 (a table of programs)

from __future__ import annotations

from bpf.program import Map
from tests.engines.helper_programs import E2BIG, EFAULT, EINVAL, ENOENT, ERANGE, M64, Case

M32 = (1 << 32) - 1
PARTS = {"hello": 0, "Hello": 8, "world": 16, "lo": 24, "": 32, "helper": 40, "ole": 48, "l": 56}
TEXTS = Map(
    "texts", value_size=64, readonly=True, initial=b"".join(text.encode().ljust(8, b"\0") for text in PARTS)
)  # fmt: skip
VALUE = Map("value", value_size=64, initial=bytes(range(64)))
HASH = Map("table", "hash", 4, 8, 4)
IT, DYNPTR, OTHER = "r1 = r10; r1 += -16", "r1 = r10; r1 += -16", "r1 = r10; r1 += -32"
TASK = 0xFFFF_8881_0420_0000
CGROUPS = {1: 0xFFFF_8891_0000_0000, 42: 0xFFFF_8891_0000_1000}
MACHINES = "what it gives is the machine's"
UNWINDS = "the program that carries it would end too"
RELEASED = "Linux rejects what is not released"


def text_of(text: str, register: str) -> str:
    return f"{register} = map_value[idx:0][{PARTS[text]}]"


def on(name: str, *arguments: str | int) -> str:
    """A call with texts and numbers."""
    loads = [
        text_of(one, f"r{n}") if isinstance(one, str) else f"r{n} = 0x{one & M64:x} ll"
        for n, one in enumerate(arguments, 1)
    ]
    return "; ".join([*loads, f"call kfunc bpf_{name}"])


STRINGS: list[tuple[str, tuple[str | int, ...], int]] = [
    ("strcmp", ("hello", "hello"), 0), ("strcmp", ("hello", "Hello"), 1), ("strcmp", ("hello", "helper"), -1),
    ("strcmp", ("lo", "l"), 1), ("strcmp", ("", "l"), -1), ("strcmp", (0, "l"), ERANGE), ("strcmp", ("l", 0), ERANGE),
    ("strcmp", ("l", M64 - 4095), EFAULT), ("strcasecmp", ("hello", "Hello"), 0), ("strcasecmp", ("Hello", "helper"), -1),
    ("strchr", ("hello", ord("l")), 2), ("strchr", ("hello", ord("z")), ENOENT), ("strchr", ("hello", 0), 5),
    ("strchr", (0, 1), ERANGE), ("strchr", (M64 - 4095, 1), EFAULT),
    ("strchrnul", ("hello", ord("l")), 2), ("strchrnul", ("hello", ord("z")), 5),
    ("strnchr", ("hello", 5, ord("o")), 4), ("strnchr", ("hello", 4, ord("o")), ENOENT), ("strnchr", ("hello", 0, 1), ENOENT),
    ("strnchr", ("hello", 9, ord("z")), ENOENT), ("strnchr", ("hello", 6, 0), 5),
    ("strrchr", ("hello", ord("l")), 3), ("strrchr", ("hello", ord("z")), ENOENT), ("strrchr", ("hello", 0), 5),
    ("strlen", ("hello",), 5), ("strlen", ("",), 0), ("strlen", (0,), ERANGE), ("strlen", (M64 - 4095,), EFAULT),
    ("strnlen", ("hello", 3), 3), ("strnlen", ("hello", 9), 5), ("strnlen", ("hello", 0), 0),
    ("strspn", ("hello", "helper"), 4), ("strspn", ("hello", ""), 0), ("strspn", ("lo", "hello"), 2), ("strspn", (0, "l"), ERANGE),
    ("strcspn", ("hello", "lo"), 2), ("strcspn", ("hello", ""), 5), ("strcspn", ("hello", "helper"), 0), ("strcspn", ("l", 0), ERANGE),
    ("strstr", ("hello", "lo"), 3), ("strstr", ("hello", ""), 0), ("strstr", ("lo", "hello"), ENOENT), ("strstr", ("hello", "ole"), ENOENT),
    ("strstr", ("", "l"), ENOENT), ("strstr", ("l", 0), ERANGE), ("strstr", ("", ""), 0),
    ("strnstr", ("hello", "lo", 5), 3), ("strnstr", ("hello", "lo", 4), ENOENT), ("strnstr", ("hello", "lo", 9), 3),
    ("strnstr", ("hello", "", 0), 0), ("strnstr", ("hello", "l", 0), ENOENT), ("strnstr", ("hello", "hello", 5), 0),
    ("strnstr", ("hello", "l", 3), 2), ("strnstr", ("hello", "l", 2), ENOENT),
]  # fmt: skip


def numbers(start: int, end: int) -> str:
    """The sum of the squares of numbers, and what bpf_iter_num_new has said."""
    return f"""
        {IT}; r2 = {start}; r3 = {end}; call kfunc bpf_iter_num_new; r8 = r0; r7 = 0
        l: {IT}; call kfunc bpf_iter_num_next; if r0 == 0 goto out
        r2 = *(s32 *)(r0 + 0); r2 *= r2; r7 += r2; goto l
        out: {IT}; call kfunc bpf_iter_num_destroy; *(u64 *)(r9 + 0) = r7; r0 = r8"""


def bits(word: int, count: int = 1, source: str = "r2 = r9") -> str:
    """As numbers, of the bits of memory's first words."""
    return f"""
        r1 = 0x{word:x} ll; *(u64 *)(r9 + 0) = r1; {IT}; {source}; r3 = {count}; call kfunc bpf_iter_bits_new
        r8 = r0; r7 = 0
        l: {IT}; call kfunc bpf_iter_bits_next; if r0 == 0 goto out
        r2 = *(u32 *)(r0 + 0); r7 *= 3; r7 += r2; goto l
        out: {IT}; call kfunc bpf_iter_bits_destroy; *(u64 *)(r9 + 8) = r7; r0 = r8"""


def thrice(*found: int) -> int:
    total = 0
    for one in found:
        total = total * 3 + one
    return total


MAKE = "r1 = map_value[idx:0][0]; r2 = 64; r3 = {}; r4 = r10; r4 += -16; call 197; "
CLONED = "r1 = r10; r1 += -16; r2 = r10; r2 += -32; call kfunc bpf_dynptr_clone; "


def dynptr(rest: str, flags: int = 0) -> str:
    """With flags it is null."""
    return MAKE.format(flags) + rest


def called(name: str, *arguments: int, at: str = DYNPTR) -> str:
    rest = "; ".join(f"r{n} = {value}" for n, value in enumerate(arguments, 2))
    return f"{at}; {rest + '; ' if rest else ''}call kfunc bpf_dynptr_{name}"


SIZE = called("size")
LOW = "; r0 &= 1"  # of a bool no more is defined
BYTE = "r8 = r0; if r0 == 0 goto out; r8 = *(u8 *)(r0 + 0); out: r0 = r8"
SLICE = "r1 = r10; r1 += -16; r2 = {}; r3 = 0; r4 = 4; call kfunc bpf_dynptr_slice"

CASES: dict[str, Case] = {
    **{
        f"{name} {arguments}": Case(on(name, *arguments), result & M32, maps=(TEXTS,))
        for name, arguments, result in STRINGS
    },
    "numbers": Case(numbers(3, 9), 0, b"", 9 + 16 + 25 + 36 + 49 + 64),
    "no numbers": Case(numbers(5, 5), 0, b"", 0),
    "numbers below 0": Case(numbers(-3, 2), 0, b"", 9 + 4 + 1 + 0 + 1),
    "numbers backwards": Case(numbers(9, 3), EINVAL & M32, b"", 0),
    "too many numbers": Case(numbers(0, 1 << 24), E2BIG & M32, b"", 0),
    "numbers from the first": Case(numbers(-(1 << 31), -(1 << 31) + 2), 0, b"", ((1 << 62) + ((1 << 31) - 1) ** 2) & M64),
    "bits": Case(bits(0x8000_0000_0000_0105), 0),
    "bits of nothing": Case(bits(0), 0),
    "no words": Case(bits(1, 0), EINVAL & M32),
    "too many words": Case(bits(1, 512), E2BIG & M32),
    "bits of null": Case(bits(1, 1, "r2 = 0"), EINVAL & M32),
    "bits of what is not there": Case(bits(1, 1, f"r2 = 0x{M64 - 4095:x} ll"), EFAULT & M32),
    "bits of three words": Case(bits(3, 3), 0, bytes(8) + bytes((1,)) + bytes(14) + bytes((1,)) + bytes(8)),
    "size": Case(dynptr(SIZE), 64, maps=(VALUE,)),
    "adjust": Case(dynptr(called("adjust", 8, 40) + "; " + called("adjust", 1, 5) + "; r6 = r0; " + SIZE + "; r0 += r6"), 4, maps=(VALUE,)),
    "adjust backwards": Case(dynptr(called("adjust", 9, 8)), EINVAL & M32, maps=(VALUE,)),
    "adjust too far": Case(dynptr(called("adjust", 9, 65)), ERANGE & M32, maps=(VALUE,)),
    "adjust from too far": Case(dynptr(called("adjust", 65, 65)), ERANGE & M32, maps=(VALUE,)),
    "null": Case(dynptr(called("is_null") + LOW), 0, maps=(VALUE,)),
    "a null one": Case(dynptr(called("is_null") + LOW, 1), 1, maps=(VALUE,)),
    "size of a null one": Case(dynptr(SIZE, 1), EINVAL & M32, maps=(VALUE,)),
    "adjust a null one": Case(dynptr(called("adjust", 0, 0), 1), EINVAL & M32, maps=(VALUE,)),
    "clone of a null one": Case(dynptr(CLONED.rstrip("; "), 1), EINVAL & M32, maps=(VALUE,)),
    "read-only": Case(dynptr(called("is_rdonly") + LOW), 0, maps=(VALUE,)),
    "clone": Case(dynptr(CLONED + called("adjust", 8, 40) + "; " + called("size", at=OTHER)), 64, maps=(VALUE,)),
    "slice": Case(dynptr(called("adjust", 8, 40) + "; " + SLICE.format(3) + "; " + BYTE), 11, maps=(VALUE,)),
    "slice to its end": Case(dynptr(SLICE.format(60) + "; " + BYTE), 60, maps=(VALUE,)),
    "slice beyond its end": Case(dynptr(SLICE.format(61) + "; " + BYTE), 0, maps=(VALUE,)),
    "slice to write": Case(
        dynptr(SLICE.replace("slice", "slice_rdwr").format(8) + "; if r0 == 0 goto out; *(u16 *)(r0 + 1) = 0x7777; out: r1 = map_value[idx:0][0]; r0 = *(u8 *)(r1 + 10)"),
        0x77, maps=(VALUE,), here="Linux lets programs alone do so that may write to packets"),
    "memset": Case(dynptr(called("memset", 3, 5, 0x1AA) + "; r7 = r0; r1 = map_value[idx:0][0]; r0 = *(u64 *)(r1 + 1); r0 += r7"), None, maps=(VALUE,)),
    "memset too far": Case(dynptr(called("memset", 60, 5, 1)), E2BIG & M32, maps=(VALUE,)),
    "memset of a null one": Case(dynptr(called("memset", 0, 1, 1), 1), E2BIG & M32, maps=(VALUE,)),
    "memset of nothing in a null one": Case(dynptr(called("memset", 0, 0, 1), 1), 0, maps=(VALUE,)),
    "copy": Case(
        dynptr(CLONED + "r1 = r10; r1 += -16; r2 = 4; r3 = r10; r3 += -32; r4 = 32; r5 = 8; call kfunc bpf_dynptr_copy; r7 = r0; r1 = map_value[idx:0][0]; r0 = *(u64 *)(r1 + 4); r0 += r7"),
        None, maps=(VALUE,)),
    "copy onto itself": Case(
        dynptr(CLONED + "r1 = r10; r1 += -16; r2 = 4; r3 = r10; r3 += -32; r4 = 1; r5 = 48; call kfunc bpf_dynptr_copy; r7 = r0; r1 = map_value[idx:0][0]; r0 = *(u64 *)(r1 + 40); r0 += r7"),
        None, maps=(VALUE,)),
    "copy too much": Case(
        dynptr(CLONED + "r1 = r10; r1 += -16; r2 = 4; r3 = r10; r3 += -32; r4 = 60; r5 = 8; call kfunc bpf_dynptr_copy"),
        E2BIG & M32, maps=(VALUE,)),
    "sections": Case(
        "call kfunc bpf_rcu_read_lock; call kfunc bpf_preempt_disable; r6 = 5; call kfunc bpf_preempt_enable; call kfunc bpf_rcu_read_unlock; r0 = r6", 5),
    "interrupts": Case("r1 = r10; r1 += -8; call kfunc bpf_local_irq_save; r6 = 9; r1 = r10; r1 += -8; call kfunc bpf_local_irq_restore; r0 = r6", 9),
    "elements": Case(
        "*(u32 *)(r10 - 4) = 7; *(u64 *)(r10 - 16) = 1; r1 = map[idx:0]; r2 = r10; r2 += -4; r3 = r10; r3 += -16; r4 = 0; call 2; r1 = map[idx:0]; call kfunc bpf_map_sum_elem_count",
        1, maps=(HASH,)),
    "a string of the task": Case(
        "r1 = r9; r2 = 8; r3 = 0x7f000000 ll; r4 = 0; call kfunc bpf_copy_from_user_str", 4, b"\1" * 8, b"two\0\1\1\1\1",
        here=MACHINES, world={"user": {0x7F00_0000: b"two\0"}}),
    "a string of the task, filled up": Case(
        "r1 = r9; r2 = 8; r3 = 0x7f000000 ll; r4 = 1; call kfunc bpf_copy_from_user_str", 4, b"\1" * 8, b"two\0\0\0\0\0",
        here=MACHINES, world={"user": {0x7F00_0000: b"two\0"}}),
    "a string of the task, cut": Case(
        "r1 = r9; r2 = 3; r3 = 0x7f000000 ll; r4 = 0; call kfunc bpf_copy_from_user_str", 3, b"\1" * 8, b"tw\0\1",
        here=MACHINES, world={"user": {0x7F00_0000: b"two\0"}}),
    "no string of the task": Case("r1 = r9; r2 = 4; r3 = 0; r4 = 0; call kfunc bpf_copy_from_user_str", EFAULT & M32, b"\1" * 8),
    "no string of the task, filled up": Case(
        "r1 = r9; r2 = 4; r3 = 0; r4 = 1; call kfunc bpf_copy_from_user_str", EFAULT & M32, b"\1" * 8, bytes(4) + b"\1"),
    "a string of the task with odd flags": Case("r1 = r9; r2 = 4; r3 = 0; r4 = 2; call kfunc bpf_copy_from_user_str", EINVAL & M32),
    "throw": Case("r1 = 41; call kfunc bpf_throw; r0 = 1", 41, here=UNWINDS),
    "throw in a function": Case("r1 = 41; call f; r0 = 1; exit; f: r6 = 3; call kfunc bpf_throw; r0 = 2", 41, here=UNWINDS),
    "throw in a callback": Case(
        "r1 = 4; r2 = func[f]; r3 = 0; r4 = 0; call 181; r0 = 1; exit; f: r6 = 3; r1 += 40; call kfunc bpf_throw; r0 = 2", 40,
        here=UNWINDS),
    "a task": Case(
        "r1 = 7; call kfunc bpf_task_from_pid; if r0 == 0 goto out; r6 = r0; r7 = *(u32 *)(r6 + 16); r1 = r6; call kfunc bpf_task_release; r0 = r7; out: r0 = r0", 0x4D4D4D4D,
        here=MACHINES, world={"tasks": {7: TASK}, "kernel": {TASK + 16: bytes((77, 77, 77, 77)), TASK: b"t"}}),
    "no task": Case("r1 = 8; call kfunc bpf_task_from_pid; r6 = r0; if r0 == 0 goto out; r1 = r0; call kfunc bpf_task_release; out: r0 = r6", 0, here=MACHINES),
    "tasks": Case(
        f"{OTHER}; r2 = 0; r3 = 0; call kfunc bpf_iter_task_new; r7 = 0; l: {OTHER}; call kfunc bpf_iter_task_next; if r0 == 0 goto out; r0 = *(u8 *)(r0 + 0); r7 *= 100; r7 += r0; goto l; out: {OTHER}; call kfunc bpf_iter_task_destroy; r0 = r7",
        5_06, here=MACHINES, world={"tasks": {9: TASK + 8, 4: TASK}, "kernel": {TASK: bytes((5, 0, 0, 0, 0, 0, 0, 0, 6))}}),
    "tasks of a bad kind": Case(
        f"{OTHER}; r2 = 0; r3 = 7; call kfunc bpf_iter_task_new; r6 = r0; {OTHER}; call kfunc bpf_iter_task_next; r6 += r0; {OTHER}; call kfunc bpf_iter_task_destroy; r0 = r6", EINVAL & M32,
        here=RELEASED, world={"tasks": {4: TASK}}),
    "cgroups": Case(
        "r1 = 42; call kfunc bpf_cgroup_from_id; if r0 == 0 goto out; r6 = r0; r1 = r0; r2 = 0; call kfunc bpf_cgroup_ancestor; r7 = r0; r1 = r6; call kfunc bpf_cgroup_release; r6 = r7; if r7 == 0 goto none; r1 = r7; call kfunc bpf_cgroup_release; none: r0 = r6; out: r0 = r0",
        CGROUPS[1], here=MACHINES, world={"cgroup_objects": CGROUPS}),
    "a cgroup's task": Case(
        "call 158; r6 = r0; r1 = 1; call kfunc bpf_cgroup_from_id; if r0 == 0 goto out; r7 = r0; r1 = r6; r2 = r0; call kfunc bpf_task_under_cgroup; r6 = r0; r1 = r7; call kfunc bpf_cgroup_release; r0 = r6; out: r0 = r0",
        1, here=MACHINES, world={"cgroup_objects": CGROUPS}),
}  # fmt: skip
