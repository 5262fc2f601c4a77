"""The loops that train networks: teachers on real images, students on distilled ones.

How a teacher is trained comes from a squeezer, how a student from a protocol.
"""
