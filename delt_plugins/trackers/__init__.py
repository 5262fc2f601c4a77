"""Who else is told how a run goes: trackers of experiments.

TensorBoard is the one so far, in a hundred lines to copy.
"""
