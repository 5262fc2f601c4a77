"""What the conformance kit asks of a relabeler."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from delt_host import Batch, Labels, Problem, Relabeler, RunError
from delt_host.workshop import label_bytes
from delt_plugins.kit.small import real_distilled, same

NEAR = 1e-3
"""That answers to a view may be away from each other in batches of two sizes, whose sums are rounded otherwise."""


def results(relabeler: Relabeler, problem: Problem) -> dict[str, Any]:
    labels = Labels(problem, real_distilled(problem), relabeler)
    labels.prepare()
    return {f"batch {nth}": batch.answers for nth, batch in enumerate(labels.epoch(0))}


def examine(relabeler: Relabeler, problem: Problem) -> None:
    """Answers of the right shape, the same each time, that packed take the bytes they say and unpacked have their shape."""
    name, distilled, classes = type(relabeler).__name__, real_distilled(problem), problem.num_classes
    assert relabeler.asks in ("class", "image", "view"), f"{name}: asks is {relabeler.asks!r}, not class, image or view"
    assert relabeler.kind in ("logits", "probabilities"), (
        f"{name}: kind is {relabeler.kind!r}, not logits or probabilities"
    )
    assert relabeler.asks == "class" or type(relabeler).bind is not Relabeler.bind, f"{name}: bind() is missing"
    labels = Labels(problem, distilled, relabeler)
    said, is_now = label_bytes(relabeler, problem), labels.size_bytes
    assert said == is_now, f"{name}: {said} bytes of labels are foretold, and there are {is_now}"
    if relabeler.asks != "class":
        _check_given(name, relabeler, problem)
        if relabeler.stores:
            _check_packing(name, relabeler, classes)
    labels.prepare()
    anew = Labels(problem, distilled, relabeler)
    for epoch in range(problem.protocol.epochs):
        first, again, back = (list(each.epoch(epoch)) for each in (labels, labels, anew))
        for batch in first:
            _check_batch(name, batch, labels, problem)
        assert _same(first, again), f"{name}: epoch {epoch} gives other answers when replayed"
        assert _same(first, back), f"{name}: epoch {epoch} differs where bind() is called again"


def without_teacher(relabeler: Relabeler, problem: Problem) -> None:
    if relabeler.asks == "class":
        return
    try:
        relabeler.bind(problem.seen_by(relabeler))
    except RunError:  # it says that it asks a teacher
        return


def _check_given(name: str, relabeler: Relabeler, problem: Problem) -> None:
    """Answers to one batch: one a view, each for itself, and the batch as it was."""
    images = problem.view_normalization.normalize(real_distilled(problem).read(torch.arange(problem.num_images)))
    index, classes = torch.arange(len(images)), problem.targets()
    batch = Batch(images, index, classes, index.clone(), classes.clone(), torch.ones(len(images)))
    before = {what: each.clone() for what, each in vars(batch).items() if isinstance(each, Tensor)}
    answer = relabeler.bind(problem.seen_by(relabeler))
    answers = answer(batch)
    for what, each in before.items():
        assert torch.equal(getattr(batch, what), each), f"{name}: changes batch.{what} in place; work on a copy"
    wanted = (len(images), problem.num_classes)
    assert isinstance(answers, Tensor), f"{name}: its answers are a {type(answers).__name__}, not a tensor"
    assert tuple(answers.shape) == wanted, f"{name}: its answers are {tuple(answers.shape)}, not {wanted}"
    assert answers.is_floating_point(), f"{name}: its answers are of {answers.dtype}, not floats"
    two = Batch(**{what: each[:2] if isinstance(each, Tensor) else each for what, each in vars(batch).items()})
    near = torch.allclose(answer(two).float(), answers[:2].float(), rtol=NEAR, atol=NEAR)
    assert near, f"{name}: the answer to a view depends on the views beside it in the batch"


def _check_packing(name: str, relabeler: Relabeler, classes: int) -> None:
    answers = torch.linspace(-2, 2, 3 * classes).view(3, classes).softmax(dim=1)
    given = answers if relabeler.kind == "probabilities" else answers.log()
    packed = relabeler.pack(given.clone())
    short = [key for key, tensor in packed.items() if len(tensor) != 3]
    assert not short, f"{name}: pack() of 3 answers gives {short[0]!r} of {len(packed[short[0]])} entries"
    taken = sum(tensor.numel() * tensor.element_size() for tensor in packed.values())
    said = relabeler.label_bytes(classes)
    assert taken == 3 * said, f"{name}: label_bytes() says {said} an answer, and 3 packed ones take {taken}"
    unpacked = relabeler.unpack(packed, classes)
    back = tuple(unpacked.shape)
    assert back == (3, classes), f"{name}: unpack() gives {back} for 3 answers of {classes} classes"
    best = torch.equal(unpacked.argmax(dim=1), given.argmax(dim=1))
    assert best, f"{name}: unpack() gives other answers than were packed: not even the likeliest class is the same"
    epochs = relabeler.epochs(7)
    assert isinstance(epochs, int) and 1 <= epochs <= 7, f"{name}: {epochs} of 7 epochs have labels of their own"


def _check_batch(name: str, batch: Batch, labels: Labels, problem: Problem) -> None:
    answers, wanted = batch.answers, (len(batch.index), problem.num_classes)
    assert answers is not None and tuple(answers.shape) == wanted, f"{name}: a batch's answers are not {wanted}"
    assert bool(answers.isfinite().all()), f"{name}: some answers are not finite"
    if labels.kind == "probabilities":
        ones = torch.ones(len(answers))
        assert torch.allclose(answers.sum(dim=1), ones, atol=1e-3), f"{name}: probabilities do not sum to 1"


def _same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(same(_tensors(a), _tensors(b)) for a, b in zip(one, other, strict=True))


def _tensors(batch: Batch) -> list[Tensor]:
    return [tensor for tensor in vars(batch).values() if tensor is not None]
