"""A run's folder: where it lies, and what is written into it.

Who reads a finished one is outside, but for `load`, which gives a notebook its images.
"""
