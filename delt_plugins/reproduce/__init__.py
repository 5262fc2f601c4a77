"""The DELT paper's tables and figures, measured cell by cell by the host's own pipeline and kept beside the published figures.

`table` reads a table's data file (tables/, or a path of one's own), `cell` makes of each cell a `Trial`, `forecast` foretells
and `measure` runs what is missing of it, and `records` keeps every seed. `show` prints them with what `agreement` says of
each, for the two commands, reproduce (`command`) and results (`results_command`).
"""
