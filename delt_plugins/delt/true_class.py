"""How sure the teacher is of real images, by which DELT ranks them."""

from __future__ import annotations

import torch
from torch import Tensor

from delt_host import Checkpoint, Passes, Prepared, Problem
from delt_host.toolbox import Zoomed, ahead

BATCH = 500


def true_class_scores(problem: Problem, zoom: bool = False) -> Prepared:
    """The first teacher's softmax score of the true class for every training image: `scores` (N_train,) float32, in 0..1.

    Whole images, or with `zoom` the centres of enlarged ones; eval mode, the teacher's own normalisation (DELT, section 3.1,
    ranking score).
    """
    train = Zoomed(problem.data.train) if zoom else problem.data.train

    def score(checkpoint: Checkpoint) -> dict[str, Tensor]:
        scores, done = torch.empty(len(train)), 0
        if found := checkpoint.load():
            done = len(found[0]["scores"])
            scores[:done] = found[0]["scores"]
            problem.advance(done)
        left = torch.arange(done, len(train)).split(BATCH) if done < len(train) else ()  # an empty one would be a batch
        for indices, images in zip(left, ahead(map(train.read, left)), strict=True):
            probabilities = problem.teacher_logits(problem.normalization.normalize(images)).softmax(dim=1).cpu()
            scores[indices] = probabilities.gather(1, train.targets[indices, None])[:, 0]
            problem.advance(len(indices))
            if checkpoint.due:
                checkpoint.save({"scores": scores[: int(indices[-1]) + 1]}, {})
        return {"scores": scores}

    cost = Passes(problem.teacher.architecture, "forward", len(train), min(len(train), BATCH))
    return Prepared("true-class-scores", score, (cost,), {"zoom": zoom}, size_bytes=lambda: 4 * len(train))
