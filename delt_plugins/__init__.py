"""The methods that come with delt-host, each a plugin like any other's: found by entry points, never imported by the host."""
