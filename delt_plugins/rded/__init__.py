"""RDED: crops of real images that the teacher is sure of, four to an image, and how its students are trained.

The crops are made by DELT's initializer `ranked`.
"""
