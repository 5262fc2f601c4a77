"""What a plugin is written against: the kinds of components, and the values that flow between them.

A name of here that is public is imported from `delt_host`."""
