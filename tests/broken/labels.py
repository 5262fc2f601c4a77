"""Relabelers, evaluators, protocols and forms that break a promise."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from broken import STATE, breaks
from delt_host import (
    Evaluation,
    Evaluator,
    Pixels,
    Protocol,
    Relabeler,
)

# Relabelers


class Answers(Relabeler):
    def bind(self, problem):
        return lambda batch: problem.teacher_logits(batch.images)


@breaks("bind() is missing")
class Silent(Relabeler):
    pass


@breaks("asks is 'views', not class, image or view")
class AsksOther(Answers):
    asks: ClassVar[Any] = "views"


@breaks("label_bytes() says 10 an answer, and 3 packed ones take 60")
class Understated(Answers):
    def label_bytes(self, classes):
        return classes


@breaks("differs where bind() is called again")
class Forgetful(Relabeler):
    def bind(self, problem):
        STATE.append(1)
        return lambda batch: problem.teacher_logits(batch.images) + len(STATE)


@breaks("its answers are (40,), not (40, 10)")
class Classes(Relabeler):
    def bind(self, problem):
        return lambda batch: problem.teacher_logits(batch.images).argmax(dim=1)


@breaks("changes batch.images in place")
class Zeroes(Relabeler):
    def bind(self, problem):
        return lambda batch: problem.teacher_logits(batch.images.mul_(0.5))


@breaks("the answer to a view depends on the views beside it in the batch")
class Centred(Relabeler):
    def bind(self, problem):
        def answer(batch):
            logits = problem.teacher_logits(batch.images)
            return logits - logits.mean(dim=0)

        return answer


@breaks("probabilities do not sum to 1")
class NoProbabilities(Answers):
    kind: ClassVar[Literal["logits", "probabilities"]] = "probabilities"


@breaks("not even the likeliest class is the same")
class Mirrored(Answers):
    def unpack(self, stored, classes):
        return stored["logits"].float().flip(1)


# Evaluators


class Scores(Evaluator):
    headline: ClassVar[str] = "top1"
    per: ClassVar[Literal["set", "regime", "table"]] = "set"

    def evaluate(self, problem, distilled, taught):
        return Evaluation({"top1": 1.0})


@breaks("headline 'top1' is not a score (top-1)")
class OtherHeadline(Scores):
    def evaluate(self, problem, distilled, taught):
        return Evaluation({"top-1": 1.0})


@breaks("score 'top1' is nan, not a finite float")
class NaNScore(Scores):
    def evaluate(self, problem, distilled, taught):
        return Evaluation({"top1": float("nan")})


@breaks("its facts cannot be written as JSON")
class TensorFacts(Scores):
    def evaluate(self, problem, distilled, taught):
        return Evaluation({"top1": 1.0}, {"each": torch.zeros(2)})


@breaks("two runs under one seed score differently")
class Timed(Scores):
    def evaluate(self, problem, distilled, taught):
        return Evaluation({"top1": time.perf_counter()})


@breaks("scores of another seed or set comes out differently after a first one than alone")
class ScoresFirst(Scores):
    kept: ClassVar[list[float]] = []

    def evaluate(self, problem, distilled, taught):
        self.kept.append(float(distilled.read(torch.arange(4)).float().mean()))
        return Evaluation({"top1": self.kept[0]})


@breaks("changes the distilled set in place")
class Paints(Scores):
    def evaluate(self, problem, distilled, taught):
        distilled.targets.zero_()
        return Evaluation({"top1": 1.0})


@breaks("is per 'regime' and has no evaluate()")
class NoEvaluate(Evaluator):
    headline: ClassVar[str] = "top1"


@breaks("it raised AttributeError: 'NoneType' object has no attribute 'labels' (")
class WantsLabels(Scores):
    def evaluate(self, problem, distilled, taught):
        return Evaluation({"top1": float(len(taught.labels))})


# Protocols and forms


@breaks("training convnet3 diverged in epoch 1", learning_rate=1e30)
class Explodes(Protocol):
    pass


@breaks("take 15360 bytes, more than 7680")
class Large(Pixels):
    def units(self, ipc, image_size):
        return 2 * ipc


@breaks("reads an image otherwise beside another than alone")
class Backwards(Pixels):
    def read(self, packed, cells):
        return packed["images"].roll(1, 0)


@breaks("grey levels away from what its latents decode to")
class Inverted(Pixels):
    def read(self, packed, cells):
        return 255 - packed["images"]


@breaks("no gradient passes through decode()")
class Rounded(Pixels):
    def decode(self, latents: Mapping[str, Tensor]) -> Tensor:
        return latents["images"].detach()


@breaks("it read an image as torch.float32")
class Floats(Pixels):
    def read(self, packed, cells):
        return packed["images"].float()
