"""What people are shown: progress while a run lasts, and the table at its end.

In a terminal, in a log, or in a notebook; what is shown is told by those below.
"""
