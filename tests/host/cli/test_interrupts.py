"""Told to stop, a command prints what is finished and leaves nothing that claims to be whole; the table comes first anyway."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from commands import MAIN, Process, cold, delt_host, start
from conftest import SQUEEZED
from delt_host.basics.errors import RunError
from delt_host.cli import cli
from delt_host.contracts.results import read_results
from delt_host.runs import folder
from delt_plugins.report import page

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

SHORT = ["--ipc", "1", "--seeds", "1", "--no-controls", "--regime", "hard", *SQUEEZED, "--set", "protocol.epochs=1"]
ENDLESS = ["run", "-m", "random-real", "-b", "delt,scheduler.iterations=800000", *SHORT, "--out", "made"]


def told(process: Process, line: str) -> None:
    """Wait until it says that."""
    assert process.stderr is not None
    for each in process.stderr:
        if line in each:
            return
    raise AssertionError(f"it never said {line!r}")


def ended(process: Process) -> tuple[int | None, str, str]:
    out, errors = process.communicate(timeout=60)
    return process.returncode, out, errors


@pytest.mark.usefixtures("with_teacher")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_prints_what_is_finished(tmp_path: Path, number: signal.Signals, code: int) -> None:
    process = start(*MAIN, *ENDLESS, cwd=tmp_path)
    told(process, "initialize delt")
    time.sleep(0.5)
    process.send_signal(number)
    returned, out, errors = ended(process)
    assert returned == code, errors
    assert "random-real" in out and "top1" in out.replace("top-1", "top1")
    assert (
        "finished so far:" in errors and "the same command goes on from there" in errors and "Traceback" not in errors
    )
    left = {path.relative_to(tmp_path / "made").as_posix() for path in (tmp_path / "made").glob("*/*/*.safetensors")}
    assert left == {f"random-real/seed-0/{name}.safetensors" for name in ("distilled", "history")}, "as it was made"
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["experiment.toml", "random-real"]
    assert "unfinished" in delt_host("runs", ".", cwd=tmp_path).stdout


def test_an_interrupted_evaluation_prints_what_is_finished(small_run: Path, tmp_path: Path) -> None:
    asked = ["evaluate", "made", "-e", "cost", "-e", "student", "--regime", "hard", "--set", "protocol.epochs=100000"]
    process = start(*MAIN, *asked, cwd=tmp_path)
    told(process, "evaluate delt")
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    returned, out, errors = ended(process)
    assert returned == 143 and "finished so far:" in errors and "cost" in out, errors
    assert not (small_run / "evaluations/cost-student/results.json").exists()


def test_the_second_signal_ends_the_process_whatever_it_does(tmp_path: Path) -> None:
    code = (
        "import time; from delt_host.cli.interrupt import interruptible\n"
        "with interruptible():\n"
        "  while True:\n"
        "    try:\n      print('up', flush=True); time.sleep(600)\n"
        "    except BaseException: pass"
    )
    process = start("-c", code, cwd=tmp_path)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == -signal.SIGINT


@pytest.mark.parametrize("handling", ["pass", "raise RuntimeError('stopped')"])
def test_an_interruption_that_a_component_keeps_to_itself_is_raised_again(tmp_path: Path, handling: str) -> None:
    code = (
        "import os, signal; from delt_host.cli.interrupt import Interrupted, interruptible\n"
        "from delt_host.basics.guard import Guarded\n"
        "try:\n"
        "  with interruptible(), Guarded(lambda: 'it', print):\n"
        "    try: os.kill(os.getpid(), signal.SIGTERM)\n"
        f"    except KeyboardInterrupt: {handling}\n"
        "except Interrupted as error: print(error.code)\n"
        "with interruptible(), Guarded(lambda: 'it', print): print('on')"
    )
    assert ended(start("-c", code, cwd=tmp_path))[:2] == (0, "143\non\n")


def test_the_cursor_is_there_after_the_second_signal(tmp_path: Path) -> None:
    import pty

    code = (
        "import os, signal; from delt_host.cli.interrupt import interruptible\n"
        "with interruptible():\n"
        "  os.write(2, b'\\x1b[?25l')\n"
        "  for _ in range(2):\n"
        "    try: os.kill(os.getpid(), signal.SIGINT)\n"
        "    except BaseException: pass"
    )
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    done = subprocess.run([sys.executable, "-c", code], stderr=theirs, env=environment, check=False, timeout=60)
    said = os.read(ours, 1000)
    os.close(ours), os.close(theirs)
    assert done.returncode == -signal.SIGINT and said.rfind(b"\x1b[?25h") > said.rfind(b"\x1b[?25l") >= 0


def test_signals_that_were_ignored_stay_so(tmp_path: Path) -> None:
    """As under nohup, or in a shell's background."""
    code = (
        "import os, signal; from delt_host.cli.interrupt import interruptible\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "with interruptible():\n  os.kill(os.getpid(), signal.SIGINT)\n  print('alive')"
    )
    done = start("-c", code, cwd=tmp_path)
    assert ended(done)[:2] == (0, "alive\n")


# The table first.

TINY = ["run", "-m", "random-real", "--teacher", "none", *SHORT[:7], "--set", "dataset.image_size=8", "-q"]


def test_a_page_or_a_picture_that_fails_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("no such backend")

    monkeypatch.setattr(page, "render_page", fails)
    monkeypatch.setattr(folder, "to_pil_image", fails)
    for arguments in ([], ["--json"]):
        done = CliRunner().invoke(cli, [*TINY, "--out", "made", *arguments], catch_exceptions=False)
        assert done.exit_code == 0 and "random-real" in done.stdout
        assert "note: there is no report of delt-host" in done.stderr and "ValueError: no such backend" in done.stderr
        assert "report.html" not in done.stdout
        assert done.stdout.startswith("{") is bool(arguments)
    (record,) = read_results(tmp_path / "made").sets
    assert {path.name for path in (tmp_path / "made" / record.folder).iterdir()} == {
        "distilled.safetensors", "history.safetensors",
    }  # fmt: skip


def test_a_table_that_cannot_be_written_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("delt_host.contracts.results.Results.write", full)
    done = CliRunner().invoke(cli, [*TINY, "--out", "made"])
    assert isinstance(done.exception, RunError) and "No space left on device" in str(done.exception)
    assert "random-real" in done.stdout and not (tmp_path / "made" / "results.json").exists()


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense"])
def test_figures_need_no_window_and_no_backend(backend: str) -> None:
    code = (
        "import os, sys; from delt_plugins.report.svg import drawing; from delt_plugins.report.figures import swatch\n"
        "with drawing(): assert '<svg' in swatch(1)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        f"assert os.environ['MPLBACKEND'] == {backend!r}"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    done = cold("-c", code, env={**environment, "MPLBACKEND": backend})
    assert done.returncode == 0, done.stderr
    assert sys.executable
