"""Exported sets in other people's loops: torchvision, datasets, timm, Lightning, WebDataset; the same images, and the
accuracy that our own evaluator gives.

"The same accuracy" is computed: over four seeds, Welch's interval of the difference (99 %) must hold zero and be narrow,
and the interval of a loop with mistaken classes must not.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from scipy import stats
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import delt_host
from conftest import SQUEEZED, lend, lines_of
from delt_host import DistilledSet
from delt_host.cli import cli
from delt_plugins import publish
from delt_plugins.datasets.digits import Digits
from delt_plugins.networks.convnet import ConvNet

pytestmark = pytest.mark.long

SEEDS, EPOCHS, SIZE, BATCH = range(4), 30, 8, 20
WIDEST = 5.0  # points of accuracy that an interval may reach to either side
# Views that a small student learns in few steps, so that its seeds do not scatter.
EASY = [w for o in ("mix=none", "flip=false", "min_crop=0.5") for w in ("--set", f"protocol.{o}")]
PLAIN = ["--regime", "hard:fair", "--set", "protocol.crop=none", *EASY]


@pytest.fixture(scope="module")
def exported(primed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, of soft and of hard labels, with every seed's set exported; `SCORES` is what our evaluator gave."""
    root = tmp_path_factory.mktemp("interop")
    lend(primed, root / "store", "squeeze")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DELT_HOST_STORE", str(root / "store"))
        patch.chdir(root)
        for name, more in (("soft", ["--regime", "views", *EASY]), ("hard", PLAIN)):
            call(
                "run", "-m", "random-real", "--no-controls", "--ipc", "10", "--seeds", str(len(SEEDS)), "--precision", "fp32",
                *SQUEEZED, "--set", f"protocol.epochs={EPOCHS}", *more, "-q", "--out", name,
            )  # fmt: skip
            for seed in SEEDS:
                labels = ["--labels"] if name == "soft" else []
                call("export", name, "--seed", str(seed), "--to", f"{name}-{seed}", "-q", *labels)
        call("export", "hard", "--seed", "0", "--to", "shards", "--format", "webdataset", "-q")
    return root


def call(*arguments: str) -> None:
    result = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output


def ours(root: Path, name: str) -> list[float]:
    (line,) = lines_of(root / name).values()
    return [line.headline[seed] for seed in SEEDS]


def difference(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Welch's 99 % interval of the difference of the means, in points."""
    interval = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.99)
    return interval.low, interval.high


def accuracy(network: nn.Module, distilled: DistilledSet) -> float:
    test = Digits(image_size=SIZE).load().test
    images = distilled.normalization.normalize(test.read(torch.arange(len(test))))
    with torch.inference_mode():
        return 100 * float((network.eval()(images).argmax(dim=1) == test.targets).float().mean())


def half_cosine(epoch: int) -> float:
    return 0.5 * (1 + math.cos(math.pi * epoch / (2 * EPOCHS)))


def train_plainly(distilled: DistilledSet, loader: Callable[[], Iterable[tuple[Tensor, Tensor]]]) -> float:
    """The loop that everybody writes: AdamW, half a cosine, cross-entropy."""
    network = ConvNet(3, 10, SIZE)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, half_cosine)
    for _ in range(EPOCHS):
        network.train()
        for images, targets in loader():
            optimizer.zero_grad()
            F.cross_entropy(network(images), targets).backward()
            optimizer.step()
        schedule.step()
    return accuracy(network, distilled)


def with_torchvision(folder: Path, distilled: DistilledSet) -> float:
    normalization = distilled.normalization
    transform = v2.Compose(
        [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(normalization.mean, normalization.std)]
    )
    images = ImageFolder(folder / "train", transform=transform)
    assert images.classes == list(distilled.class_names)
    return train_plainly(distilled, lambda: DataLoader(images, batch_size=BATCH, shuffle=True))


def with_datasets(folder: Path, distilled: DistilledSet) -> float:
    """Read as from a hub: the card's head says where the images are."""
    rows = read_with_datasets(folder)
    assert rows.features["label"].names == list(distilled.class_names)
    to_pixels = v2.PILToTensor()

    def collate(batch: list[dict[str, object]]) -> tuple[Tensor, Tensor]:
        pixels = torch.stack([to_pixels(row["image"]) for row in batch])
        return distilled.normalization.normalize(pixels), torch.tensor([row["label"] for row in batch])

    return train_plainly(distilled, lambda: DataLoader(rows, batch_size=BATCH, shuffle=True, collate_fn=collate))


def read_with_datasets(folder: Path):  # type: ignore[no-untyped-def]
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    datasets.disable_progress_bars()
    return datasets.load_dataset(str(folder), split="train", cache_dir=str(folder.parent / "cache"))


def with_timm(folder: Path, distilled: DistilledSet) -> float:
    """timm's dataset, loader, optimizer and schedule."""
    from timm.data import ImageDataset, create_loader
    from timm.optim import create_optimizer_v2
    from timm.scheduler import CosineLRScheduler

    images = ImageDataset(str(folder / "train"))
    assert list(images.reader.class_to_idx) == list(distilled.class_names)
    normalization = distilled.normalization
    loader = create_loader(
        images, input_size=(3, SIZE, SIZE), batch_size=BATCH, is_training=True, no_aug=True, use_prefetcher=False,
        mean=normalization.mean, std=normalization.std, num_workers=0, crop_pct=1.0, persistent_workers=False,
        pin_memory=False,
    )  # fmt: skip
    network = ConvNet(3, 10, SIZE)
    optimizer = create_optimizer_v2(network, "adamw", lr=1e-3, weight_decay=0.01)
    schedule = CosineLRScheduler(optimizer, t_initial=2 * EPOCHS)
    for epoch in range(EPOCHS):
        network.train()
        for batch, targets in loader:
            optimizer.zero_grad()
            F.cross_entropy(network(batch), targets).backward()
            optimizer.step()
        schedule.step(epoch + 1)
    return accuracy(network, distilled)


def with_timm_and_soft_labels(folder: Path, distilled: DistilledSet) -> float:
    from timm.optim import create_optimizer_v2
    from timm.scheduler import CosineLRScheduler
    from timm.utils import AverageMeter

    assert distilled.soft_labels is not None
    network, losses = ConvNet(3, 10, SIZE), AverageMeter()
    optimizer = create_optimizer_v2(network, "adamw", lr=1e-3, weight_decay=0.01)
    schedule = CosineLRScheduler(optimizer, t_initial=2 * EPOCHS)
    for epoch in range(EPOCHS):
        network.train()
        for views in distilled.loader(epoch):
            loss = distilled.soft_labels.loss(network(views.images), views)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.update(loss.item(), len(views.images))
        schedule.step(epoch + 1)
    return accuracy(network, distilled)


def with_lightning(folder: Path, distilled: DistilledSet) -> float:
    lightning = pytest.importorskip("lightning", reason="lightning is not installed")

    class Student(lightning.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.network = ConvNet(3, 10, SIZE)

        def train_dataloader(self) -> DataLoader[delt_host.Batch]:
            return distilled.loader(self.trainer.current_epoch)

        def training_step(self, views: delt_host.Batch, _: int) -> Tensor:
            assert distilled.soft_labels is not None
            return distilled.soft_labels.loss(self.network(views.images), views)

        def configure_optimizers(self):  # type: ignore[no-untyped-def]
            optimizer = torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.01)
            return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, half_cosine)]

    student = Student()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a loader has no workers
        lightning.Trainer(
            max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, reload_dataloaders_every_n_epochs=1,
        ).fit(student)  # fmt: skip
    return accuracy(student.network, distilled)


def scores(root: Path, name: str, loop: Callable[[Path, DistilledSet], float]) -> list[float]:
    """The loop's accuracy on every seed's set, its network and order drawn from that seed."""
    found = []
    for seed in SEEDS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1000 + seed)
            found.append(loop(root / f"{name}-{seed}", publish.load(root / f"{name}-{seed}")))
    return found


@pytest.mark.parametrize(
    ("name", "loop"),
    [
        ("hard", with_torchvision),
        ("hard", with_datasets),
        ("hard", with_timm),
        ("soft", with_timm_and_soft_labels),
        ("soft", with_lightning),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_other_loops_reach_our_evaluators_accuracy(
    exported: Path, name: str, loop: Callable[[Path, DistilledSet], float]
) -> None:
    reference, theirs = ours(exported, name), scores(exported, name, loop)
    low, high = difference(theirs, reference)
    assert low <= 0 <= high, (theirs, reference)
    assert max(-low, high) < WIDEST, "too wide an interval to say that they are the same"


def test_the_interval_tells_mistaken_classes(exported: Path) -> None:
    """What the test above would say of two classes changed for one another, or a forgotten normalisation."""

    def mistaken(_: Path, distilled: DistilledSet) -> float:
        swapped = distilled.targets.clone()
        swapped[distilled.targets == 3], swapped[distilled.targets == 8] = 8, 3
        images = distilled.images()

        def loader() -> Iterable[tuple[Tensor, Tensor]]:
            return [(images[part], swapped[part]) for part in torch.randperm(len(images)).split(BATCH)]

        return train_plainly(distilled, loader)

    _, high = difference(scores(exported, "hard", mistaken), ours(exported, "hard"))
    assert high < 0


def test_datasets_read_the_same_pixels_from_folder_and_from_card(exported: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    distilled = publish.load(exported / "hard-0")
    plain = datasets.load_dataset(
        "imagefolder", data_dir=str(exported / "hard-0" / "train"), split="train", cache_dir=str(exported / "cache")
    )
    for rows in (plain, read_with_datasets(exported / "hard-0")):
        assert rows.features["label"].names == list(distilled.class_names)
        pixels = torch.stack([v2.PILToTensor()(row["image"]) for row in rows])
        assert torch.equal(pixels, distilled.pixels) and rows["label"][:] == distilled.targets.tolist()


def test_webdataset_reads_the_shards(exported: Path) -> None:
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    distilled = publish.load(exported / "shards")
    shards = sorted(map(os.fspath, (exported / "shards").glob("train-*.tar")))
    rows = list(
        webdataset.WebDataset(shards, shardshuffle=False, empty_check=False).decode("pil").to_tuple("png", "cls")
    )
    assert torch.equal(torch.stack([v2.PILToTensor()(image) for image, _ in rows]), distilled.pixels)
    assert [target for _, target in rows] == distilled.targets.tolist()
