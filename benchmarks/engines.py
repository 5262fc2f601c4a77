"""What an engine costs beside the same run in one process, on the same cores. ``python benchmarks/engines.py``

SRe2L on digits of 16 px, in groups of a hundred images that take about a minute each. The whole command is timed, the start of
the cluster and of its workers and the way of all images included; the teacher is in every run's own store already.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file

from delt_host.basics.compute import Compute
from harness import machine, told

COMMAND = [sys.executable, "-c", "from delt_host.cli import main; main()", "run", "--method", "sre2l", "--no-controls"]
SETTINGS = ["--set", "dataset.image_size=16", "--set", "protocol.epochs=1", "--seeds", "1", "--stack", "1", "--quiet"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=2400, help="so that a group takes about a minute")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cores = torch.get_num_threads()
    runs = [
        ("local", cores, []),
        ("ray, one piece at a time", cores, ["--engine", "ray"]),
        ("local", 1, []),
        (f"ray, {cores} pieces at a time", 1, ["--engine", "ray"]),
    ]
    console, rows = Console(), []
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder) / "teacher"
        size = ["--ipc", str(arguments.groups * 10), "--set", f"scheduler.iterations={arguments.iterations}"]
        timed([*COMMAND, *SETTINGS, "--ipc", "1", "--set", "scheduler.iterations=1", "--store", str(shared)], folder)
        for name, threads, more in runs:
            store = Path(folder) / "store"
            shutil.copytree(shared / "squeeze", store / "squeeze")
            command = [*COMMAND, *SETTINGS, *size, *more, "--threads", str(threads), "--store", str(store)]
            rows.append({"engine": name, "threads": threads, "seconds": timed(command, folder), "images": made(store)})
            shutil.rmtree(store)
            console.print(rows[-1], highlight=False)
    table = Table()
    for heading in ("engine", "threads a piece", "seconds", "over local of 2 threads"):
        table.add_column(heading, justify="right")
    for row in rows:
        share = row["seconds"] / rows[0]["seconds"]
        table.add_row(row["engine"], str(row["threads"]), f"{row['seconds']:.0f}", f"{share:.2f}")
    about = machine(Compute.choose())
    console.print(told(about), table)
    for first, second in ((0, 1), (2, 3)):
        same = rows[first]["images"] == rows[second]["images"]
        console.print(f"{rows[first]['engine']} and {rows[second]['engine']}: {'the same' if same else 'other'} bytes")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": about, "runs": rows}, indent=1) + "\n")


def timed(command: list[str], folder: str) -> float:
    began = time.perf_counter()
    subprocess.run([*command, "--out", f"{folder}/run"], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(f"{folder}/run")
    return time.perf_counter() - began


def made(store: Path) -> str:
    """One checksum of all recovered images."""
    total = hashlib.sha256()
    for path in sorted(store.glob("recover/*")):
        for _, tensor in sorted(load_file(path).items()):
            total.update(tensor.numpy().tobytes())
    return total.hexdigest()[:16]


if __name__ == "__main__":
    main()
