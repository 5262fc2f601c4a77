"""From words to an experiment: what was asked for, on the command line or in a recipe, with every option resolved.

`request` is what was said, `parts` makes every component, `resolve` puts them together; nothing is computed here.
"""
