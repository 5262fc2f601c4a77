"""The main job through the command line, and what a user's mistakes get."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from PIL import Image

from commands import MAIN, delt_host, python, start
from conftest import ROOT, lines_of
from delt_host import load
from delt_host.basics.errors import InputError
from delt_host.contracts.results import read_results

pytestmark = pytest.mark.long

SMALL = [
    "--ipc", "2", "--set", "dataset.image_size=8", "--set", "teacher.epochs=4", "--set", "scheduler.iterations=16",
    "--set", "protocol.epochs=3", "--precision", "fp32",
]  # fmt: skip


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small run of the main job, whose store and folder the tests below share."""
    root = tmp_path_factory.mktemp("first")
    environment = {**os.environ, "DELT_HOST_STORE": str(root / "store")}
    done = delt_host(
        "run", "-m", "delt", "-b", "cda", "-b", "cda,initializer=ranked", "--seeds", "2", *SMALL, "--ceiling",
        "--ceiling-epochs", "1", "--out", "run", cwd=root, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (root / "out.txt").write_text(done.stdout)
    (root / "err.txt").write_text(done.stderr)
    return root


def again(root: Path, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> CompletedProcess[str]:
    monkeypatch.setenv("DELT_HOST_STORE", str(root / "store"))
    done = delt_host("run", *arguments, cwd=root)
    assert done.returncode == 0, done.stderr
    return done


def test_the_table_has_methods_baselines_controls_and_the_ceiling(first: Path) -> None:
    lines = lines_of(first / "run")
    roles = {label: line.row.role for label, line in lines.items()}
    assert roles == {
        "delt": "method",
        "cda": "baseline",
        "cda (initializer=ranked)": "baseline",
        "random-real": "control",
        "delt start": "control",
        "whole real set": "ceiling",
    }
    output = (first / "out.txt").read_text()
    for label in ("delt", "cda", "random-real", "whole real set", "last epoch", "fair v2 (epochs=3)"):
        assert label in output, label
    assert all(line.provenance == "measured" and line.summary.n == 2 for line in lines.values())


def test_costs_are_exact(first: Path) -> None:
    """IPC 2, T 16, eight rounds of two: DELT's first image of a class runs 16 iterations, its second 14."""
    lines = lines_of(first / "run")
    iterations = {label: line.row.cost.image_iterations for label, line in lines.items()}
    assert iterations["delt"] == 10 * (16 + 14) and iterations["cda"] == 20 * 16
    assert iterations["random-real"] == iterations["delt start"] == 0
    assert lines["delt"].row.image_bytes == 20 * 3 * 64
    assert lines["delt"].steps == 6 and {score.facts["epochs"] for score in lines["delt"].scores} == {3}
    assert (lines["delt"].row.ipc, lines["whole real set"].row.ipc) == (2, None)


def test_every_stage_shows_progress_when_not_in_a_terminal(first: Path) -> None:
    progress = (first / "err.txt").read_text()
    for stage in ("load digits", "squeeze convnet3", "initialize delt", "recover cda", "relabel", "evaluate delt"):
        assert stage in progress, stage
    assert "cross-entropy" in progress


def test_a_student_that_cannot_take_the_images_is_refused_before_anything_is_squeezed(tmp_path: Path) -> None:
    """VGG-11 halves an image of 8 px five times."""
    done = delt_host("run", "-m", "delt", *SMALL, "--evaluator", "pruning", cwd=tmp_path)
    assert done.returncode == 2 and "vgg11_bn cannot take 8 px images" in done.stderr, done.stderr
    assert "squeeze" not in done.stderr


def test_differences_are_paired_by_seed(first: Path) -> None:
    lines = lines_of(first / "run")
    mine, other = lines["delt"].headline, lines["cda"].headline
    (to_cda,) = [d for d in lines["delt"].differences if d.other == "cda"]
    expected = sum(mine[s] - other[s] for s in (0, 1)) / 2
    assert to_cda.mean == pytest.approx(expected) and to_cda.sets == 2


def test_the_run_folder_holds_readable_sets_and_pictures(first: Path) -> None:
    for label in ("delt", "cda", "cda-initializer-ranked", "random-real", "delt-start"):
        for seed in (0, 1):
            folder = first / "run" / label / f"seed-{seed}"
            distilled = load(folder / "distilled.safetensors")
            assert distilled.pixels.shape == (20, 3, 8, 8) and distilled.pixels.dtype == torch.uint8
            assert distilled.targets.tolist() == [c for c in range(10) for _ in range(2)]
            assert distilled.class_names == tuple("0123456789")
            assert distilled.about["teacher"]["fingerprint"] and "protocol" not in distilled.about
            with Image.open(folder / "images.png") as picture:
                assert picture.width > 50 and picture.height > 5 * picture.width / 2
        one, other = (load(first / "run" / label / f"seed-{seed}").pixels for seed in (0, 1))
        assert label.startswith("delt") or not torch.equal(one, other), "seeds draw images of their own"
    start, made = (load(first / "run" / f"{n}/seed-0/distilled.safetensors").pixels for n in ("delt-start", "delt"))
    assert not torch.equal(start, made)


def test_the_same_command_again_computes_nothing(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = again(first, monkeypatch, "run/experiment.toml", "--out", "again")
    stages = [line for line in done.stderr.splitlines() if line.split()[0] in _STAGES]
    assert stages and all(line.endswith("from the store") for line in stages), done.stderr
    assert read_results(first / "run") == read_results(first / "again")
    assert (first / "run" / "experiment.toml").read_text() == (first / "again" / "experiment.toml").read_text()


_STAGES = ("squeeze", "initialize", "recover", "relabel", "evaluate")


def test_experiment_toml_repeats_the_run_in_an_empty_store(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = again(first, monkeypatch, "run/experiment.toml", "--store", "fresh", "--out", "repeated")
    assert "from the store" not in done.stderr.replace("initialize delt start", "").split("squeeze")[1].split("\n")[0]
    before, after = (read_results(first / name).scores for name in ("run", "repeated"))
    assert [(s.row, s.regime, s.set, s.scores, s.key) for s in before] == [
        (s.row, s.regime, s.set, s.scores, s.key) for s in after
    ]


def test_another_evaluator_option_recomputes_only_that(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = again(first, monkeypatch, "run/experiment.toml", "--set", "evaluator.model=convnet3_in", "--out", "other")
    computed = {
        line.split()[0]
        for line in done.stderr.splitlines()
        if line.split()[0] in _STAGES and not line.endswith("from the store")
    }
    assert computed == {"evaluate"}


def test_a_setting_of_students_alone_recomputes_only_scores(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels are of views, which another learning rate leaves as they are."""
    done = again(first, monkeypatch, "run/experiment.toml", "--set", "protocol.learning_rate=0.05", "--out", "faster")
    lines = [line for line in done.stderr.splitlines() if line.split()[0] in _STAGES]
    assert {line.split()[0] for line in lines if not line.endswith("from the store")} == {"evaluate"}
    assert not any(line.startswith("evaluate") and line.endswith("from the store") for line in lines)


def test_dry_run_says_what_is_there_and_computes_nothing(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(path for path in (first / "store").rglob("*"))
    monkeypatch.setenv("COLUMNS", "120")
    done = again(first, monkeypatch, "run/experiment.toml", "--dry-run", "--set", "scheduler.iterations=32")
    assert "1,280 image-its" in done.stdout  # cda: 20 images, 32 iterations, 2 seeds
    assert "kept" in done.stdout and "missing" in done.stdout and "work left on cpu" in done.stdout
    done = again(first, monkeypatch, "run/experiment.toml", "--dry-run")
    assert (
        "Nothing is left: the result of every step is in the store." in done.stdout and "work left" not in done.stdout
    )
    assert sorted(path for path in (first / "store").rglob("*")) == before


def test_a_dry_run_counts_every_training(tmp_path: Path) -> None:
    rows = ["-m", "delt", "-b", "delt,scheduler.residual=0.5", "-b", "delt,scheduler.views=image", "--no-controls"]
    seen = ["--evaluator", "student", "--evaluator", "continual", "--evaluator", "pruning", "--dry-run", "--json"]
    seen += ["--regime", "views"]
    seen += ["--set", "evaluator.network=convnet3"]
    done = delt_host(
        "run", *rows, *seen, "--seeds", "1", *SMALL, "--set", "dataset.image_size=32", "--store", tmp_path, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)["steps"]
    assert [step["state"] for step in steps if step["stage"] == "recover"] == ["unknown"] * 3
    views = 3 * 10 * 2
    images = [step["work"] for step in steps if step["stage"] == "evaluate" and step["what"].startswith("delt, ")]
    assert images == [f"{views * times} images" for times in (1, 3, 2)]  # five growing steps are three trainings


BAD_INPUT = [
    (["-m", "delta"], "unknown method 'delta'; did you mean 'delt'?"),
    (["-m", "delt", "-b", "cdaa"], "unknown method 'cdaa'; did you mean 'cda'?"),
    (["-m", "delt", "--matcher", "batchnorm"], "unknown matcher 'batchnorm'; did you mean 'batch-norm'?"),
    (["-m", "delt", "--dataset", "digit"], "unknown dataset 'digit'; did you mean 'digits'?"),
    (["-m", "delt", "--dataset", "digits:x"], "dataset digits is read from no place"),
    (["-m", "delt", "--dataset", "folder:nowhere"], "no folder at nowhere"),
    (["-m", "delt", "--regime", "hard:fare"], "unknown protocol 'fare'; did you mean 'fair'?"),
    (["-m", "delt", "--regime", "hart:fair"], "unknown relabeler 'hart'; did you mean 'hard'?"),
    (["-m", "delt", "--regime", "vews"], "unknown regime 'vews'; did you mean 'views'?"),
    (["-m", "delt", "--regime", "views", "--regime", "fkd:fair"], "the regimes 'views' and 'fkd:fair' are the same"),
    (["-m", "delt", "--regime", "views,epochs=3"], "'views,epochs=3': epochs=3 names no stage: protocol.epochs=3"),
    (["-m", "delt", "--regime", "views,matcher.weight=3"], "matcher.weight is no option of a relabeler or protocol"),
    (
        ["-m", "delt", "--regime", "views,protocol.epoch=3"],
        "protocol fair has no option 'epoch'; did you mean 'epochs'",
    ),
    (["-m", "delt", "--match", "bytes"], "--match bytes: it is one of image-iterations, seconds, or one with"),
    (["-m", "delt", "--student", "convnt3"], "unknown model 'convnt3'; nearest: convnet3"),
    (
        ["-m", "delt", "--set", "scheduler.iteratons=8"],
        "no scheduler in this run has an option 'iteratons'; did you mean",
    ),
    (["-m", "delt", "--set", "schedular.iterations=8"], "unknown stage 'schedular'; did you mean 'scheduler'?"),
    (["-m", "delt", "--set", "iterations=8"], "--set iterations=8 names no stage: --set scheduler.iterations=8"),
    (["-m", "delt", "--set", "scheduler.iterations=many"], "scheduler early-late.iterations must be a valid integer"),
    (["-m", "delt", "--set", "scheduler.iterations=100"], "iterations (100) must be a multiple of 8"),
    (["-m", "delt", "--set", "initializer.selection=best"], "initializer ranked.selection must be 'medium', 'lowest'"),
    (["-m", "delt", "--set", "initializer.patches=9"], "initializer ranked.patches must be less than or equal to 5"),
    (["-m", "delt,scheduler.speed=2"], "scheduler early-late has no option 'speed'"),
    (["-m", "delt,teacher.epochs=2"], "teacher.epochs is not the row's own; use --set teacher.epochs="),
    (["-m", "delt", "-b", "delt"], "'delt' and 'delt' are the same row"),
    (["-m", "delt", "--ipc", "0"], "--ipc must be at least 1, not 0"),
    (["-m", "delt", "--ipc", "500"], "--ipc 500 is more than class '8' of digits has: 131 training images"),
    (["-m", "delt", "--seeds", "x"], "seeds must be a count (3) or a list"),
    (["-m", "delt", "--seeds", "1000000000000"], "seeds must be 1,000 at most"),
    (["-m", "delt", "--seeds", "1,1"], "a seed is given twice"),
    (["-m", "delt", "--device", "tpu"], "device 'tpu' is not"),
    (["-m", "delt", "--precision", "fp8"], "precision 'fp8' is not known"),
    (["-m", "delt", "--teacher", "none.safetensors"], "none.safetensors"),
    (["-m", "delt", "--set", "teacher.epochs=0"], "teacher.epochs is 0"),
    ([], "no method given; use --method NAME"),
    (["missing.toml"], "missing.toml"),
    (["-m", "delt", "-p", "no:dlt"], "unknown plugin 'dlt'; did you mean 'delt'?"),
    (["-m", "random-real", "--matcher", "batch-norm"], "random-real has no scheduler; give one with --scheduler"),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[int, str]]:
    """All bad commands in one process, one after the other."""
    root = tmp_path_factory.mktemp("bad")
    script = (
        "import json, sys, io, contextlib\n"
        "from delt_host.cli import main\n"
        "answers = []\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['delt-host', 'run', *arguments]\n"
        "    err = io.StringIO()\n"
        "    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):\n"
        "        try: main(); code = 0\n"
        "        except SystemExit as stop: code = stop.code\n"
        "    answers.append((code, err.getvalue()))\n"
        "print(json.dumps(answers))\n"
    )
    commands = [[*arguments, *SMALL[2:], *([] if "--ipc" in arguments else SMALL[:2])] for arguments, _ in BAD_INPUT]
    commands = [_without_clash(arguments, command) for (arguments, _), command in zip(BAD_INPUT, commands, strict=True)]
    environment = {**os.environ, "DELT_HOST_STORE": str(root / "store")}
    done = python("-c", script, json.dumps(commands), cwd=root, env=environment)
    assert done.returncode == 0, done.stderr
    return dict(enumerate(json.loads(done.stdout.splitlines()[-1])))


def _without_clash(arguments: list[str], command: list[str]) -> list[str]:
    """What a bad command says must not be said over by the settings that keep the good ones small."""
    said = {a.partition("=")[0] for a in arguments if "=" in a} | set(arguments)
    kept: list[str] = list(arguments)
    pairs = command[len(arguments) :]
    for flag, value in zip(pairs[::2], pairs[1::2], strict=False):
        if value.partition("=")[0] not in said and flag not in (set(arguments) - {"--set"}):
            kept += [flag, value]
    return kept


@pytest.mark.parametrize("number", range(len(BAD_INPUT)), ids=[" ".join(a) or "nothing" for a, _ in BAD_INPUT])
def test_bad_input_gets_one_sentence_and_exit_code_2(answers: dict[int, tuple[int, str]], number: int) -> None:
    code, error = answers[number]
    assert BAD_INPUT[number][1] in error
    assert code == 2
    assert "Traceback" not in error
    assert sum(line.startswith("delt-host:") for line in error.splitlines()) == 1


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = delt_host("run", "-m", "delt", "--store", tmp_path / "file")
    assert done.returncode == 2 and "cannot be written" in done.stderr and "--store PATH" in done.stderr


def test_a_folder_with_a_bad_image_names_it_before_anything_runs(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / "d" / split / name).mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (8, 8), (40 * i, 10, 99)).save(tmp_path / "d" / split / name / f"{i}.png")
    (tmp_path / "d/train/b/1.png").write_bytes(b"\x89PNG broken")
    done = delt_host("run", "-m", "delt", "--dataset", f"folder:{tmp_path / 'd'}", *SMALL[:2], *SMALL[4:])
    assert done.returncode == 2 and "b/1.png cannot be read" in done.stderr and "squeeze" not in done.stderr


def test_recipes_are_checked_like_flags(tmp_path: Path) -> None:
    from delt_host.experiment.request import Request

    recipe = tmp_path / "r.toml"
    for text, message in [
        ("methd = ['delt']", "has no option 'methd'; did you mean 'method'"),
        ("ipc = 'ten'", "ipc must be a valid integer"),
        ("ipc = [", "cannot be read"),
    ]:
        recipe.write_text(text)
        with pytest.raises(InputError, match=message):
            Request.from_recipe(recipe)
    recipe.write_text("method = 'delt'\nipc = 3\n[set]\nscheduler.iterations = 16\n'matcher.weight' = 0.5\n")
    request = Request.from_recipe(recipe).updated(Request(ipc=4, set={"matcher.weight": 1.0}))
    assert (request.method, request.ipc) == (["delt"], 4)
    assert request.set == {"scheduler.iterations": 16, "matcher.weight": 1.0}


def test_the_example_trains_on_a_distilled_set_from_python(first: Path) -> None:
    script = ROOT / "examples" / "train_from_python.py"
    file = first / "run" / "delt" / "seed-0" / "distilled.safetensors"
    done = python(script, file)
    assert done.returncode == 0, done.stderr
    assert "20 images of 10 classes, 8 px, made by delt" in done.stdout
    assert float(done.stdout.split()[-2]) > 25, "far above chance on ten classes"


RECIPE = """
method = "sharp"
ipc = 2
seeds = 1

[methods.sharp]
summary = "the surest images, a constant schedule"
initializer = { name = "ranked", selection = "highest" }
scheduler = { name = "constant", iterations = 16, views = "image" }
matcher = "batch-norm"

[methods.sharp.datasets.digits]
"scheduler.learning_rate" = 0.125
"""


def test_a_recipe_defines_a_method_of_its_own(first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sharp.toml").write_text(RECIPE)
    again(first, monkeypatch, tmp_path / "sharp.toml", "-b", "delt", *SMALL, "--out", tmp_path / "run")
    components = lines_of(tmp_path / "run")["sharp"].row.components
    assert components["initializer"]["selection"] == "highest"
    assert (components["scheduler"]["views"], components["scheduler"]["learning_rate"]) == ("image", 0.125)
    assert components["matcher"]["name"] == "batch-norm"
    # The folder's own experiment.toml repeats the run without the recipe that defined the method.
    again(first, monkeypatch, tmp_path / "run" / "experiment.toml", "--out", tmp_path / "repeated")
    assert lines_of(tmp_path / "repeated")["sharp"].headline == lines_of(tmp_path / "run")["sharp"].headline


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("[methods.delt]\ninitializer = 'noise'", "defines a method 'delt', which delt-host 0.1.0"),
        ("[methods.new]\nscheduler = 'constant'", "methods.new.initializer must be given"),
        ("[methods.new]\ninitializer = 'noise'\nmacher = 'batch-norm'", "did you mean 'matcher'"),
        ("[methods.new]\ninitializer = 'nose'", "did you mean 'noise'"),
    ],
)
def test_a_recipes_method_is_checked(tmp_path: Path, table: str, said: str) -> None:
    from delt_host.experiment.request import Request
    from delt_host.experiment.resolve import resolve
    from delt_host.plugins.registry import load_registry

    (tmp_path / "r.toml").write_text(f"method = 'new'\n{table}\n")
    with pytest.raises(InputError) as caught:
        resolve(Request.from_recipe(tmp_path / "r.toml"), load_registry())
    assert said in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_ctrl_c_keeps_finished_stages(tmp_path: Path) -> None:
    long = ["run", "-m", "delt", *SMALL[:6], *SMALL[8:], "--set", "scheduler.iterations=80000", "--seeds", "1"]
    process = start(*MAIN, *long, cwd=tmp_path)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("initialize delt"):
            break
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130 and "every finished stage is kept" in rest and "Traceback" not in rest
    done = delt_host("run", "-m", "delt", *SMALL[:6], "--seeds", "1", "--set", "scheduler.iterations=16", *SMALL[8:])
    assert done.returncode == 0, done.stderr
    assert "squeeze convnet3: from the store" in done.stderr
    assert "initialize delt, seed 0: from the store" in done.stderr
