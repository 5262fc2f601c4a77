"""Where results are kept: files that are whole or absent, entries under keys, checkpoints, and the code that keys are made of.

To the store an entry is tensors and facts; what they mean is known above."""
