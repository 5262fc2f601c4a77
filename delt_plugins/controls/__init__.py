"""Random real images: what every method has to be better than.

They are rows of every table unless switched off.
"""
