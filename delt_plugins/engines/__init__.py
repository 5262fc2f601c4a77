"""Ray and Slurm: independent pieces of a run, done on other machines.

An engine only fills the store; the host says what the pieces are, `parcel` how data and teachers travel.
"""
