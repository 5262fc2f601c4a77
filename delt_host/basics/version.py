"""Which delt-host this is, where it finds its plugins, and words that are known before anything is imported."""

VERSION = "0.1.0"
"""Of the distribution delt-host."""
GROUP = "delt_host"
"""The group of entry points that plugins are named in."""
NO_AUTOLOAD = "DELT_HOST_DISABLE_PLUGIN_AUTOLOAD"
"""The variable that keeps plugins from being loaded unless they are named."""
NOT = "no:"
"""Before the name of a plugin that is not to be loaded."""
STAGES = ("initializer", "scheduler", "matcher", "relabeler", "evaluator")
"""The components of a row, in the order in which it goes through them."""
