"""What students are told: a teacher's labels for every view, in full or in less room, one label an image, or the class.

Three regimes are made of them.
"""
