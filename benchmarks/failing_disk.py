"""Every write of a run failed once: `make failing-disk`.

A run goes over a finished one of the same recipe, whose images are others, with an empty store. Then again and again, each
time with another of its system calls failing that change files (`failing_disk.c`): by turns because the disk is full or broken,
once or from then on. Each time the command must end with a sentence, or go on with a note; the former run, or the new one, must
be whole; and the same command must then finish with the scores of a run that met no failure. Linux with gcc.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

SMALL = [
    "run", "-m", "delt", "-b", "random-real", "--ipc", "1", "--seeds", "1", "--no-controls", "--regime", "views", "-q",
    "--set", "dataset.image_size=8", "--set", "scheduler.iterations=8", "--set", "protocol.epochs=1",
    "--set", "teacher.epochs=1", "--precision", "fp32", "--threads", "1", "--checkpoint-every", "0",
]  # fmt: skip
SAYS = ("delt-host: ", "note", "failed", "finished so far")


@dataclass(frozen=True)
class Failure:
    """Which system call fails, and how."""

    nth: int
    code: int
    stays: bool

    def __str__(self) -> str:
        return f"call {self.nth}, {errno.errorcode[self.code]} {'from then on' if self.stays else 'once'}"


def command(place: Path, failure: Failure | None, former: bool = False) -> int:
    """The run as a process of its own, forked; what it says is in `out` and `err`. Its exit code."""
    if (pid := os.fork()) == 0:
        code = 70
        try:
            code = _run(place, failure, former)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _run(place: Path, failure: Failure | None, former: bool) -> int:
    from delt_host.basics import seeding
    from delt_host.cli import main

    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(place.with_suffix(f".{name}"), os.O_CREAT | os.O_TRUNC | os.O_WRONLY), number)
    sys.argv = ["delt-host", *SMALL, "--out", str(place / "run"), "--store", str(place / "store")]
    lib, log = ctypes.CDLL(None), str(place.with_suffix(".calls")).encode()
    nth, code, stays = (failure.nth, failure.code, failure.stays) if failure else (0, 0, False)
    lib.failing_disk(f"{place}/".encode(), ctypes.c_long(nth), code, int(stays), log)
    real = seeding.seed_for
    other = (lambda seed, *more: real(seed + 1, *more)) if former else real  # other code: other images
    try:
        with mock.patch.object(seeding, "seed_for", other):
            main()
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        return int(end.code or 0)
    sys.stdout.flush()
    return 0


def found(place: Path) -> tuple[object, object]:
    """The scores and the sets' fingerprints of a finished run, all of it read as its readers do."""
    from delt_host.contracts.results import read_results
    from delt_host.runs.saved_sets import SavedSets
    from delt_plugins.report.formats import render

    run = place / "run"
    results = read_results(run)
    render([run], "markdown")
    for each in results.sets:
        SavedSets(run).read(each.row, each.set)
    return [(s.row, s.scores) for s in results.scores], [(s.row, s.fingerprint) for s in results.sets]


def judged(place: Path, failure: Failure, before: Path, expected: dict[str, object]) -> Iterator[str]:
    """What went wrong; the kind of end that the command came to is left in `place.end`."""
    shutil.copytree(before, place / "run")
    code = command(place, failure)
    said = place.with_suffix(".err").read_text()
    call = next((line for line in place.with_suffix(".calls").read_text().splitlines() if line.endswith("FAILS")), "")
    place.with_suffix(".end").write_text(f"{'went on' if code == 0 else 'one sentence'}|{call}")
    if not call:
        return
    if "Traceback" in said or "defect" in said or code not in (0, 1, 2):
        yield f"ended with {code} and: {said[-600:]}"
    if code and not said.startswith(SAYS):
        yield f"said: {said[-300:]}"
    try:
        there = found(place)
        if there not in (expected["former"], expected["new"]):
            yield "left neither the former run nor the new one"
        if code == 0 and there != expected["new"]:
            yield "said that all is well, and the new run is not there"
    except Exception as error:
        yield f"left what cannot be read: {type(error).__name__}: {error}"
    if (code := command(place, None)) != 0:
        yield f"then did not go on: {code}, {place.with_suffix('.err').read_text()[-300:]}"
    elif found(place) != expected["new"]:
        yield "then went on to other results"
    elif stray := list((place / "run").rglob(".writing-*")):
        yield f"left {stray}"


def tried(root: Path, failure: Failure, before: Path, expected: dict[str, object]) -> tuple[str, list[str]]:
    """How the command ended, and what went wrong, in sentences."""
    place = root / f"n{failure.nth}"
    place.mkdir()
    wrong = list(judged(place, failure, before, expected))
    kind, _, call = place.with_suffix(".end").read_text().partition("|")
    wrong = [f"{failure}, {call}: {each}" for each in wrong]
    for each in wrong:
        print(f"WRONG {each}", flush=True)
    shutil.rmtree(place)
    return kind if call else "not reached", wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="only every so manieth call")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="write the counts here")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if "failing_disk" not in os.environ.get("LD_PRELOAD", ""):
            library = root / "failing_disk.so"
            source = Path(__file__).with_suffix(".c")
            subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
            sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
            from commands import ONE_THREAD

            environment = {**os.environ, **ONE_THREAD, "LD_PRELOAD": str(library)}
            return subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode
        return all_of(root, asked)


def all_of(root: Path, asked: argparse.Namespace) -> int:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from forkserver import preload

    preload()
    expected: dict[str, object] = {}
    for name in ("former", "new"):
        place = root / name
        place.mkdir()
        if name == "new":
            shutil.copytree(root / "former" / "run", place / "run")
        assert command(place, None, former=name == "former") == 0, place.with_suffix(".err").read_text()
        expected[name] = found(place)
    assert expected["former"] != expected["new"], "the former run should have other images"
    total = len((root / "new.calls").read_text().splitlines())
    kinds = [(errno.ENOSPC, True), (errno.EIO, False), (errno.EIO, True), (errno.ENOSPC, False)]
    failures = [Failure(nth, *kinds[nth % 4]) for nth in range(1, total + 1, asked.every)]
    print(f"{total} system calls change files; {len(failures)} of them fail, one a run", flush=True)
    ends, wrong = Counter[str](), list[str]()
    workers = []
    for number in range(asked.processes):
        if (pid := os.fork()) == 0:
            with (root / f"{number}.jsonl").open("w") as file:
                for each in failures[number :: asked.processes]:
                    print(json.dumps(tried(root, each, root / "former" / "run", expected)), file=file, flush=True)
            os._exit(0)
        workers.append(pid)
    for pid in workers:
        os.waitpid(pid, 0)
    for number in range(asked.processes):
        for line in (root / f"{number}.jsonl").read_text().splitlines():
            end, said = json.loads(line)
            ends[end] += 1
            wrong += said
    assert ends.total() == len(failures), "a worker has died"
    print(json.dumps({"calls": total, "failed": len(failures), "ends": ends, "wrong": len(wrong)}))
    if asked.json:
        asked.json.write_text(
            json.dumps({"calls": total, "failed": len(failures), "ends": ends, "wrong": wrong}, indent=1)
        )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
