"""Teachers as files: squeezed by themselves for other machines, or made of checkpoints that others published.

`checkpoint` reads what others wrote without trusting it, in a process of its own.
"""
