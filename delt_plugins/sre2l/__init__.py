"""SRe2L and CDA: Gaussian noise, the constant schedule, BatchNorm matching, and how their students are trained.

DELT, G-VBSM and EDC are made of these parts, too.
"""
