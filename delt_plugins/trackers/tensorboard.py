"""TensorBoard as an observer: loss terms, scores and images of every row and seed as events in the run's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from delt_host import ImageReader, InputError, Observer, Score, hookimpl

SHOWN_CLASSES, SHOWN_IMAGES = 20, 10


class TensorBoard(Observer):
    """Writes RUN/tensorboard/, one folder for each row and seed, and one for each of its students.

    Loss terms are ``STAGE/TERM`` by the stage's own units: image-iterations of recovery, images of squeezing, epochs of
    students. Scores are ``EVALUATOR/SCORE``, images ``distilled``.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise InputError(
                "--observer tensorboard needs the package tensorboard: pip install 'delt-host[tensorboard]'"
            ) from None
        self.make, self.folder = SummaryWriter, folder / "tensorboard"
        self.writers: dict[str, Any] = {}  # by what they are of
        self.running: tuple[str, str] | None = None  # the stage and its detail
        self.done = 0

    def __exit__(self, *error: object) -> None:
        for writer in self.writers.values():
            writer.close()

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        outer = self.running, self.done
        self.running, self.done = (name, detail), 0
        try:
            yield
        finally:
            self.running, self.done = outer

    def advance(self, done: int, terms: Mapping[str, float] | None = None) -> None:
        self.done += done
        if self.running is not None and terms:
            name, detail = self.running
            for term, value in terms.items():
                self._writer(detail).add_scalar(f"{name}/{term}", value, self.done)

    def scored(self, score: Score, images: ImageReader | None) -> None:
        student = f", student {score.student}" if score.student else ""
        writer = self._writer(f"{score.row}, seed {score.set}{student}")
        title = f"{score.evaluator}, {score.regime}" if score.regime else score.evaluator
        for name, value in score.scores.items():
            if value is not None:
                writer.add_scalar(f"{title}/{name}", value, 0)
        if score.failure:
            writer.add_text("failure", score.failure, 0)
        if images is not None:
            writer.add_image("distilled", self._grid(images), 0)

    def _grid(self, images: ImageReader) -> Any:
        """(3, H, W) uint8: a line of images for each class."""
        import torch
        from torchvision.utils import make_grid

        classes = images.targets.unique()[:SHOWN_CLASSES]
        members = [torch.nonzero(images.targets == label).flatten()[:SHOWN_IMAGES] for label in classes]
        few = min(map(len, members))
        shown = images.read(torch.cat([own[:few] for own in members]))
        return make_grid(shown, nrow=few, padding=2, pad_value=255)

    def _writer(self, detail: str) -> Any:
        from delt_host.toolbox import distinct

        if detail not in self.writers:
            name = distinct([*self.writers, detail])[detail]
            self.writers[detail] = self.make(str(self.folder / name))
        return self.writers[detail]


@hookimpl
def delt_observers() -> dict[str, type[Observer]]:
    return {"tensorboard": TensorBoard}
