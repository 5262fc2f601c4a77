"""What a run goes through: one list of steps, which the run does, a dry run lists, the time left counts and engines spread.

`story.py` has the list in order; `step.py` says what a step is, `course.py` what one row goes through under one seed.
"""
