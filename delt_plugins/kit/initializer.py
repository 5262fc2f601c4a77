"""What the conformance kit asks of an initializer."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch

from delt_host import Initializer, InputError, Problem, RunError, Start
from delt_host.workshop import check_start


def results(initializer: Initializer, problem: Problem) -> dict[str, Any]:
    start = initializer.initialize(problem.seen_by(initializer), range(problem.num_classes))
    check_start(start, problem, problem.num_classes)
    return {"images": start.images, "labels": start.labels, "learning_rate": start.learning_rate}


def examine(initializer: Initializer, problem: Problem) -> None:
    """So many finite images of each class that is asked for, the same under the same seed, whichever others are asked for."""
    name, seen, every = type(initializer).__name__, problem.seen_by(initializer), range(problem.num_classes)
    first = initializer.initialize(seen, every)
    check_start(first, problem, len(every))
    again = initializer.initialize(seen, every)
    assert torch.equal(first.images, again.images), f"{name}: two runs under one seed differ; use problem.generator()"
    some = [every[-1], every[0]]
    given = list(some)
    alone = initializer.initialize(seen, given)
    assert given == some, f"{name}: changes the classes that it is asked for in place"
    check_start(alone, problem, len(some))
    wanted = torch.cat([first.images[problem.targets() == label] for label in some])
    assert torch.equal(alone.images, wanted), (
        f"{name}: asked for classes {some}, it gives other images than among all; go through the classes that are asked for "
        'in their order, and draw with problem.generator("what for", label)'
    )
    few = replace(seen, ipc=1)
    with suppress(InputError):  # what does not suit these options, in words for whoever chose them
        check_start(initializer.initialize(few, every), few, len(every))
    assert first.images.dtype == initializer.dtype, (
        f"{name}: gives images of {first.images.dtype} and says {initializer.dtype}, which dry runs count; write "
        f"dtype: ClassVar[torch.dtype] = {first.images.dtype}"
    )


def check_no_tests(initializer: Initializer, problem: Problem) -> None:
    """None of its images is a test image: they may be read elsewhere than in the problem."""
    start: Start = initializer.initialize(problem.seen_by(initializer), range(problem.num_classes))
    images = start.images if start.images.dtype == torch.uint8 else problem.normalization.denormalize(start.images)
    data = problem.data
    real, tests = (
        {bytes(each.flatten().numpy()) for each in split.read(torch.arange(len(split)))}
        for split in (data.train, data.test)
    )
    for place, image in enumerate(images):
        mine = bytes(image.flatten().contiguous().numpy())
        assert mine not in tests or mine in real, (
            f"{type(initializer).__name__}: image {place} of its start is a test image; test data choose nothing"
        )


def without_teacher(initializer: Initializer, problem: Problem) -> None:
    try:
        initializer.initialize(problem.seen_by(initializer), range(problem.num_classes))
    except RunError:  # it says that it asks a teacher
        return
