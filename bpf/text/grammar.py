"""The grammar of assembly text: which shape of line is which row of the table.

A line is reduced to a skeleton: its tokens, with `r` and `w` for registers, `#` for numbers and `@` for symbols in
place of the operands. A dictionary of skeletons gives the `Form`: the row, and the field that each operand fills. So
reading a line costs the same whatever instruction it is, and the templates of bpf/text/spellings.py are all there is to
know about syntax.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import ascii_letters

from bpf.isa import ROWS, Row, make
from bpf.isa.opcodes import REGISTERS
from bpf.text.spellings import mnemonics, texts

# What an operand fills. DST to IMM are the fields of Insn in order; LO and HI are the halves of the immediate, TARGET
# and LABEL are a distance; SAME_DST and SAME_SRC repeat a register (`r1 = -r1`, `r2 = xchg_64(r1 + 0, r2)`); ZERO is R0
# (`r0 = cmpxchg_64(r1 + 0, r0, r2)`).
DST, SRC, OFF, IMM, LO, HI, TARGET, LABEL, SAME_DST, SAME_SRC, ZERO = range(11)
_PLACES = {"dst": DST, "src": SRC, "off": OFF, "imm": IMM, "negative": IMM, "lo": LO, "hi": HI, "target": TARGET,
           "label": LABEL}  # fmt: skip

# No alternative can fail after reading far ahead more than once, so a line of any kind takes linear time.
_TOKEN = re.compile(
    r"""%?[rw]\d+(?![\w.$])                                     # register
      | (?:[-+][ \t]*)?(?:0[xX][0-9a-fA-F]+|\d+)(?![\w.$])      # number with its sign
      | s?(?:[<>]{1,2}=?|[/%]=)                                 # operators that have a signed twin
      | [\w.$]+                                                 # word
      | [-+*&|^=!]=
      | \S""",
    re.VERBOSE | re.ASCII,
)
_REGISTER = re.compile(r"%?([rw])\d+", re.ASCII)
_NUMBER = re.compile(r"(?:[-+][ \t]*)?(?:0[xX][0-9a-fA-F]+|\d+)", re.ASCII)
_OPERAND = re.compile(r"\{(\w+)\}|\b[rw]0\b")
_WORD_STARTS = frozenset(ascii_letters + "_.$")


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a row.

    template  the text, with placeholders
    places    what each operand fills, in the order of the text
    base      (dst, src, off, imm) with the row's selecting field filled in
    wraps     whether an immediate of 2**31 to 2**32 - 1 is the 32-bit field written as an unsigned number
    written   the field of the register that is written and so may not be R10: DST, SRC, or -1
    """

    row: Row
    template: str
    places: tuple[int, ...]
    base: tuple[int, int, int, int]
    wraps: bool
    written: int

    @property
    def sample(self) -> str:
        """The form with operands filled in, for messages."""
        return self.template.format(dst=1, src=2, off="+ 8", imm=5, negative=-5, lo=5, hi=0, target="+3", label="label")


def _form(row: Row, template: str, wraps: bool) -> Form:
    places: list[int] = []
    for match in _OPERAND.finditer(template):
        place = _PLACES[match[1]] if match[1] else ZERO
        places.append(SAME_DST + place if place <= SRC and place in places else place)
    insn = make(row)
    written = DST if row.writes_dst else SRC if row.writes_src else -1
    return Form(row, template, tuple(places), (insn.dst, insn.src, insn.off, insn.imm), wraps, written)


def _placeholder(token: str) -> str:
    """What stands for an operand token in a skeleton; `?`, which is in no skeleton of the grammar, for a stray sign."""
    if register := _REGISTER.fullmatch(token):
        return register[1]
    if _NUMBER.fullmatch(token):
        return "#"
    return "@" if token[0] in _WORD_STARTS else "?"


def _template_skeleton(template: str) -> str:
    text = template.format(dst=1, src=1, off="+ 1", imm=1, negative=-1, lo=1, hi=1, target="+1", label="@")
    tokens = _TOKEN.findall(text)
    return " ".join(place if (place := _placeholder(token)) in ("r", "w", "#") else token for token in tokens)


def _forms() -> dict[str, Form]:
    forms: dict[str, Form] = {}
    for row in ROWS:
        # An operation of at most 32 bits loses nothing when its immediate is written as an unsigned number, and some
        # tools print it so. The conformance suite writes the field of the encoding, so there it is always allowed.
        narrow = row.width <= 32
        for template, wraps in [*((t, narrow) for t in texts(row)), *((t, True) for t in mnemonics(row))]:
            form = forms.setdefault(_template_skeleton(template), _form(row, template, wraps))
            assert form.row is row, (template, form.template)
    return forms


FORMS: dict[str, Form] = _forms()
REGISTER = {f"{prefix}{n}": n for prefix in ("r", "w", "%r", "%w") for n in range(REGISTERS)}
# Token -> what stands for it in a skeleton. Words and signs of the grammar stand for themselves.
_SKELETON = {token: token for key in FORMS for token in key.split() if token not in ("r", "w", "#", "@")}
WORDS = sorted(word for word in _SKELETON if word[0] in _WORD_STARTS)
_SKELETON.update({name: name.lstrip("%")[0] for name in REGISTER})


def reduce(text: str) -> tuple[str, list[str]]:
    """The skeleton of a line, and its operands in order."""
    skeleton: list[str] = []
    operands: list[str] = []
    known = _SKELETON.get
    for token in _TOKEN.findall(text):
        place = known(token) or _placeholder(token)
        if place != token:
            operands.append(token)
        skeleton.append(place)
    return " ".join(skeleton), operands


def find(text: str) -> tuple[Form | None, list[str]]:
    """The form of a line and its operands. A label at the end may be any word, one of the grammar (`exit`) too."""
    key, operands = reduce(text)
    form = FORMS.get(key)
    if form is None:
        head, _, last = key.rpartition(" ")
        if last in _SKELETON and last[0] in _WORD_STARTS:
            form = FORMS.get(f"{head} @")
            operands.append(last)
    return form, operands
