"""What components do to the process that they share with us: it costs their row at most, and the next one never sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from commands import MAIN, Done, cold, delt_host, python
from conftest import Install
from delt_host.basics.guard import GENERATORS, Guarded

pytestmark = pytest.mark.long

NAUGHTY = '''
import atexit, logging, os, random, signal, subprocess, sys, threading, time, typing, warnings
import numpy, torch
from delt_host import Evaluation, Evaluator, hookimpl

def deep():
    try:
        {}["key"]
    except KeyError as error:
        raise ValueError("no such layer") from error

def fails():
    1 / 0

def alarm():
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.1)

def lasting(mode):
    mode.__enter__()
    kept.append(mode)

def no_files():
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))

kept = []
DEEDS = {
    "nothing": lambda: None,
    "logs": lambda: logging.warning("ordinary"),
    "late": lambda: (os.environ.update(OF_LIBRARY="1"), sys.modules.update(a_library=sys)),
    "children": lambda: signal.signal(signal.SIGCHLD, lambda *_: None),
    "alarm": alarm,
    "inference": lambda: lasting(torch.inference_mode()),
    "autocast": lambda: lasting(torch.autocast("cpu", torch.bfloat16)),
    "backends": lambda: torch.backends.mkldnn.set_flags(False),
    "tf32": lambda: setattr(torch.backends.cudnn, "allow_tf32", not torch.backends.cudnn.allow_tf32),
    "numpy": lambda: numpy.seterr(all="raise"),
    "no files": no_files,
    "exit": lambda: sys.exit(0),
    "base": lambda: (_ for _ in ()).throw(BaseException("odd")),
    "stop": lambda: next(iter([])),
    "deep": deep,
    "print": lambda: (print("NOISE"), os.write(1, b"NATIVE"), subprocess.run(["echo", "CHILD"]), sys.__stdout__.write("X")),
    "folder": lambda: os.chdir("/"),
    "torch": lambda: (torch.set_num_threads(3), torch.set_default_dtype(torch.float64), torch.set_grad_enabled(False)),
    "draws": lambda: (torch.rand(1), random.random(), numpy.random.rand()),
    "warnings": lambda: warnings.simplefilter("error"),
    "signals": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    "environment": lambda: os.environ.update(NAUGHTY="1"),
    "closes": lambda: (sys.stdout.close(), os.close(1)),
    "forks": os.fork,
    "thread": lambda: (threading.Thread(target=fails).start(), time.sleep(0.1)),
    "endless": lambda: threading.Thread(target=lambda: time.sleep(10**6)).start(),
    "handler": lambda: atexit.register(fails),
}

class Naughty(Evaluator):
    """Does a deed."""
    do: str = "nothing"
    """Which."""
    per: typing.ClassVar[str] = "set"
    headline: typing.ClassVar[str] = "one"

    def evaluate(self, problem, distilled, taught):
        DEEDS[self.do]()
        return Evaluation({"one": 1.0}, {})

@hookimpl
def delt_evaluators():
    return {"naughty": Naughty}
'''
RUN = [
    "run", "-m", "random-real", "--no-controls", "--teacher", "none", "--regime", "hard", "--ipc", "1", "--seeds", "1",
    "--set", "dataset.image_size=8", "--evaluator", "naughty", "--json", "--out", "run",
]  # fmt: skip
SAID = {
    "folder": "changed the working folder; set back",
    "torch": "changed torch's number of threads, torch's default type and whether gradients are recorded; set back",
    "draws": "changed torch's global generator, numpy's global generator and random's global generator; set back",
    "warnings": "changed filters of warnings; set back",
    "signals": "changed handlers of signals; set back",
    "environment": "changed environment variables; set back",
    "closes": "changed where sys.stdout leads; set back",
    "forks": "forked came back to delt-host and was ended",
    "thread": "of evaluator naughty failed: ZeroDivisionError: division by zero (naughty.py, line ",
    "handler": "ZeroDivisionError: division by zero (naughty.py, line ",
    "print": "NATIVE",
}
SAID |= {
    "alarm": "changed handlers of signals; set back",
    "inference": "changed torch's inference mode",
    "autocast": "changed torch's autocast; set back",
    "backends": "changed torch's flags of backends; set back",
    "tf32": "changed whether cuDNN may use TF32; set back",
    "numpy": "changed numpy's handling of floating-point errors; set back",
}
FAILS = {
    "exit": "it called sys.exit(0) (naughty.py, line ",
    "base": "BaseException: odd (naughty.py, line ",
    "stop": "StopIteration (naughty.py, line ",
    "deep": "ValueError: no such layer (naughty.py, line 10)",
}


def run(install: Install, tmp_path: Path, deed: str, *more: str) -> Done:
    install("naughty", NAUGHTY)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    return delt_host(*more, *RUN, "--set", f"evaluator.do={deed}", cwd=tmp_path, env=environment)


@pytest.mark.parametrize("deed", [*SAID])
def test_what_a_component_changes_is_set_back_and_said_and_the_results_are_whole(
    install: Install, tmp_path: Path, deed: str
) -> None:
    done = run(install, tmp_path, deed)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["folder"].endswith("run"), "nothing else is on standard output"
    assert SAID[deed] in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "run" / "results.json").is_file()


@pytest.mark.parametrize("deed", ["nothing", "logs", "late", "children"])
def test_what_is_no_misdeed_is_not_told(install: Install, tmp_path: Path, deed: str) -> None:
    install("naughty", NAUGHTY)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    begin = cold if deed == "nothing" else python  # where scikit-learn is imported in the guard
    done = begin(*MAIN, *RUN, "--set", f"evaluator.do={deed}", cwd=tmp_path, env=environment)
    assert done.returncode == 0 and "set back" not in done.stderr, done.stderr


def test_without_files_left_a_command_ends_in_a_sentence(install: Install, tmp_path: Path) -> None:
    done = run(install, tmp_path, "no files")
    assert done.returncode == 1 and "delt-host: " in done.stderr and "Traceback" not in done.stderr


def test_what_was_not_known_before_is_not_compared() -> None:
    state: list[bytes | None] = [None]
    noted: list[str] = []
    setting = next(each for each in GENERATORS if each.name == "numpy's global generator")
    setting = setting._replace(get=lambda: state[0], put=lambda value: state.__setitem__(0, value))
    for now in (b"first", b"second"):
        with Guarded(lambda: "it", noted.append, (setting,)):
            state[0] = now
    assert noted == ["it changed numpy's global generator; set back"] and state == [b"first"]


@pytest.mark.parametrize("deed", [*FAILS])
def test_however_a_component_fails_it_costs_its_row_and_names_its_line(
    install: Install, tmp_path: Path, deed: str
) -> None:
    done = run(install, tmp_path, deed)
    assert done.returncode == 1 and json.loads(done.stdout)["scores"][0]["failure"]
    assert f"evaluator naughty of naughty 1.2 (naughty): {FAILS[deed]}" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_plugins_own_traceback_with_its_causes(install: Install, tmp_path: Path) -> None:
    said = run(install, tmp_path, "deep", "--debug").stderr
    assert "KeyError: 'key'" in said and "direct cause" in said and 'raise ValueError("no such layer")' in said
    assert "delt_host/" not in said.partition("direct cause")[2].partition("no such layer (")[0], "no frames of ours"


def test_a_thread_that_never_ends_does_not_keep_the_command(install: Install, tmp_path: Path) -> None:
    install("naughty", NAUGHTY)
    script = "from delt_host.cli import ending, main; ending.PATIENCE = ending.SILENCE = 0.3; main()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = python("-c", script, *RUN, "--set", "evaluator.do=endless", cwd=tmp_path, env=environment, timeout=60)
    assert done.returncode == 0 and json.loads(done.stdout)
    assert "waiting up to 0 s for thread" in done.stderr and "of evaluator naughty of naughty 1.2" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_nobody_has_to_wait_for_a_thread(install: Install, tmp_path: Path) -> None:
    install("naughty", NAUGHTY)
    script = "from delt_host.cli import ending, main; ending.SILENCE = 0.3; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-c", script, *RUN, "--set", "evaluator.do=endless"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=tmp_path, env=environment
    )
    assert process.stderr is not None
    assert any("waiting up to 30 s for thread" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "ended without waiting for thread" in errors and "KeyboardInterrupt" not in errors


@pytest.mark.parametrize("deed", ["import sys; sys.exit(0)", "print('NOISE')", "import os; os.chdir('/')"])
def test_a_plugin_that_misbehaves_when_it_is_imported_costs_itself_at_most(
    install: Install, tmp_path: Path, deed: str
) -> None:
    install("mine", f"{deed}\n{NAUGHTY}".replace("naughty", "mine"))
    done = delt_host("plugins", "--json", cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)})
    (plugin,) = (each for each in json.loads(done.stdout) if each["name"] == "mine")
    assert done.returncode == 0
    assert plugin["problem"] == ("it called sys.exit(0) (mine.py, line 1)" if "exit" in deed else "")


def test_the_machinery_leaves_the_process_of_its_caller_as_it_was(tmp_path: Path) -> None:
    script = """
import logging, os, random, signal, sys, threading, warnings
from pathlib import Path
import numpy, torch
from delt_host.stages.host import Host
from delt_host.contracts.observer import Observer
from delt_host.plugins.registry import load_registry
from delt_host.runs import folder
from delt_host.runs.set_folders import SetFolders
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.stages import story
from delt_host.store.store import Store
def seen():
    return (
        torch.get_num_threads(), os.getcwd(), sys.stdout, sys.stderr, dict(os.environ), list(warnings.filters),
        torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_rng_state().tolist(), random.getstate(),
        numpy.random.get_state()[1].tolist(), logging.root.level, list(logging.root.handlers),
        [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)], sys.excepthook, threading.excepthook,
        sys.unraisablehook, sys.path[:],
    )
calls = []
sys.addaudithook(lambda event, arguments: calls.append(event) if event == "sys.addaudithook" else None)
import ctypes
was = ctypes.CDLL.__getattr__
ctypes.CDLL.__getattr__ = lambda self, name: calls.append(name) or was(self, name)
registry = load_registry()
before = seen()
options = {"dataset.image_size": 8, "teacher.epochs": 1, "scheduler.iterations": 8, "protocol.epochs": 1}
experiment = resolve(Request(method=["delt"], ipc=1, seeds="1", set=options, control=[], regime=["hard"]), registry)
host = Host(registry, Store(Path("store")), Observer())
comparison = story.prepare_run(experiment, host)
Path("run").mkdir()
sets = SetFolders(Path("run").absolute(), ["delt"], host)
found = list(story.run(comparison, sets.add))
sets.write(folder.results_of(comparison, found))
assert not any(m.failure for m in found)
for one, other in zip(before, seen(), strict=True):
    assert one == other, (one, other)
assert "mallopt" not in calls and "sys.addaudithook" not in calls, calls
"""
    done = python("-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
