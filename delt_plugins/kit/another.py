"""The same component in another process, with another seed of hashes and another working folder: the same bits, or it depends
on the order of sets, on addresses, on the time or on who is asked.

One process imports torch once, and forks for each component that it is asked about. It is our own child, and what it reads we
wrote a moment ago into a folder that nobody else may enter: a component is handed over pickled, as multiprocessing does it.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import pickle
import random
import subprocess
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from delt_host import Problem, Services
from delt_host.workshop import loose_files, modules_of, sentence
from delt_plugins.kit.guard import digests

HASHES = "20731"  # another order of sets than whoever asks has, who may have any but this one
OTHER_HASHES = "20732"


def in_another_process(
    contract: str, thing: Any, problem: Problem, then: Problem | None = None
) -> dict[str, Any] | None:
    """`digests` of what the `results` of the module `contract` are there, or `error`, and `after`, those of the problem `then`.

    `unseen`: modules that it imported meanwhile and that no key looks at. None, with a warning, where the class cannot be
    imported there: it was made in a notebook's cell.
    """
    name = thing.__name__ if hasattr(thing, "__name__") else type(thing).__name__
    try:
        both = [each and replace(each, services=Services(None)) for each in (problem, then)]
        asked = pickle.dumps((contract, thing, *both))
    except Exception as error:
        _skipped(name, sentence(error))
        return None
    home = (thing if hasattr(thing, "__qualname__") else type(thing)).__module__
    if home == "__main__":
        _skipped(name, "it is defined in a cell or a script")
        return None
    path = [str(Path(place).absolute()) for place in sys.path]
    with tempfile.TemporaryDirectory() as folder:
        request = {"path": path, "threads": torch.get_num_threads(), "asked": asked, "file": loose_files.place_of(home)}
        (Path(folder) / "request").write_bytes(pickle.dumps(request))
        server = _server()
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(f"{folder}\n")
        server.stdin.flush()
        server.stdout.readline()
        file = Path(folder) / "answer"
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"error": "it ends the process"}
    if "cannot" in found:
        _skipped(name, found["cannot"])
        return None
    return found


def _skipped(name: str, why: str) -> None:
    warnings.warn(f"{name} is not tried in a second process: {why}", stacklevel=4)


@functools.cache
def _server() -> subprocess.Popen[str]:
    hashes = OTHER_HASHES if os.environ.get("PYTHONHASHSEED") == HASHES else HASHES
    environment = {
        **os.environ,
        "PYTHONHASHSEED": hashes,
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
    }
    server = subprocess.Popen(
        [sys.executable, "-c", "from delt_plugins.kit.another import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tempfile.gettempdir(),
        env=environment,
    )
    atexit.register(server.kill)
    return server


def serve() -> None:
    """Answer until nobody asks any more."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        if child := os.fork():
            os.waitpid(child, 0)
            print("done", file=answers, flush=True)
            continue
        try:
            _answer(Path(line.strip()))
        finally:
            os._exit(0)


def _answer(folder: Path) -> None:
    request = pickle.loads((folder / "request").read_bytes())
    sys.path[:] = request["path"]
    torch.set_num_threads(request["threads"])
    os.chdir(folder)
    found: dict[str, Any]
    try:
        if request["file"]:
            loose_files.load(*request["file"])
        contract, thing, problem, then = pickle.loads(request["asked"])
    except BaseException as error:
        found = {"cannot": sentence(error)}
    else:
        before = set(sys.modules)
        torch.manual_seed(1)  # who draws from the global generators draws something else here
        np.random.seed(1)
        random.seed(1)
        try:
            results = importlib.import_module(contract).results
            found = {"digests": digests(results(thing, problem))}
            if then is not None:
                found["after"] = digests(results(thing, then))
        except BaseException as error:
            found = {"error": sentence(error)}
        helpers = set(filter(_is_a_helper, set(sys.modules) - before))
        seen = modules_of(thing if hasattr(thing, "__qualname__") else type(thing)) if helpers else frozenset()
        found["unseen"] = sorted(helpers - seen)
    (folder / "writing").write_text(json.dumps(found))
    (folder / "writing").rename(folder / "answer")


def _is_a_helper(name: str) -> bool:
    """Whether a module is no library's."""
    file = getattr(sys.modules[name], "__file__", None) or ""
    library = {"site-packages", "dist-packages"} & set(Path(file).parts) or Path(os.__file__).parent in Path(
        file
    ).parents
    return bool(file) and not library and name.partition(".")[0] != "delt_host"
