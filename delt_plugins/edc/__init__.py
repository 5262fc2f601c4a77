"""EDC: G-VBSM's committee over all images and class by class, on the patches of real images that the teacher is surest of.

Matcher and labels are G-VBSM's, the start is DELT's `ranked`; the protocol is its own.
"""
