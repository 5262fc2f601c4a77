"""A stage that is thrown away again: how sharp the images are that a row starts from. This file is all there is of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from delt_host import Passes
from delt_host.stages import story
from delt_host.stages.course import Course
from delt_host.stages.step import Step


def sharpness(course: Course) -> Iterator[Step]:
    starts = course["initialize"]

    def make(_checkpoint: Any) -> Any:
        return {}, {
            "sharpness": float(
                course.start(torch.arange(course.problem.num_units)).images.float().diff(dim=-1).abs().mean()
            )
        }

    cost = Passes(course.problem.teacher.architecture, "forward", 30.0)
    inputs = {"of": [step.key for step in starts]}
    yield course.step(
        "sharpness", inputs, make, needs=starts, total=1, unit="sets", cost=(cost,), like="sharpness", travels=True
    )


# A module that is loaded twice, as the file and as the plugin, adds it once.
if not any(stage.__name__ == "sharpness" for stage in story.STORY):
    place = story.STORY.index(story.initialize) + 1
    story.STORY = (*story.STORY[:place], sharpness, *story.STORY[place:])
