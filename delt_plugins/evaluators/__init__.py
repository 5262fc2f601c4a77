"""How sets are scored beside a student's accuracy: other networks, robustness, privacy, pruning, cost.

A file an evaluator, each an entry point, so that one that cannot be imported costs no other.
"""
