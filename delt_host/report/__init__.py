"""How results are shown and kept: the terminal's table, the run folder."""
