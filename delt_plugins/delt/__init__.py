"""DELT (CVPR 2025): real images that the teacher ranks as starts, which join the optimisation early or late.

Its students' two protocols, by the paper and by the repository, and a recipe of ours for small networks.
"""
