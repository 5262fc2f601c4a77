"""Who is installed and what each provides: entry points found, hooks called, offers checked, clashes named.

What each kind of thing must be says `contracts/kinds.py`.
"""
