"""What an edit recomputes: the table of docs/reliability.md, by real commands. `python benchmarks/recomputed.py` prints it.

Each row runs a small experiment twice with one store, in two processes, and changes something in between. The rows that need
no host of their own are in the test suite too (tests/host/store/test_recomputed.py). A word after it picks the rows that
have it.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
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
from delt_host import hookimpl, Prepared
from mine_deep.middle import shift
from mine_helpers import STRENGTH
from theirs_base import Base


class Mine(Base):
    """A matcher."""

    weight: float = 1.0

    def bind(self, problem):
        def work():
            return {"mean": problem.data.train.read(torch.arange(20)).float().mean()[None] / 255}

        mean = problem.remember("mean", work)["mean"] * problem.prepared(spread(problem))["spread"]
        return lambda views: {"pull": (STRENGTH * shift(self.weight * self.pull(views.images - mean))).view(1)}

    def prepares(self, problem):
        return [spread(problem)]


def spread(problem):
    def make(_checkpoint):
        return {"spread": problem.data.train.read(torch.arange(30)).float().std()[None] / 255}

    return Prepared("spread", make)


@hookimpl
def delt_matchers():
    return {"mine": Mine}
''',
    "notebook-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: notebook\nVersion: 1.0\n",
    "notebook-1.0.dist-info/entry_points.txt": "[delt_host]\nnotebook = __main__\n",
    "cells/1.py": "FACTOR = 0.1\n\n\ndef shrink(x):\n    return FACTOR * x\n",
    "cells/2.py": """from delt_host import Matcher, hookimpl


class Cell(Matcher):
    def bind(self, problem):
        return lambda views: {"pull": shrink(views.images.square().mean()).view(1)}


@hookimpl
def delt_matchers():
    return {"cell": Cell}
""",
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

PROJECT = """[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "mine"
version = "1.0"
entry-points.delt_host = {mine = "mine_method", nets = "mine_nets"}
[tool.setuptools]
py-modules = ["mine_method", "mine_helpers", "mine_nets"]
packages = ["mine_deep", "mine_deep.middle"]
"""

MAIN = """from pathlib import Path
for number, cell in enumerate(sorted(Path("../cells").iterdir()), 1):
    exec(compile(cell.read_text(), f"<ipython-input-{number}>", "exec"), globals())
from delt_host.cli import main
main()
"""
"""The command line in a process whose `__main__` is as a notebook's, after its cells."""

RUN = [
    "run", "-m", "delt", "--matcher", "mine", "--no-controls", "--ipc", "1", "--seeds", "1", "--teacher", "mine-net",
    "--student", "mine-student", "--precision", "fp32", "--threads", "1", "--set", "dataset.image_size=8", "--set",
    "teacher.epochs=3", "--set", "scheduler.iterations=8", "--set", "protocol.epochs=1", "--out", "made",
]  # fmt: skip
STAGES = ("squeeze", "prepare", "initialize", "recover", "relabel", "evaluate")
RECOVER = ("recover", "relabel", "evaluate")
OWN = ("prepare", *RECOVER)
"""What a matcher prepares is made by its code, too."""

Change = Callable[[Path], None]
"""What happens between the two runs, in the folder that has the plugins, the store and the data."""


def edited(file: str, old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text, (file, old)
        (folder / file).write_text(text.replace(old, new))

    return change


def nothing(_folder: Path) -> None:
    pass


def bitmap(path: Path, seed: int, dark: bool) -> None:
    """An image of 8 px, as old as any other, its file as large."""
    from PIL import Image

    noise = bytes(value // 2 + 127 * (not dark) for value in random.Random(seed).randbytes(8 * 8 * 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.frombytes("RGB", (8, 8), noise).save(path)
    os.utime(path, (1e9, 1e9))


def pictures(root: Path, seed: int) -> None:
    """Two classes that any network tells apart."""
    for number in range(24):
        for name in ("dark", "light"):
            place = root / ("test" if number % 3 == 0 else "train") / name / f"{number}.bmp"
            bitmap(place, 1000 * seed + number, name == "dark")


def copied(folder: Path) -> None:
    shutil.copytree(folder / "pictures", folder / "other/pictures")


@dataclass(frozen=True)
class Row:
    """A change and what it must recompute."""

    what: str
    change: Change
    recomputed: tuple[str, ...]
    words: tuple[str, ...] = ()
    """Of both commands, beside those of all rows."""
    then: tuple[str, ...] = ()
    """Of the second command alone."""
    flags: tuple[str, ...] = ()
    """The interpreter's, in the second run."""
    said: str = ""
    """What the second run says, once."""
    installed: bool = False
    """Whether the plugin is a project that pip has installed in place, rather than files on the path."""


DATA = ("--dataset", "folder:../pictures", "--set", "teacher.batch_size=8")
CELL = ("--matcher", "cell")
ELSEWHERE = ("--dataset", "folder:../other/pictures")
FEWER = "results made with 1 thread are used"

PLUGIN_ROWS = [
    Row("the file of the method: its formula", edited("mine_method.py", "STRENGTH * shift", "3 * STRENGTH * shift"), OWN),
    Row("a helper file beside it", edited("mine_helpers.py", "0.1", "100.0"), OWN),
    Row("a base class in another plugin", edited("theirs_base.py", "mean() * 0.1", "mean() * 7"), OWN),
    Row("a module three packages down", edited("mine_deep/middle/bottom.py", "x + 0.1", "x * 9"), OWN),
    Row("the formula of what it remembers", edited("mine_method.py", "arange(20)", "arange(900)"), OWN),
    Row("the formula of what it prepares", edited("mine_method.py", "float().std()", "float().var()"), OWN),
    Row("the default of an option", edited("mine_method.py", "weight: float = 1.0", "weight: float = 5.0"), OWN),
    Row("the teacher's network: a plugin's builder", edited("mine_nets.py", "torch.nn.ReLU()", "torch.nn.Tanh()"), STAGES),
    Row("an argument of its builder", edited("mine_nets.py", "partial(small, 8)", "partial(small, 12)"), STAGES),
    Row(
        "a comment and a docstring alone",
        edited("mine_method.py", '    """A matcher."""\n', '    """Another."""  # x\n'),
        (),
    ),
    Row("a file that nothing imports", edited("mine_unused.py", "X = 1", "X = 2"), ()),
    Row("a notebook's cell: the class", edited("cells/2.py", "square().mean()", "abs().mean()"), RECOVER, CELL),
    Row("another cell, which it calls", edited("cells/1.py", "FACTOR * x", "FACTOR + x"), RECOVER, CELL),
    Row("the value of a global in that cell", edited("cells/1.py", "0.1", "0.7"), RECOVER, CELL),
    Row("nothing in the notebook", nothing, (), CELL),
    Row("nothing", nothing, ()),
    Row("another number of threads", nothing, (), then=("--threads", "2"), said=FEWER),
    Row("another number of threads, with `--strict`", nothing, STAGES, ("--strict",), ("--threads", "2")),
    Row("nothing, with `--strict`", nothing, (), ("--strict",)),
    Row("an image, its file's size and time kept", lambda at: bitmap(at / "pictures/train/dark/1.bmp", 7, True), STAGES, DATA),
    Row(
        "the folder: other images of equal names, sizes and times",
        lambda at: pictures(at / "other/pictures", 2),
        STAGES,
        DATA,
        ELSEWHERE,
    ),
    Row(
        "the folder: the same images",
        copied,
        (),
        DATA,
        ELSEWHERE,
    ),
]  # fmt: skip
OTHER_ROWS = [
    Row("`python -O`", nothing, (), flags=("-O",)),
    Row(
        "a helper file of what `pip install -e` installed",
        edited("project/mine_helpers.py", "0.1", "100.0"),
        OWN,
        installed=True,
    ),
    Row(
        "the host's recover",
        edited("delt_host/recovery/learning.py", "gradient, 1 - beta_1", "gradient, 1 - beta_2"),
        RECOVER,
    ),
    Row(
        "the host's labels",
        edited("delt_host/contracts/labels.py", "BLOCK_BYTES = 16", "BLOCK_BYTES = 15"),
        ("relabel", "evaluate"),
    ),
    Row(
        "the host's train",
        edited("delt_host/training/students.py", "epochs / 2 else 0.1", "epochs / 2 else 0.2"),
        ("evaluate",),
    ),
    Row(
        "how teachers are trained",
        edited("delt_plugins/squeezers/ordinary.py", "nesterov=self.nesterov and self.momentum > 0", "nesterov=False"),
        STAGES,
    ),
    Row("the host's report", edited("delt_host/display/table.py", "(lower is better)", "(less is better)"), ()),
    Row(
        "a file of our plugins that no row uses",
        edited("delt_plugins/evaluators/privacy.py", "import torch\n", "import torch\nX = 1\n"),
        (),
    ),
]

Command = Callable[[list[str], Path, Mapping[str, str]], subprocess.CompletedProcess[str]]


def write(folder: Path) -> None:
    """The plugins, as pip would leave them on the path, and images."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    pictures(folder / "pictures", 1)


def install(folder: Path) -> None:
    """One of the two plugins as pip leaves it when it is edited in place, in an environment of its own."""
    shutil.rmtree(folder / "mine-1.0.dist-info")
    (folder / "project").mkdir()
    for place in folder.glob("mine_*"):
        place.rename(folder / "project" / place.name)
    (folder / "project" / "pyproject.toml").write_text(PROJECT)
    venv.create(folder / "venv")
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    (packages / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "venv"), "install", "--quiet"]
    subprocess.run([*pip, "--no-build-isolation", "--no-deps", "-e", str(folder / "project")], check=True)


def run(folder: Path, command: Command, row: Row | None = None, words: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The small experiment, with what `folder` holds on the path and as its store: the stages that were computed.

    `row`: as the second run of a row; `words`: as the first of rows that have these.
    """
    environment = {**os.environ, "PYTHONPATH": str(folder), "DELT_HOST_STORE": str(folder / "store")}
    flags, more = (row.flags, (*row.words, *row.then)) if row else ((), words)
    (folder / "here").mkdir()
    done = command([*flags, "-c", MAIN, *RUN, *more], folder / "here", environment)
    assert done.returncode == 0, done.stderr
    assert not row or not row.said or done.stderr.count(row.said) == 1, done.stderr
    shutil.rmtree(folder / "here")
    lines = [line for line in done.stderr.splitlines() if line.split(" ")[0] in STAGES]
    assert {line.split(" ")[0] for line in lines} == set(STAGES), done.stderr
    return tuple(stage for stage in STAGES if not all("from the store" in ln for ln in lines if ln.startswith(stage)))


def main() -> None:
    def cold(words: list[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        own = folder.parent / "venv" / "bin" / "python"
        python = str(own) if own.exists() else sys.executable
        return subprocess.run(
            [python, *words], cwd=folder, env=dict(environment), capture_output=True, text=True, check=False
        )

    @cache
    def before(words: tuple[str, ...], installed: bool) -> Path:
        """Everything after the first run, which rows of the same words share."""
        place = Path(tempfile.mkdtemp(dir=base))
        write(place)
        if installed:
            install(place)
        for package in ("delt_host", "delt_plugins"):
            shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))
        assert run(place, cold, words=words) == STAGES
        return place

    wrong = []
    print("| changed between two runs | recomputed |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        for row in [row for row in (*PLUGIN_ROWS, *OTHER_ROWS) if all(word in row.what for word in sys.argv[1:])]:
            place = before(row.words, row.installed)
            if not row.installed:  # what is installed holds the names of its folders
                place = shutil.copytree(place, base / "after")
            row.change(place)
            found = run(place, cold, row)
            shutil.rmtree(place)
            print(f"| {row.what} | {', '.join(found) or '–'} |", flush=True)
            wrong += [row.what] if found != row.recomputed else []
    sys.exit(f"not as it should be: {'; '.join(wrong)}" if wrong else None)


if __name__ == "__main__":
    main()
