"""Benchmarks: `python -m bench.run`, or one of them by itself: `python -m bench.compile`.

Speed is shown here and asserted nowhere: times depend on the machine, so every figure worth comparing is a ratio of
two that were measured side by side in one run.
"""
