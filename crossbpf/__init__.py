r"""crossbpf runs one eBPF program on every CPU that matters, on whatever machine you have.

    import crossbpf
    program = crossbpf.assemble("r0 = *(u32 *)(r1 + 0); r0 += 5; exit")
    crossbpf.interpret(program, b"\x01\x02\x03\x04").r0
    crossbpf.compile(program, "arm64").code
    crossbpf.run(program, "s390x", b"\x01\x02\x03\x04").r0
    [row.verdict for row in crossbpf.compare(program, b"\x01\x02\x03\x04")]

The command line says the same with `crossbpf check`, `trace`, `conform`, `asm`, `disasm` and `jit`.
"""

from bpf.errors import CrossbpfError, Refused
from bpf.plan import PLANS
from bpf.program import Map, Program
from bpf.text import assemble, disassemble
from crossbpf.api import compare, compile, interpret, parse, run
from crossbpf.loading import load
from engines import ENGINES
from engines.compare import Row
from jit.image import Image
from jit.registry import TARGETS
from runtime import Caller, Loaded, Store
from vm.outcome import Fault, Outcome
from vm.world import Input, Limits, World

__version__ = "0.1.0"

__all__ = [
    "ENGINES",
    "PLANS",
    "TARGETS",
    "Caller",
    "CrossbpfError",
    "Fault",
    "Image",
    "Input",
    "Limits",
    "Loaded",
    "Map",
    "Outcome",
    "Program",
    "Refused",
    "Row",
    "Store",
    "World",
    "assemble",
    "compare",
    "compile",
    "disassemble",
    "interpret",
    "load",
    "parse",
    "run",
]
