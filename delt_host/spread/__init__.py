"""Pieces of a run done elsewhere than in it: what they are, who does them, and processes side by side on one machine.

`task.py` says what is to be done, as JSON; `worker.py` does it, in whatever process an engine of a plugin starts.
`workers.py` is ``--workers N``: `board.py` tells which piece is next, `crew.py` has the processes, `process.py` and
`answers.py` are what each of them runs. All of them only fill the store.
"""
