"""How sets are stored beside plain pixels.

`mosaic` keeps four half-size images in the bytes of one.
"""
