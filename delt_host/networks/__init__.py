"""Networks by name, of plugins, torchvision and timm, and optimizers by name.

Papers' own networks come from plugins.
"""
