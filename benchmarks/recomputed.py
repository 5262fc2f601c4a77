"""What an edit recomputes: the table of docs/reliability.md, by real commands. `python benchmarks/recomputed.py` prints it.

Each row runs a small experiment twice with one store, in two processes, and edits something in between. The rows that need
no other host or interpreter are in the test suite too (tests/test_recomputed.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]

FILES = {
    "mine-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n",
    "mine-1.0.dist-info/entry_points.txt": "[delt_host]\nmine = mine_method\nnets = mine_nets\n",
    "mine-1.0.dist-info/top_level.txt": "mine_method\nmine_helpers\nmine_nets\nmine_deep\n",
    "theirs-2.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: theirs\nVersion: 2.0\n",
    "theirs-2.0.dist-info/entry_points.txt": "[delt_host]\ntheirs = theirs_base\n",
    "theirs-2.0.dist-info/top_level.txt": "theirs_base\n",
    "theirs_base.py": '''"""Another plugin, whose class is a base."""
from delt_host import Matcher


class Base(Matcher):
    def pull(self, images):
        return images.square().mean() * 0.1
''',
    "mine_helpers.py": "STRENGTH = 0.1\n",
    "mine_deep/__init__.py": "",
    "mine_deep/middle/__init__.py": "from mine_deep.middle.bottom import shift\n",
    "mine_deep/middle/bottom.py": "def shift(x):\n    return x + 0.1\n",
    "mine_unused.py": "X = 1\n",
    "mine_method.py": '''"""A matcher of several files."""
import torch
from delt_host import hookimpl, use, Method
from mine_deep.middle import shift
from mine_helpers import STRENGTH
from theirs_base import Base


class Mine(Base):
    """A matcher."""

    weight: float = 1.0

    def bind(self, problem):
        def work():
            return {"mean": problem.data.train.read(torch.arange(20)).float().mean()[None] / 255}

        mean = problem.remember("mean", work)["mean"]
        return lambda views: {"pull": (STRENGTH * shift(self.weight * self.pull(views.images - mean))).view(1)}


@hookimpl
def delt_matchers():
    return {"mine": Mine}
''',
    "mine_nets.py": """import torch
from functools import partial
from delt_host import hookimpl


def small(width, classes, size):
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, width, 3, padding=1), torch.nn.BatchNorm2d(width), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(width * size**2, classes))


def other(classes, size):
    return small(8, classes, size)


@hookimpl
def delt_models():
    return {"mine-net": partial(small, 8), "mine-student": other}
""",
}

RUN = [
    "run", "-m", "delt,matcher=mine", "--no-controls", "--ipc", "1", "--seeds", "1", "--teacher", "mine-net", "--student",
    "mine-student", "--precision", "fp32", "--set", "dataset.image_size=8", "--set", "teacher.epochs=3", "--set",
    "scheduler.iterations=8", "--set", "protocol.epochs=1", "--out", "made",
]  # fmt: skip
STAGES = ("squeeze", "initialize", "recover", "relabel", "evaluate")
RECOVER = ("recover", "relabel", "evaluate")


@dataclass(frozen=True)
class Row:
    """An edit and what it must recompute."""

    what: str
    file: str
    old: str
    new: str
    recomputed: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    """The interpreter's, in the second run."""


PLUGIN_ROWS = [
    Row("the file of the method: its formula", "mine_method.py", "STRENGTH * shift", "3 * STRENGTH * shift", RECOVER),
    Row("a helper file beside it", "mine_helpers.py", "0.1", "100.0", RECOVER),
    Row("a base class in another plugin", "theirs_base.py", "mean() * 0.1", "mean() * 7", RECOVER),
    Row("a module three packages down", "mine_deep/middle/bottom.py", "x + 0.1", "x * 9", RECOVER),
    Row("the formula of what it remembers", "mine_method.py", "arange(20)", "arange(900)", RECOVER),
    Row("the default of an option", "mine_method.py", "weight: float = 1.0", "weight: float = 5.0", RECOVER),
    Row("the teacher's network: a plugin's builder", "mine_nets.py", "torch.nn.ReLU()", "torch.nn.Tanh()", STAGES),
    Row("an argument of its builder", "mine_nets.py", "partial(small, 8)", "partial(small, 12)", STAGES),
    Row("a comment and a docstring alone", "mine_method.py", '    """A matcher."""\n', '    """Another."""  # x\n', ()),
    Row("a file that nothing imports", "mine_unused.py", "X = 1", "X = 2", ()),
    Row("nothing", "mine_unused.py", "X", "X", ()),
]
OTHER_ROWS = [
    Row("the host's recover", "delt_host/recover.py", "EPSILON = 0.5,", "EPSILON = 0.6,", RECOVER),
    Row("the host's train", "delt_host/train.py", "momentum=0.9", "momentum=0.8", ("evaluate",)),
    Row("the host's squeeze", "delt_host/squeeze.py", "nesterov=recipe.momentum > 0", "nesterov=False", STAGES),
    Row("the host's report", "delt_host/report/table.py", "cost of one seed", "cost of a seed", ()),
    Row("a file of our plugins that no row uses", "delt_plugins/privacy.py", "import torch\n", "import torch\nX = 1\n", ()),
    Row("python -O", "mine_unused.py", "X", "X", (), flags=("-O",)),
]  # fmt: skip

Command = Callable[[list[str], Path, Mapping[str, str]], subprocess.CompletedProcess[str]]


def write(folder: Path) -> None:
    """The plugins, as pip would leave them on the path."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def run(folder: Path, command: Command, flags: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The small experiment, with what `folder` holds on the path and as its store: the stages that were computed."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "DELT_HOST_STORE": str(folder / "store")}
    (folder / "here").mkdir()
    done = command([*flags, "-c", "from delt_host.cli import main; main()", *RUN], folder / "here", environment)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(folder / "here")
    lines = [line for line in done.stderr.splitlines() if line.split(" ")[0] in STAGES]
    assert {line.split(" ")[0] for line in lines} == set(STAGES), done.stderr
    return tuple(stage for stage in STAGES if not all("from the store" in ln for ln in lines if ln.startswith(stage)))


def edit(row: Row, folder: Path) -> None:
    file = folder / row.file
    text = file.read_text()
    assert row.old in text, row
    file.write_text(text.replace(row.old, row.new))


def main() -> None:
    def cold(words: list[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], cwd=folder, env=dict(environment), capture_output=True, text=True, check=False
        )

    wanted = sys.argv[1:]
    print("| edited between two runs | recomputed |\n|---|---|")
    wrong = []
    for row in [row for row in (*PLUGIN_ROWS, *OTHER_ROWS) if not wanted or row.file in wanted]:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            write(place)
            for package in ("delt_host", "delt_plugins"):
                shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))
            assert run(place, cold) == STAGES
            edit(row, place)
            found = run(place, cold, row.flags)
        print(f"| {row.what} | {', '.join(found) or '–'} |", flush=True)
        wrong += [row.what] if found != row.recomputed else []
    sys.exit(f"not as it should be: {'; '.join(wrong)}" if wrong else None)


if __name__ == "__main__":
    main()
