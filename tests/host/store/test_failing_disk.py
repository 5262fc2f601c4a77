"""A run that is killed, or whose disk fails, over a finished one: a sample; `make failing-disk` fails every write once."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from commands import Done, python
from conftest import TESTS
from delt_host.basics import seeding
from delt_host.cli import cli
from delt_host.contracts.results import read_results
from delt_host.runs.saved_sets import SavedSets

WATCHED = TESTS / "watched.py"
RUN = [
    "run", "-m", "random-real", "--teacher", "none", "--regime", "hard", "--ipc", "1", "--seeds", "2", "--no-controls",
    "-q", "--set", "dataset.image_size=8", "--set", "protocol.epochs=1", "--out", "made", "--store", "kept",
]  # fmt: skip
SAMPLE = 6

Found = tuple[list[object], list[object]]


def state(run: Path) -> Found:
    """Scores and fingerprints; every set that the results name is read."""
    results = read_results(run)
    for each in results.sets:
        SavedSets(run).read(each.row, each.set)
    return [s.scores for s in results.scores], [s.fingerprint for s in results.sets]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Found, Found, int]:
    """A finished run whose images are others, its state, that of the same command now, and how many operations that is."""
    root, real = tmp_path_factory.mktemp("before"), seeding.seed_for
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(seeding, "seed_for", lambda seed, *purpose: real(seed + 5, *purpose))
        assert CliRunner().invoke(cli, RUN, catch_exceptions=False).exit_code == 0
        shutil.copytree(root / "made", root / "former")
        shutil.rmtree(root / "kept")
    done = watched(root, 0, "EIO")
    assert done.returncode == 0, done.stderr
    former, new = state(root / "former"), state(root / "made")
    assert former != new and len(new[1]) == 2
    return root / "former", former, new, int(done.stderr.rpartition("SEEN ")[2])


def watched(folder: Path, nth: int, how: str, under: str = "made") -> Done:
    return python(WATCHED, folder / under, nth, how, *RUN, cwd=folder)


def sampled(number: int, first: int) -> list[int]:
    """Numbers from 1, spread over all."""
    return sorted({1 + (first + place * number // SAMPLE) % number for place in range(SAMPLE)})


def test_a_run_killed_over_a_finished_one_leaves_that_or_the_new_one(
    before: tuple[Path, Found, Found, int], tmp_path: Path
) -> None:
    former_run, former, new, count = before
    seen = []
    for nth in [*sampled(count, 0), count - 1]:
        shutil.rmtree(tmp_path / "made", ignore_errors=True)
        shutil.copytree(former_run, tmp_path / "made")
        assert watched(tmp_path, nth, "kill").returncode == -9
        seen.append(state(tmp_path / "made"))
        assert seen[-1] in (former, new), f"killed at operation {nth} of {count}"
        assert CliRunner().invoke(cli, RUN, catch_exceptions=False).exit_code == 0
        assert state(tmp_path / "made") == new
        left = {str(path.relative_to(tmp_path / "made")) for path in (tmp_path / "made").rglob("*") if path.is_file()}
        assert not [name for name in left if ".writing-" in name]
        assert len([name for name in left if name.endswith("distilled.safetensors")]) == 2
    assert seen[0] == former and seen[-1] == new


@pytest.mark.parametrize("how", ["ENOSPC+", "EIO"])
def test_where_the_disk_fails_the_former_run_or_the_new_one_is_there_and_it_is_said(
    before: tuple[Path, Found, Found, int], tmp_path: Path, how: str
) -> None:
    former_run, former, new, count = before
    for nth in sampled(count, 1 + count // SAMPLE // 2):
        shutil.rmtree(tmp_path / "made", ignore_errors=True)
        shutil.copytree(former_run, tmp_path / "made")
        done = watched(tmp_path, nth, how)
        said = done.stderr.rpartition("SEEN")[0]
        assert "Traceback" not in said and "defect" not in said
        assert done.returncode == 0 or (done.returncode in (1, 2) and said.startswith("delt-host: ")), said
        assert state(tmp_path / "made") == new if done.returncode == 0 else state(tmp_path / "made") in (former, new)
        assert CliRunner().invoke(cli, RUN, catch_exceptions=False).exit_code == 0
        assert state(tmp_path / "made") == new


SPARED = re.compile(r"delt_host/store/lock\.py$")
"""A lock has no content."""


def test_all_that_a_run_leaves_is_written_in_one_place(tmp_path: Path) -> None:
    for name in ("temporary", "cache"):
        (tmp_path / name).mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    run = [each for each in RUN if each not in ("--teacher", "none")]
    done = python(WATCHED, tmp_path, 0, "where", *run, "--set", "teacher.epochs=1", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^CHANGES (\S+) (.+) BY (.*)$", done.stderr, re.M)
    spared = [str(tmp_path / "temporary"), str(tmp_path / "cache"), "/dev/", "/proc/"]
    elsewhere = {
        (event, path, by)
        for event, path, by in found
        if "delt_host/store/files.py" not in by and not path.startswith(tuple(spared)) and "__pycache__" not in path
        and not SPARED.search(by) and event not in ("os.remove", "os.rmdir")
        and not (event == "open" and Path(path).is_dir())  # a temporary file without a name: can it be written?
    }  # fmt: skip
    assert elsewhere == set()
    places = {path for event, path, by in found if "delt_host/store/files.py" in by}
    assert {tmp_path / "made", tmp_path / "made/random-real"} <= {Path(path) for path in places}
