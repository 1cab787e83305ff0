"""Rebuild the objects beside the examples: NAME.bpfel.o and NAME.bpfeb.o of every NAME.c here and in programs/.

python examples/build.py [--cc COMPILER] [NAME ...]
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from bpf.errors import CrossbpfError  # noqa: E402
from crossbpf import cc  # noqa: E402

SUFFIX = {"little": ".bpfel.o", "big": ".bpfeb.o"}
FLAGS = ("-Wall", "-Wextra", "-Werror", f"-ffile-prefix-map={ROOT}{os.sep}=")


def build(source: Path, compiler: str | None = None) -> list[Path]:
    """Compile one example for both byte orders and return the objects' paths. Raises CrossbpfError."""
    built = []
    for order, suffix in SUFFIX.items():
        target = source.with_suffix(suffix)
        target.write_bytes(cc.compile_c(source.relative_to(ROOT), order, cc=compiler, cflags=FLAGS))
        built.append(target)
    return built


def main() -> int:
    """Build the named examples, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cc", help="the compiler to use")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    os.chdir(ROOT)  # so that the objects name their sources relative to it
    sources = sorted(HERE.rglob("*.c"))
    if unknown := set(arguments.names) - {source.stem for source in sources}:
        parser.error(f"no example named {', '.join(sorted(unknown))}")
    if arguments.names:
        sources = [source for source in sources if source.stem in arguments.names]
    for source in sources:
        try:
            for target in build(source, arguments.cc):
                print(f"{target.relative_to(ROOT)}: {target.stat().st_size} bytes")
        except CrossbpfError as error:
            print(error, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
