"""The functions that a notebook calls, and that the commands are shells around.

Nothing of the caller's process is changed by them.
"""
