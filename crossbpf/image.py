"""`crossbpf image`: machine code of a kernel's JIT, run in the emulator and compared. docs/image.md has the format."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import click
from rich.table import Table
from rich.text import Text

from bpf.errors import BadInput, BadProgram, CrossbpfError, Refused
from bpf.isa import Kind
from bpf.order import Order
from bpf.plan import DEFAULT_PLAN, PAGE, Region, Unit
from bpf.program import Map, Program, program
from bpf.spec.conventions import PACKET, PLAIN
from crossbpf.inputs import memory_bytes, read_bytes, read_source
from crossbpf.options import hexadecimal, wide_console
from emu.foreign import ARRAY, HASH, Code, KernelMap, run_foreign
from engines import engine
from jit.registry import target as find_target
from jit.target import Target
from vm.memory import Cell
from vm.outcome import Outcome
from vm.world import Input, Limits, World

Verdict = Literal["agrees", "differs", "undecided"]
_STYLES = {"agrees": "green", "differs": "bold red", "undecided": "yellow"}
M32, M64 = (1 << 32) - 1, (1 << 64) - 1
ETHERNET = 14
_PULLED = {1: ETHERNET, 8: ETHERNET, 10: ETHERNET, 11: ETHERNET, 12: ETHERNET, 3: 0, 4: 0}
"""Program types whose context is an skb -> bytes of the packet that lie before skb->data: the Ethernet header is pulled
for socket filters, cgroup_skb and lwt_in/out/xmit, and pushed back for sched_cls and sched_act (net/bpf/test_run.c)."""
_SK_BUFF = 192  # bytes of struct __sk_buff, the context that a program sees; len comes first
_SEQUENCE = (0x61, 0x10)  # r0 = *(u32 *)(r1 + ...): opcode and, in little-endian wire form, the registers


@dataclass(frozen=True)
class Image:
    """Machine code with everything that is known of it. See docs/image.md."""

    name: str
    code: Code
    program: Program | None = None
    memory: bytes = b""
    result: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an image. interpreter: None where it did not run, `reason` says why."""

    image: Image
    outcome: Outcome
    interpreter: Outcome | None
    verdict: Verdict
    reason: str = ""


class Fields:
    """The fields of a JSON object, each asked for by kind. Raises BadInput with the field's name."""

    def __init__(self, values: Any, file: str, place: str) -> None:
        self.file, self.place = file, place
        if not isinstance(values, dict):
            raise self.wrong("is not a JSON object")
        self._values: dict[str, Any] = values

    def wrong(self, what: str, remedy: str = "") -> BadInput:
        """The error to raise."""
        return BadInput(what, file=self.file, place=self.place, remedy=remedy or "docs/image.md has the format")

    def get(self, name: str, kind: type, default: Any = None) -> Any:
        """A field, or the default where it is missing or null."""
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.wrong(f"{name!r} is not {'a list' if kind is list else f'of type {kind.__name__}'}")
        return value

    def number(self, name: str) -> int | None:
        """An unsigned 64-bit number: a JSON number, or a string such as "0xffff"."""
        value = self._values.get(name)
        try:
            found = int(value, 0) if isinstance(value, str) else value
        except ValueError:
            found = -1
        if found is not None and (not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= M64):
            raise self.wrong(f"{name!r} is not an unsigned 64-bit number")
        return found

    def target(self) -> Target | None:
        """The machine that "arch" names."""
        name = self.get("arch", str)
        try:
            return find_target(name) if name is not None else None
        except BadInput as error:
            raise error.at(file=self.file, place=self.place) from None

    def bytes(self, name: str) -> bytes:
        """A field of hex digits; nothing where it is missing."""
        try:
            return bytes.fromhex(self.get(name, str, ""))
        except ValueError:
            raise self.wrong(f"{name!r} is not hex bytes") from None


def read_json(data: bytes, file: str) -> Any:
    """JSON, compressed by gzip or not. Raises BadInput."""
    try:
        return json.loads(gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data)
    except (OSError, EOFError, zlib.error):
        raise BadInput("is broken gzip data", file=file) from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"is no JSON: {error}", file=file) from None


def read_symbols(file: str) -> dict[str, dict[int, str]]:
    """Symbol tables by name, "" for one without.

    The file is JSON, {address: name} or {table: {address: name}}, or what /proc/kallsyms says. Raises BadInput.
    """
    data = read_bytes(file)
    if not data.startswith((b"\x1f\x8b", b"{")):
        lines = (line.split() for line in data.decode("utf-8", "replace").splitlines())
        tables: Any = {"": {f"0x{words[0]}": words[2] for words in lines if len(words) >= 3}}
    else:
        tables = read_json(data, file)
        if isinstance(tables, dict) and not any(isinstance(value, dict) for value in tables.values()):
            tables = {"": tables}
    try:
        return {key: {int(address, 0): str(name) for address, name in table.items()} for key, table in tables.items()}
    except (ValueError, AttributeError):
        raise BadInput("is no table of symbols", file=file, remedy="docs/image.md has the format") from None


def skb_len_offset(prog: bytes, xlated: bytes, order: Order) -> int | None:
    """Where struct sk_buff has its len, by a program that begins with a read of __sk_buff.len and its translation."""
    opcode, registers = _SEQUENCE
    swapped = registers >> 4 | (registers & 15) << 4
    own = registers if order == "little" else swapped
    if prog[:8] != bytes((opcode, registers, 0, 0, 0, 0, 0, 0)) or xlated[:2] != bytes((opcode, own)):
        return None
    return int.from_bytes(xlated[2:4], order)


def _map(fields: Fields) -> KernelMap | None:
    """The field "maps": type,key size,value size,entries,flags,initial value:slot; "" for none."""
    text = fields.get("maps", str, "")
    if not text:
        return None
    parts = re.fullmatch(r"(\d+),(\d+),(\d+),(\d+),\d+,((?:[0-9a-fA-F]{2})*)(?::\d+)?", text)
    if parts is None or any(len(part) > 9 for part in parts.groups()[:4]):
        raise fields.wrong("'maps' is not type,key,value,entries,flags,initial:slot")
    kind, key, value, entries = (int(part) for part in parts.groups()[:4])
    initial = bytes.fromhex(parts[5])
    if key > 512 or len(initial) > max(value, 1) or len(initial) > PAGE // 2:
        raise fields.wrong("'maps' has a key or an initial value that is too long")
    return KernelMap(kind, key, value, entries, initial)


def _pieces(fields: Fields) -> tuple[tuple[int, bytes], ...]:
    """Address and bytes of each function."""
    code = fields.bytes("jited")
    functions = fields.get("funcs", list)
    if not code:
        raise fields.wrong("has no 'jited', the machine code in hex")
    if functions is None:
        address = fields.number("address")
        return ((DEFAULT_ADDRESS if address is None else address, code),)
    pieces, at = [], 0
    for function in functions:
        entry = Fields(function, fields.file, fields.place)
        address, size = entry.number("addr"), entry.number("len")
        if address is None or not size:
            raise fields.wrong("'funcs' has an entry without addr or len")
        pieces.append((address, code[at : at + size]))
        at += size
    if at != len(code) or not pieces:
        raise fields.wrong(f"the lengths of 'funcs' make {at} bytes, 'jited' has {len(code)}")
    return tuple(pieces)


DEFAULT_ADDRESS = 0xFFFF_FFFF_C000_0000
"""Where raw bytes are placed when nothing says where they belong."""


def _context(
    fields: Fields, machine: Target, data: bytes, prog: bytes, skb_len: int | None
) -> tuple[list[Cell], bytes, bytes, int]:
    """Memory cells, the packet, what the interpreter gets as memory, the address of the context."""
    kind = fields.number("prog_type") or 0
    if kind not in _PULLED:
        if not data:
            return [], b"", b"", 0
        region = Region("memory", DEFAULT_PLAN.memory, len(data))
        return [Cell(region, data.ljust(region.mapped, b"\0"))], b"", data, region.start
    offset = fields.number("skb_len")
    if offset is None:
        offset = skb_len_offset(prog, fields.bytes("xlated"), machine.order)
    if offset is None:
        offset = skb_len
    length = max(len(data) - _PULLED[kind], 0).to_bytes(4, machine.order)
    cells = []
    if offset is not None:  # else a read of the skb is a fault that says so
        if offset > PAGE - 4:
            raise fields.wrong("'skb_len' is no offset in struct sk_buff")
        region = Region("context", DEFAULT_PLAN.context, PAGE)
        cells.append(Cell(region, (bytes(offset) + length).ljust(PAGE, b"\0")))
    return cells, data, length.ljust(_SK_BUFF, b"\0"), DEFAULT_PLAN.context


def _memory(fields: Fields) -> list[Cell]:
    """The field "memory": more of the kernel's memory, each entry {address, bytes}."""
    cells = []
    for number, value in enumerate(fields.get("memory", list, [])):
        entry = Fields(value, fields.file, fields.place)
        address, data = entry.number("address"), entry.bytes("bytes")
        if not address or not data or address + len(data) > 1 << 64:
            raise fields.wrong("'memory' has an entry without address or bytes")
        region = Region(f"memory {number}", address, len(data))
        content = (bytes(region.start - region.first_page) + data).ljust(region.mapped, b"\0")
        cells.append(Cell(region, content))
    return cells


def _program(prog: bytes, kept: KernelMap | None, name: str, order: Order) -> tuple[Program | None, str]:
    """The program for the interpreter, or why there is none."""
    maps = []
    if kept is not None and kept.kind == ARRAY and kept.entries == 1:
        maps = [Map("map", value_size=kept.value_size, initial=kept.initial.ljust(kept.value_size, b"\0"))]
    elif kept is not None and kept.kind in (ARRAY, HASH):
        kind = "array" if kept.kind == ARRAY else "hash"
        maps = [Map("map", kind, kept.key_size, kept.value_size, kept.entries)]
    try:
        return program(prog, name=name, maps=maps).in_order(order), ""
    except BadProgram as error:
        return None, str(error)


def image_of(
    values: Any, *, file: str, place: str, machine: Target | None, symbols: Mapping[str, Mapping[int, str]],
    bpf: Program | None = None, memory: bytes | None = None, skb_len: int | None = None,
) -> Image:  # fmt: skip
    """The image that a record describes. Raises BadInput."""
    fields = Fields(values, file, place)
    arch = fields.get("arch", str)
    machine = machine or fields.target()
    if machine is None:
        raise fields.wrong("has no 'arch'", "say --target NAME")
    variant = fields.get("variant", str, "")
    name = " ".join(part for part in (arch or machine.name, variant, fields.get("name", str, "")) if part)
    try:
        known = {int(address, 0): str(symbol) for address, symbol in fields.get("symbols", dict, {}).items()}
    except ValueError:
        raise fields.wrong("'symbols' is not {address: name}") from None
    table = symbols.get(f"{arch} {variant}".strip(), symbols.get("", {}))
    prog, kept = fields.bytes("prog"), _map(fields)
    cells, packet, seen, context = _context(
        fields, machine, fields.bytes("data") if memory is None else memory, prog, skb_len
    )
    length = len(seen) if cells and cells[0].region.name == "memory" else 0
    code = Code(
        machine, _pieces(fields), {**table, **known}, (context, length), (*cells, *_memory(fields)), packet, kept,
        _PULLED.get(fields.number("prog_type") or 0, 0),
    )  # fmt: skip
    found, note = bpf.in_order(machine.order) if bpf else None, ""
    if found is None and prog:
        found, note = _program(prog, kept, name, machine.order)
    return Image(name, code, found, seen, fields.number("result"), note)


def read_images(
    file: str, *, machine: Target | None, symbols: str | None, bpf: Program | None, memory: bytes | None,
    address: int | None, only: str | None,
) -> list[Image]:  # fmt: skip
    """The images in a file: raw bytes, a record, or a list of records. Raises BadInput."""
    data = read_bytes(file)
    tables = read_symbols(symbols) if symbols is not None else {}
    if not data.startswith((b"\x1f\x8b", b"{", b"[")):
        if machine is None:
            raise BadInput("raw machine code does not say its machine", file=file, remedy="say --target NAME")
        raw = {"jited": data.hex(), "address": DEFAULT_ADDRESS if address is None else address}
        return [image_of(raw, file=file, place="", machine=machine, symbols=tables, bpf=bpf, memory=memory)]
    values = read_json(data, file)
    listed = isinstance(values, list)
    records = [(f"record {at}" if listed else "", value) for at, value in enumerate(values if listed else [values])]
    lengths = _lengths([Fields(value, file, place) for place, value in records])
    images = []
    for place, value in records:
        fields = Fields(value, file, place)
        if listed and machine is not None and fields.target() not in (machine, None):
            continue
        if only is not None and only not in (fields.get("name", str), fields.get("variant", str)):
            continue
        images.append(
            image_of(
                value, file=file, place=place, machine=machine, symbols=tables, bpf=bpf, memory=memory,
                skb_len=lengths.get((fields.get("arch", str), fields.get("variant", str))),
            )
        )  # fmt: skip
    if not images:
        raise BadInput("holds no such record", file=file)
    return images


def _lengths(records: Sequence[Fields]) -> dict[tuple[str | None, str | None], int]:
    """(arch, variant) -> where its skb has its len, by the records that show it."""
    found = {}
    for fields in records:
        key, machine = (fields.get("arch", str), fields.get("variant", str)), fields.target()
        if machine is not None and key not in found:
            offset = skb_len_offset(fields.bytes("prog"), fields.bytes("xlated"), machine.order)
            if offset is not None:
                found[key] = offset
    return found


def judge(image: Image, limits: Limits) -> Report:
    """Run an image and its program, and compare. The kernel looks at 32 bits of R0, and so does this."""
    outcome = run_foreign(image.code, World(), limits)
    interpreter, note = None, image.note
    if image.program is not None:
        try:
            loads = any(insn is not None and insn.row.kind is Kind.PACKET for insn in image.program.insns)
            prepared = engine("interpreter").prepare(Unit((image.program,), convention=PACKET if loads else PLAIN))
            given = Input(image.memory, packet=image.code.packet, network=image.code.network)
            kept = image.code.map
            first = [(0, kept.initial.ljust(kept.value_size, b"\0"))] if kept is not None else []
            interpreter = prepared.run(given, World(elements={"map": first}), limits)
        except Refused as error:
            note = str(error)
    verdict, reason = _compare(image, outcome, interpreter, note)
    return Report(image, outcome, interpreter, verdict, reason)


def _compare(image: Image, outcome: Outcome, expected: Outcome | None, note: str) -> tuple[Verdict, str]:
    limited = expected is not None and expected.status in ("limit", "unspecified")
    if outcome.status == "limit" or limited:
        return "undecided", "the run hit its limit"
    if outcome.fault is not None and outcome.fault.kind == "trap":
        return "undecided", f"{outcome.fault}: a wrong instruction, or one that the emulator does not know"
    if outcome.status != "done":
        both = expected is not None and expected.status == "fault"
        return ("agrees" if both else "differs"), outcome.summary()
    r0 = outcome.r0 & M32
    if image.result is not None and r0 != image.result & M32:
        return "differs", f"R0 is 0x{r0:x}, recorded was 0x{image.result & M32:x}"
    if expected is not None:
        if expected.status != "done":
            return "differs", f"R0 is 0x{r0:x}, the interpreter ends with {expected.summary()}"
        if expected.r0 & M32 != r0:
            return "differs", f"R0 is 0x{r0:x}, the interpreter has 0x{expected.r0 & M32:x}"
        mine, theirs = (dict(one.regions or {}).get("memory") for one in (outcome, expected))
        if image.code.arguments[1] and mine != theirs:
            at = next(at for at, pair in enumerate(zip(mine or b"", theirs or b"", strict=False)) if pair[0] != pair[1])
            return "differs", f"memory byte {at} is not what the interpreter has there"
        return "agrees", ""
    if image.result is None:
        return "undecided", f"nothing to compare with{': ' + note if note else ''}"
    return "agrees", f"not compared with the interpreter: {note}" if note else ""


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--target", metavar="NAME", help="The machine that the code is for. Records say it themselves.")
@click.option("--bpf", metavar="FILE", help="The BPF program that was compiled, as for check.")
@click.option("--mem", metavar="FILE|HEX", help="Packet or memory: a file, or hex bytes.")
@click.option("--symbols", metavar="FILE", help="Addresses of the kernel's functions: /proc/kallsyms, or JSON.")
@click.option("--address", metavar="HEX", help="Where raw code belongs.")
@click.option("--only", metavar="NAME", help="Of a list of records, those with this name or variant.")
@click.option("--seconds", default=5.0, show_default=True, help="Time limit of a run.")
@click.option("-v", "--verbose", is_flag=True, help="Of a list of records, show those that agree too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON record an image.")
def image(
    file: str, target: str | None, bpf: str | None, mem: str | None, symbols: str | None, address: str | None,
    only: str | None, seconds: float, verbose: bool, as_json: bool,
) -> int:  # fmt: skip
    """Run machine code that a kernel's JIT made, in the emulator, and compare.

    FILE is raw machine code or a JSON record (docs/image.md), or a list of records; .gz is read too. The code runs at
    its own address under the kernel's calling convention. Its R0 is compared, in 32 bits, with the interpreter running
    the BPF program and with the recorded result.

    Exit code: 0 all agree, 1 a difference, 2 unreadable or undecided.
    """
    machine = find_target(target) if target is not None else None
    where = _address(address)
    memory = memory_bytes(mem) if mem is not None else None
    given = read_source(bpf).any_order() if bpf is not None else None
    images = read_images(file, machine=machine, symbols=symbols, bpf=given, memory=memory, address=where, only=only)
    reports = [_judged(one, Limits(seconds=seconds), file) for one in images]
    if as_json:
        for report in reports:
            click.echo(json.dumps(record(report)))
    else:
        _show(reports, everything=verbose or len(reports) == 1)
    verdicts = {report.verdict for report in reports}
    return 1 if "differs" in verdicts else 2 if "undecided" in verdicts else 0


def _address(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{1,16}", text):
        raise BadInput(f"{text!r} is not a 64-bit address in hex", file="--address")
    return int(text, 16)


def _judged(one: Image, limits: Limits, file: str) -> Report:
    try:
        return judge(one, limits)
    except CrossbpfError as error:
        raise error.at(file=file, place=one.name) from None


def _show(reports: Sequence[Report], *, everything: bool) -> None:
    console = wide_console()
    table = Table(box=None, pad_edge=False)
    for name in ("image", "R0", "interpreter", "recorded", "verdict"):
        table.add_column(name, no_wrap=True)
    for report in reports:
        if everything or report.verdict != "agrees":
            words = report.verdict + (f": {report.reason}" if report.reason else "")
            cells = (report.image.name, report.outcome, report.interpreter, report.image.result)
            table.add_row(*_cells(*cells), Text(words, _STYLES[report.verdict]))
    if table.row_count:
        console.print(table)
    if len(reports) > 1:
        counts = Counter(report.verdict for report in reports)
        console.print(f"{len(reports)} images: {', '.join(f'{count} {verdict}' for verdict, count in counts.items())}")


def _cells(name: str, outcome: Outcome, expected: Outcome | None, result: int | None) -> tuple[str, str, str, str]:
    def short(one: Outcome | None) -> str:
        return "" if one is None else f"0x{one.r0 & M32:x}" if one.status == "done" else one.status

    return name, short(outcome), short(expected), "" if result is None else f"0x{result & M32:x}"


def record(report: Report) -> dict[str, Any]:
    """A report as JSON shows it."""
    outcome, expected = report.outcome, report.interpreter
    return {
        "image": report.image.name,
        "target": report.image.code.target.name,
        "verdict": report.verdict,
        "reason": report.reason,
        "status": outcome.status,
        "r0": hexadecimal(outcome.r0),
        "fault": str(outcome.fault) if outcome.fault else None,
        "calls": [call.helper for call in outcome.calls or ()],
        "interpreter": hexadecimal(expected.r0) if expected is not None and expected.status == "done" else None,
        "recorded": report.image.result,
    }
