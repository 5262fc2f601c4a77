"""Where matchers get a network for each iteration: drawn anew, from a pool that is trained meanwhile, or between two.

The host's own is the teacher as it stands.
"""
