"""Around a run, not in it: what is installed, what a store and past runs hold, what this machine is, a new plugin's package.

A file a command.
"""
