"""Run every benchmark and print its tables: python -m bench.run [--json] [--quick]."""

from __future__ import annotations

import sys

from bench import check, compile, fuzzing, interpret, jit_vs_interpreter, load, maps, packets, share, suite, verify
from bench.measure import main

BENCHES = (
    compile.tables,
    interpret.tables,
    jit_vs_interpreter.tables,
    packets.tables,
    maps.tables,
    load.tables,
    check.tables,
    suite.evaluations,
    suite.kills,
    fuzzing.tables,
    verify.tables,
    share.tables,
)

if __name__ == "__main__":
    sys.exit(main(BENCHES, __doc__))
