"""Sets of finished runs, scored anew: ``delt-host evaluate``, and the reader of the sets that a run's folder has.

Nothing is distilled here; what is written is an evaluation's own folder beside the run's results.
"""
