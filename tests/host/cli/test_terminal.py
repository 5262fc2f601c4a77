"""What appears in a terminal, through a real one; what programs read; what a shell completes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from commands import MAIN, cold, delt_host, start
from delt_host.basics.version import STAGES
from delt_host.cli import cli
from delt_host.cli.completion import known
from delt_host.contracts.observer import Observer, Work

pty = pytest.importorskip("pty", reason="needs a POSIX terminal")

SMALL = [
    "--ipc", "2", "--seeds", "1", "--set", "dataset.image_size=8", "--set", "teacher.epochs=4",
    "--set", "scheduler.iterations=160", "--set", "protocol.epochs=3", "--precision", "fp32",
]  # fmt: skip
ROWS = [
    "run",
    "-m",
    "delt,scheduler.learning_rate=0.125,initializer.selection=lowest",
    "-b",
    "cda",
    "--regime",
    "views",
    *SMALL,
]
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def in_terminal(*arguments: str, cwd: Path, **environment: str) -> str:
    """All that `delt-host ARGUMENTS` writes to a terminal of 80 columns."""
    ours, theirs = terminal()
    environment = {**plain_environment(), "TERM": "xterm-256color", **environment}
    process = start(*MAIN, *arguments, cwd=cwd, env=environment, terminal=theirs)
    os.close(theirs)
    seen = b"".join(chunks(ours))
    assert process.wait(timeout=60) == 0, seen.decode()
    return seen.decode()


def terminal() -> tuple[int, int]:
    """Our end and theirs."""
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 80))
    return ours, theirs


def plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "CI")}


def chunks(ours: int) -> Iterator[bytes]:
    """What comes until the other end is closed."""
    with suppress(OSError):  # how Linux says that it is
        while chunk := os.read(ours, 65536):
            yield chunk
    os.close(ours)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("terminal")


@pytest.fixture(scope="module")
def seen(place: Path) -> str:
    """A run of four rows in a terminal."""
    return in_terminal(*ROWS, "--store", "store", "--out", "run", cwd=place)


def plain(text: str) -> list[str]:
    """The lines as written, without colours and moves of the cursor."""
    return ESCAPE.sub("", text).replace("\r", "\n").split("\n")


def test_a_terminal_shows_the_stage_its_terms_and_what_is_left_of_the_run(seen: str) -> None:
    text = "\n".join(plain(seen))
    assert "squeeze convnet3" in text and "teacher 1 of 1" in text
    assert re.search(r"row 1 of 4, seed 1 of 1, (about|a few) .* left", text)
    assert "row 4 of 4, seed 1 of 1" in text
    assert re.search(r"^  cross-entropy [\d.]+, mean [\d.]+, variance [\d.]+$", text, flags=re.MULTILINE)
    assert re.search(r"━+ +\d+ % \d:\d\d:\d\d", text), "the bar, with the time gone and left"


def test_nothing_is_cut_at_eighty_columns(seen: str, place: Path) -> None:
    assert "…" not in seen
    assert all(len(line) <= 80 for line in plain(seen)), [line for line in plain(seen) if len(line) > 80]
    for command in (
        ["runs", "."],
        ["plugins"],
        ["store", "--store", "store"],
        [*ROWS, "--store", "store", "--dry-run"],
    ):
        shown = in_terminal(*command, cwd=place)
        assert "…" not in shown, shown
        assert all(len(line) <= 80 for line in plain(shown)), shown


def test_no_color_and_dumb_terminals_are_respected(seen: str, place: Path) -> None:
    assert "\x1b[1m" in seen and "\x1b[2m" in seen and "\x1b[38" in seen, "colours where nothing speaks against them"
    again = [*ROWS, "--store", "store", "--set", "protocol.epochs=2", "--out"]
    colourless = in_terminal(*again, "second", cwd=place, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*[34][0-9]m", colourless) and "row 4 of 4, seed 1 of 1" in colourless
    dumb = in_terminal(*again, "third", cwd=place, TERM="dumb")
    assert "\x1b" not in dumb and "evaluate cda, seed 0, convnet3: from the store" in dumb


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = delt_host(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_programs_read_json_and_nothing_else(seen: str, place: Path) -> None:
    common = ["--store", "store", "--json"]
    done = run(*ROWS, *common, "--out", "run", cwd=place)
    results = json.loads(done.stdout, parse_constant=refuse)
    assert (
        Path(results.pop("folder")) == place / "run" and len(results["rows"]) == 4 and "from the store" in done.stderr
    )
    assert results == json.loads((place / "run" / "results.json").read_text(), parse_constant=refuse)
    steps = json.loads(run(*ROWS, *common, "--dry-run", cwd=place).stdout)["steps"]
    assert {step["stage"] for step in steps} == {
        "squeeze",
        "prepare",
        "initialize",
        "recover",
        "pack",
        "relabel",
        "evaluate",
    }
    assert {step["state"] for step in steps} == {"kept"} and sum(step["seconds"] for step in steps) == 0
    done = run("evaluate", "run", "-e", "cost", "--quiet", *common, cwd=place)
    scored = json.loads(done.stdout, parse_constant=refuse)
    assert [evaluator["headline"] for evaluator in scored["evaluators"]] == ["time"] and done.stderr == ""
    assert all(score["scores"]["time"] >= 0 for score in scored["scores"])
    for wanted in (["--json"], ["--format", "json"]):
        shown = CliRunner().invoke(cli, ["report", str(place / "run"), *wanted])
        lines = json.loads(shown.output)
        assert [line["label"] for line in lines] == [row["label"] for row in results["rows"]]
        assert {line["run"] for line in lines} == {"run"}


def completed(words: str) -> list[str]:
    """What bash would offer for the last word."""
    environment = {**os.environ, "_DELT_HOST_COMPLETE": "bash_complete", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split(" ")) - 1)
    script = "from delt_host.cli import main\ntry: main()\nfinally: import sys; print('torch' in sys.modules, file=sys.stderr)"
    done = cold("-c", script, env=environment)
    assert done.stderr.strip() == "False", "completion does not wait for torch"
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_options_and_names_are_completed_without_torch() -> None:
    assert completed("delt-host rep") == ["report", "reproduce"]
    assert completed("delt-host run --met") == ["--method"]
    assert completed("delt-host run --method del") == ["delt", "delt-residual"]
    assert completed("delt-host run -m delt --matcher b") == ["batch-norm"]
    assert completed("delt-host evaluate runs/x --student wrn") == ["wrn_16_2"]
    assert completed("delt-host show early") == ["early-late"]
    assert completed("delt-host run --regime v") == completed("delt-host show vi") == ["views"]
    assert completed("delt-host list m") == ["matchers", "methods", "models"]
    assert completed("delt-host show fai") == ["fair"] and completed("delt-host show squeezer") == ["squeezers"]
    assert completed("delt-host run --control s") == ["sre2l", "start"]
    assert completed("delt-host nonsense x") == []


def test_every_name_of_ours_is_completed() -> None:
    """Sources are read and not run, so a hook that returns anything but a plain dict would be missed."""
    from delt_host.basics.version import STAGES as REAL_STAGES
    from delt_host.plugins.registry import load_registry

    registry = load_registry()
    assert STAGES == REAL_STAGES
    for kind in ("method", "protocol", "regime", "form", "dataset", "model", *STAGES):
        assert set(registry.names(kind)) <= set(known(kind)), kind


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_one_that_the_shell_takes(shell: str, tmp_path: Path) -> None:
    script = run("completion", shell, cwd=tmp_path).stdout
    assert "_DELT_HOST_COMPLETE" in script
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    subprocess.run([shell, "-n", "-c", script], check=True)


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_tab_completes_in_bash(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "delt-host"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from delt_host.cli import main; main()" "$@"\n')
    program.chmod(0o755)
    typed = b'eval "$(delt-host completion bash)"\ndelt-host run --baseline cd\t'  # not entered: it would run
    path = f"{program.parent}:{os.environ['PATH']}"
    ours, theirs = terminal()
    bash, environment = ["bash", "--norc", "--noprofile", "-i"], {**plain_environment(), "TERM": "xterm", "PATH": path}
    process = subprocess.Popen(bash, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, env=environment)
    os.close(theirs)
    os.write(ours, typed)
    seen = b""
    for chunk in chunks(ours):
        seen += chunk
        if b"--baseline cda" in seen:
            process.kill()
    process.wait(timeout=60)
    assert b"--baseline cda" in seen


class Listener(Observer):
    def __init__(self) -> None:
        self.expected: list[list[Work]] = []

    def expect(self, works: object) -> None:
        self.expected.append(list(works))  # type: ignore[call-overload]


def test_the_forecast_is_the_plans_and_knows_the_store(tmp_path: Path) -> None:
    """DELT at IPC 2, T 16 on digits: 300 image-iterations; students see 20 images in each of 3 epochs."""
    from delt_host.experiment.request import Request
    from delt_host.experiment.resolve import resolve
    from delt_host.plugins.registry import load_registry
    from delt_host.stages import story
    from delt_host.stages.host import Host
    from delt_host.store.store import Store

    options = {"dataset.image_size": 8, "teacher.epochs": 4, "scheduler.iterations": 16, "protocol.epochs": 3}
    registry = load_registry()
    request = Request(method=["delt"], baseline=["cda"], ipc=2, seeds="2", set=options, precision="fp32")
    experiment, heard = resolve(request, registry), Listener()
    host = Host(registry, Store(tmp_path / "store"), heard)
    for _ in range(2):
        assert not any(m.failure for m in story.run(story.prepare_run(experiment, host)))
    before, first, _, second = heard.expected
    recovered = {f"{row}, seed {seed}": cost for row, cost in (("delt", 300), ("cda", 320)) for seed in (0, 1)}
    for works in (before, first):
        assert {w.detail: w.passes for w in works if w.stage == "recover"} == recovered
        # The test split once forward, which is a third of a pass.
        assert {round(3 * w.passes) for w in works if w.stage == "evaluate"} == {3 * 60 + 445}
    assert [w.place for w in before if w.stage == "squeeze"] == ["teacher 1 of 1"]
    assert first[-1].place == "row 4 of 4, seed 2 of 2"
    ranked = [w for w in first if w.stage == "prepare" and w.passes]
    assert [(w.detail, round(3 * w.passes)) for w in ranked] == [("true-class-scores", 1352)], (
        "once for all rows and seeds"
    )
    assert len(second) == len(first) and not any(w.passes for w in second), "all of it is in the store"


class Screen:
    """What a terminal of 24 rows and 80 columns shows, and what it has scrolled away."""

    def __init__(self) -> None:
        self.lines, self.row, self.column = [""], 0, 0

    def feed(self, text: str) -> None:
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\s\S]", text):
            if part.endswith("A") and part[0] == "\x1b":
                self.row = max(self.row - int(part[2:-1] or 1), len(self.lines) - 24, 0)
            elif part == "\x1b[2K":
                self.lines[self.row] = ""
            elif part == "\r":
                self.column = 0
            elif part == "\n" or (part[0] != "\x1b" and self.column == 80):
                self.row, self.column = self.row + 1, 0
                self.lines += [""] * (self.row == len(self.lines))
            if part[0] not in "\x1b\r\n":
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + part + line[self.column + 1 :]
                self.column += 1


BUSY = """
import sys, time
from delt_host.display import terminal
from delt_host.display.progress import observer_for
sys.setswitchinterval(1e-6)  # threads meet as often as in hours of a run
observer = observer_for(terminal.errors(), False)
with observer:
    for i in range(150):
        with observer.stage("recover", f"row {i}", 5, "images"):
            for k in range(5):
                until = time.perf_counter() + 0.001
                while time.perf_counter() < until:
                    sum(range(1000))
                observer.advance(1, {"cross-entropy": 1.0})
            if i % 5 == 0:
                print("printed", i)
        observer.note(f"number {i}")
"""


@pytest.mark.parametrize("_again", range(3))
def test_every_finished_line_stays_and_no_bar_while_the_main_thread_is_busy(tmp_path: Path, _again: int) -> None:
    import termios

    ours, theirs = terminal()
    termios.tcsetwinsize(theirs, (24, 80))
    environment = {**plain_environment(), "TERM": "xterm-256color"}
    process = start("-c", BUSY, cwd=tmp_path, env=environment, terminal=theirs)
    os.close(theirs)
    seen = b"".join(chunks(ours)).decode()
    assert process.wait(timeout=60) == 0, seen
    screen = Screen()
    screen.feed(seen)
    lines = [line.rstrip() for line in screen.lines if line.strip()]
    assert [line.partition("  ")[0] for line in lines if line.startswith("recover")] == [
        f"recover row {i}" for i in range(150)
    ]
    assert [line for line in lines if line.startswith("note")] == [f"note number {i}" for i in range(150)]
    assert len(lines) == 150 + 150 + 30, [line for line in lines if not line.startswith(("recover", "note", "printed"))]
