"""EDC: G-VBSM's committee over all images and class by class, on real images, of ImageNet on RDED's.

Matcher and labels are G-VBSM's, RDED's images DELT's `ranked`; the protocol is its own.
"""
