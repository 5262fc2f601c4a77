"""G-VBSM: a committee of teachers in turn, the statistics of its convolutions and patches, and its mean logits as labels.

EDC has all of these, too.
"""
