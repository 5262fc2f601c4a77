"""The DELT paper's tables and figures as data files, run cell by cell by the host's own pipeline."""
