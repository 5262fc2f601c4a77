"""Real images: folders that are walked, indexed, decoded and kept, digits, and published datasets in their own layouts.

`folder` and `digits` need no download; `files` and `walk` are what a layout of one's own is read with.
"""
