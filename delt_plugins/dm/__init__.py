"""Distribution matching, and how the students of dataset condensation are trained, with Siamese augmentation (DSA).

The augmentation itself is the host's, as recovery and students share it.
"""
