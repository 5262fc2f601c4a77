"""Batch matching: a few images a class moved until batches of them act on networks as batches of real images do.

What is matched tells the members apart: gradients (DC, DSA, DCC, IDC, DREAM), mean features (DM, IDM, DANCE), the features'
characteristic functions (NCFM), pairs of images (CIM); so does where the networks come from.
"""
