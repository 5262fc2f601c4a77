"""Observers of third parties: TensorBoard's events read back, several at once, and one that breaks."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor

from delt_host import ImageReader, InputError, Observer, Score, load
from delt_host.cli import cli
from delt_host.plugins.observers import Observers
from delt_host.plugins.registry import load_registry
from delt_host.store.code_identity import GROUP
from delt_plugins.trackers.tensorboard import TensorBoard

pytestmark = pytest.mark.usefixtures("with_teacher")

ARGUMENTS = [
    "run", "-m", "delt", "-b", "random-real", "--ipc", "2", "--seeds", "2", "--no-controls", "--regime", "views", "--set",
    "dataset.image_size=8", "--set", "teacher.epochs=4", "--set", "scheduler.iterations=16", "--set",
    "protocol.epochs=3", "--out", "made",
]  # fmt: skip

PLUGIN = """
from delt_host import Observer, hookimpl

class Diary(Observer):
    def __init__(self, folder):
        self.file = (folder / "diary.txt").open("w")
    def stage(self, name, detail, total, unit):
        print("stage", name, detail, total, unit, file=self.file, flush=True)
        return super().stage(name, detail, total, unit)
    def scored(self, score, images):
        print("scored", score.model_dump_json(), file=self.file, flush=True)
        own = (images.targets == 3).nonzero().flatten()
        print("images", len(images), images.read(own).double().mean().item(), file=self.file, flush=True)
    def note(self, message):
        print("note", message, file=self.file, flush=True)
    def __exit__(self, *error):
        self.file.close()

class Broken(Observer):
    def __init__(self, folder):
        self.calls = 0
    def advance(self, done, terms=None):
        raise OSError("the tracker's server is gone")

class Unmade(Observer):
    def __init__(self, folder):
        raise ConnectionError("no route")

@hookimpl
def delt_observers():
    return {"diary": Diary, "broken": Broken, "unmade": Unmade}
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with observers of its own, as pip would leave it on the path."""
    site = tmp_path / "site"
    info = site / "diary-1.2.dist-info"
    info.mkdir(parents=True)
    (site / "diary_plugin.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: diary\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\ndiary = diary_plugin\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "diary_plugin", raising=False)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, [*ARGUMENTS, *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_what_a_third_partys_observer_hears_and_that_broken_ones_do_not_take_the_run_down(
    plugin: None, tmp_path: Path
) -> None:
    output = run("-o", "diary", "-o", "broken", "-o", "unmade")
    assert output.count("observer broken failed (OSError: the tracker's server is gone (diary_plugin.py, line ") == 1
    assert (
        "observer unmade of diary 1.2 (diary_plugin) failed (ConnectionError: no route (diary_plugin.py, line "
        in output
    )
    diary = (tmp_path / "made" / "diary.txt").read_text().splitlines()
    results = json.loads((tmp_path / "made" / "results.json").read_text())
    stages = [line.split() for line in diary if line.startswith("stage")]
    assert [words[1] for words in stages if words[2] == "delt,"] == 2 * ["initialize", "recover", "relabel", "evaluate"]
    scored = [json.loads(line.removeprefix("scored ")) for line in diary if line.startswith("scored")]
    assert scored == results["scores"] and len(scored) == 4, "the very records"
    sets = [load(tmp_path / "made" / score["row"] / f"seed-{score['set']}") for score in scored]
    assert [line for line in diary if line.startswith("images")] == [
        f"images 20 {made.pixels[made.targets == 3].double().mean().item()}" for made in sets
    ]
    assert any(line.startswith("note teacher convnet3") for line in diary)
    assert all(score["key"] and not score["failure"] for score in scored)


def test_observers_are_listed_and_a_misspelt_one_is_named(plugin: None, tmp_path: Path) -> None:
    assert load_registry().names("observer")[:3] == ["broken", "diary", "tensorboard"]
    with pytest.raises(InputError, match="unknown observer 'tensorbord'; did you mean 'tensorboard'"):
        CliRunner().invoke(cli, [*ARGUMENTS, "-o", "tensorbord"], catch_exceptions=False)
    assert not (tmp_path / "made").exists()


def test_one_that_is_no_observer_is_refused_with_its_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "odd-1.dist-info"
    info.mkdir()
    (tmp_path / "odd_plugin.py").write_text(
        "from delt_host import hookimpl\n@hookimpl\ndef delt_observers():\n    return {'odd': dict}\n"
    )
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nodd = odd_plugin\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (problem,) = [plugin.problem for plugin in load_registry().plugins if plugin.name == "odd"]
    assert problem == "TypeError: observer 'odd' is not a subclass of delt_host.Observer"


def test_stages_are_left_in_order_and_errors_pass_through() -> None:
    heard: list[str] = []

    class Listener(Observer):
        def __init__(self, name: str) -> None:
            self.name = name

        def stage(self, name: str, detail: str, total: int, unit: str):  # type: ignore[no-untyped-def]
            from contextlib import contextmanager

            @contextmanager
            def around():  # type: ignore[no-untyped-def]
                heard.append(f"{self.name} in")
                try:
                    yield
                except ValueError as error:
                    heard.append(f"{self.name} {error}")
                    raise

            return around()

    class Late(Observer):
        def __exit__(self, *error: object) -> None:
            raise RuntimeError("too late")

    notes: list[str] = []
    first = Listener("first")
    first.note = notes.append  # type: ignore[method-assign]
    with (
        pytest.raises(ValueError, match="work"),
        Observers(first, {"second": Listener("second"), "late": Late()}) as both,
        both.stage("recover", "", 1, ""),
    ):
        raise ValueError("work")
    assert heard == ["second in", "first in", "first work", "second work"]
    (note,) = notes
    assert note.startswith("observer late failed (RuntimeError: too late (test_trackers.py, line ")
    assert note.endswith("); the run goes on without it")


needs_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed"
)


@needs_tensorboard
def test_tensorboard_holds_losses_scores_and_images(plugin: None, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run("-o", "tensorboard", "-o", "diary", "-q")
    folder, results = tmp_path / "made" / "tensorboard", json.loads((tmp_path / "made" / "results.json").read_text())

    def events(name: str) -> EventAccumulator:
        return EventAccumulator(str(folder / name)).Reload()

    assert (tmp_path / "made" / "diary.txt").read_text().count("scored") == 4
    for record in results["scores"]:
        label, seed = record["row"], record["set"]
        found = events(f"{label}-seed-{seed}")
        (score,) = found.Scalars("convnet3, views/top1")
        assert score.value == pytest.approx(record["scores"]["top1"], rel=1e-6)
        picture = Image.open(io.BytesIO(found.Images("distilled")[0].encoded_image_string))
        pixels = load(tmp_path / "made" / label / f"seed-{seed}").pixels
        assert torch.equal(pil_to_tensor(picture)[:, 2:10, 2:10], pixels[0]), "lossless, two pixels of border"
        students = events(f"{label}-seed-{seed}-convnet3").Scalars("evaluate/loss")
        assert [event.step for event in students] == [1, 2, 3]
        assert np.allclose([event.value for event in students], record["facts"]["curve"]["loss"], rtol=1e-6)
    losses = events("delt-seed-0")
    cost = load(tmp_path / "made" / "delt" / "seed-0").about["cost"]["image_iterations"]
    terms = [tag for tag in losses.Tags()["scalars"] if tag.startswith("recover/")]
    assert len(terms) >= 2
    for term in terms:
        steps = [event.step for event in losses.Scalars(term)]
        assert steps == sorted(steps) and steps[-1] == cost, "by image-iterations, to the plan's last"
    assert not [tag for tag in events("random-real-seed-0").Tags()["scalars"] if tag.startswith("recover/")]


class Counted(ImageReader):
    """Thirty classes of twelve images that are nowhere until they are read."""

    def __init__(self) -> None:
        self.targets = torch.arange(30).repeat_interleave(12)
        self.asked: list[int] = []

    def read(self, indices: torch.Tensor) -> torch.Tensor:
        self.asked += indices.tolist()
        return torch.full((len(indices), 3, 4, 4), 7, dtype=torch.uint8)


@needs_tensorboard
def test_tensorboard_reads_the_images_that_it_shows_and_no_others(tmp_path: Path) -> None:
    images, board = Counted(), TensorBoard(tmp_path)
    score = Score(row="delt", evaluator="convnet3", set=0, scores={"top1": 50.0, "best": None})
    failed = Score(row="cda", evaluator="convnet3", set=0, scores={}, failure="it broke")
    with board:
        board.scored(score, images)
        board.scored(failed, None)
    assert images.asked == [12 * label + place for label in range(20) for place in range(10)]
    assert {file.name for file in (tmp_path / "tensorboard").iterdir()} == {"delt-seed-0", "cda-seed-0"}


def test_without_tensorboard_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"needs the package tensorboard: pip install 'delt-host\[tensorboard\]'"):
        CliRunner().invoke(cli, [*ARGUMENTS, "-o", "tensorboard"], catch_exceptions=False)
