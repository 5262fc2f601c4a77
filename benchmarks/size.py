"""Memory and bytes of sets of photographs' size: ``python benchmarks/size.py FOLDER`` prints what stages take at their peaks.

The data are those of `size_data.py`: 1,000 classes, 50 images of 224 px each; the teacher is `tiny_network.py`'s after two
epochs. Both are made once, in FOLDER. Then each method runs in a process of its own, over a store of its own: the steps of
a run in their order, with the set in a run's folder once it is made, and the peak of resident memory of every stage.

At IPC 10 the whole run under two seeds; at IPC 50 one seed to the labels, without students.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
METHODS = ("random-real", "rded", "delt")
NETWORK = f"{HERE / 'tiny_network.py'}:tiny"
WITHOUT_STUDENTS = 50
"""IPC from which on no student is trained."""


def told(name: str) -> int:
    """Bytes of resident memory of this process: `VmRSS` now, `VmHWM` at the peak since it was last forgotten."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def size_of(folder: Path) -> int:
    """Of all files in it, without what is index or lock."""
    return sum(
        file.stat().st_size
        for file in folder.rglob("*")
        if file.is_file() and file.relative_to(folder).parts[0] not in ("index", ".locks")
    )


def one(folder: Path, method: str, ipc: int, seeds: int) -> dict[str, Any]:
    """In this process: the peaks of stages, memory after each seed, and bytes said and kept."""
    from delt_host.basics.compute import own_process
    from delt_host.contracts.observer import Observer
    from delt_host.experiment.request import Request
    from delt_host.experiment.resolve import resolve
    from delt_host.plugins.registry import load_registry
    from delt_host.runs.set_folders import SetFolders
    from delt_host.stages import estimate, story
    from delt_host.stages.host import Host
    from delt_host.stages.step import bunches, do
    from delt_host.stages.stopwatch import Stopwatch
    from delt_host.store.store import Store

    own_process(None)
    options: dict[str, Any] = {"dataset.image_size": 224, "protocol.epochs": 2}
    if method not in ("random-real", "rded"):
        options["scheduler.iterations"] = 8
    request = Request.model_validate(
        {
            "method": [method], "control": [], "ipc": ipc, "seeds": seeds, "regime": ["views"],
            "dataset": f"folder:{folder / 'data'}", "teacher": [{"file": str(folder / "teacher.safetensors")}],
            "student": [NETWORK], "set": options,
        }
    )  # fmt: skip
    store, run = folder / f"store-{method}-{ipc}", folder / f"run-{method}-{ipc}"
    for place in (store, run):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    if (folder / "index").is_dir():  # of the data, once for all
        shutil.copytree(folder / "index", store / "index")
    registry = load_registry()
    experiment = resolve(request, registry)
    host = Host(registry, Store(store), Observer())
    comparison = story.prepare_run(experiment, host)
    shutil.copytree(store / "index", folder / "index", dirs_exist_ok=True)
    sets = SetFolders(run, [row.label for row in story.rows_of(experiment)], host)
    before, said = size_of(store), sum(each.bytes for each in estimate.plan_run(comparison, Stopwatch(limit=1.0)))
    peaks, seconds_of, after = defaultdict[str, int](int), defaultdict[str, float](float), list[int]()
    start = told("VmRSS")
    for course in comparison.courses():
        if course.failure is not None:
            raise course.failure
        for bunch in bunches(course.steps):
            stage = bunch[0].stage
            if stage == "evaluate" and ipc >= WITHOUT_STUDENTS:
                continue
            forget_peak()
            began = os.times().elapsed
            do(bunch)
            if stage == "finish":
                sets.add(course)
            seconds_of[stage] += os.times().elapsed - began
            peaks[stage] = max(peaks[stage], told("VmHWM"))
        course.let_go()
        after.append(told("VmRSS"))
    return {
        "method": method, "ipc": ipc, "before": start, "peaks": dict(peaks), "seconds": dict(seconds_of), "after": after,
        "said": said, "kept": size_of(store) - before,
        "folder_said": estimate.folder_bytes(comparison), "folder": size_of(run),
    }  # fmt: skip


def prepare(folder: Path) -> None:
    """Data and teacher, unless they are there."""
    subprocess.run([sys.executable, HERE / "size_data.py", folder / "data"], check=True)
    if not (teacher := folder / "teacher.safetensors").is_file():
        words = ["squeeze", "--dataset", f"folder:{folder / 'data'}", "--teacher", NETWORK, "--out", str(teacher)]
        words += ["--set", "dataset.image_size=224", "--set", "teacher.epochs=2", "--store", str(folder / "store")]
        subprocess.run([sys.executable, "-c", "from delt_host.cli import main; main()", *words], check=True)


def line(found: dict[str, Any]) -> str:
    peaks = ", ".join(f"{stage} {peak / 2**30:.2f}" for stage, peak in found["peaks"].items())
    after = found["after"]
    growth = ", ".join(f"{(later - sooner) / 2**20:+.0f}" for sooner, later in itertools.pairwise(after))
    return (
        f"{found['method']}, IPC {found['ipc']}: at most {max(found['peaks'].values()) / 2**30:.2f} GiB "
        f"(before the rows {found['before'] / 2**30:.2f}; {peaks}); "
        + f"from seed to seed {growth} MiB; "
        * bool(growth)
        + f"kept {found['kept'] / 1e6:,.0f} MB, said {found['said'] / 1e6:,.0f} MB "
        f"({found['said'] / max(found['kept'], 1):.2f}); run's folder {found['folder'] / 1e6:,.0f} MB, said "
        f"{found['folder_said'] / 1e6:,.0f} MB ({found['folder_said'] / max(found['folder'], 1):.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--method", nargs="+", default=METHODS)
    parser.add_argument("--ipc", type=int, nargs="+", default=[10, WITHOUT_STUDENTS])
    parser.add_argument("--seeds", type=int, default=2, help="at an IPC with students")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    if arguments.one:
        (method,), (ipc,) = arguments.method, arguments.ipc
        print(json.dumps(one(folder, method, ipc, arguments.seeds)))
        return
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder)
    figures = []
    for ipc in arguments.ipc:
        for method in arguments.method:
            seeds = 1 if ipc >= WITHOUT_STUDENTS else arguments.seeds
            words = [sys.executable, __file__, str(folder), "--one", "--method", method, "--ipc", str(ipc)]
            done = subprocess.run([*words, "--seeds", str(seeds)], check=True, stdout=subprocess.PIPE, text=True)
            figures.append(json.loads(done.stdout.splitlines()[-1]))
            print(line(figures[-1]), flush=True)
            for what in ("store", "run"):
                shutil.rmtree(folder / f"{what}-{method}-{ipc}", ignore_errors=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
