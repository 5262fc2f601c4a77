"""Small things that everything else stands on: errors, settings, units, seeds, the device.

They know nothing of distillation.
"""
