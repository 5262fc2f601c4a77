"""TensorBoard as an observer: loss terms, scores and images of every row and seed as events in the run's folder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delt_host import InputError, Observer, hookimpl

if TYPE_CHECKING:
    from delt_host.results import Measurement

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
        self.writers: dict[str, Any] = {}
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

    def measured(self, measurement: Measurement) -> None:
        row, evaluation = measurement.row, measurement.evaluation
        writer = self._writer(f"{row.label}, seed {measurement.seed}")
        for score, value in (evaluation.scores if evaluation else {}).items():
            if math.isfinite(value):
                writer.add_scalar(f"{measurement.evaluator.component.title}/{score}", value, 0)
        if measurement.failure:
            writer.add_text("failure", measurement.failure, 0)
        if measurement.distilled is not None and row.role != "ceiling":
            writer.add_image("distilled", self._grid(measurement), 0)

    def _grid(self, measurement: Measurement) -> Any:
        """(3, H, W) uint8: a line of images for each class."""
        from torchvision.utils import make_grid

        assert measurement.distilled is not None
        pixels, targets = measurement.distilled.pixels, measurement.distilled.targets
        per_class = pixels.view(int(targets.max()) + 1, -1, *pixels.shape[1:])[:SHOWN_CLASSES, :SHOWN_IMAGES]
        return make_grid(per_class.flatten(0, 1), nrow=per_class.shape[1], padding=2, pad_value=255)

    def _writer(self, detail: str) -> Any:
        from delt_host.report.folder import slug

        name = slug(detail)
        if name not in self.writers:
            self.writers[name] = self.make(str(self.folder / name))
        return self.writers[name]


@hookimpl
def delt_observers() -> dict[str, type[Observer]]:
    return {"tensorboard": TensorBoard}
