"""How teachers are trained: the ordinary way, and towards flat minima (SAM).

The loop around it, checks and storage are the host's.
"""
