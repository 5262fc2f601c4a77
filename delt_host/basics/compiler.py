"""The C++ compiler of this machine, and libraries that are compiled once for it and kept in the user's cache folder."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from delt_host.basics.errors import InputError

FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC")
"""No ``-ffast-math``: numbers that are none stay so, and sums keep their order."""
WHOLE_VECTORS = "-mprefer-vector-width=512"
"""Where a processor has these; compilers take half of them by themselves, in which the operator takes a third longer."""
ADVICE = "install g++ 9 or newer, or name one in CXX, or leave --compile out"


took: dict[str, float] = {}
"""Seconds that each source has taken to compile in this process; none where it was kept."""


def command() -> list[str]:
    """What is called to compile C++: what `CXX` says, or g++. InputError where there is none."""
    words = shlex.split(os.environ.get("CXX", "")) or ["g++"]
    if sys.platform != "linux":
        raise InputError(f"--compile works on Linux alone, and this is {sys.platform}: leave it out")
    if shutil.which(words[0]) is None:
        raise InputError(f"--compile needs a C++ compiler, and there is no {words[0]} here: {ADVICE}")
    return words


@functools.cache
def library(source: str) -> ctypes.CDLL:
    """The library of a C++ file beside this one, compiled now where it is not kept, which takes seconds.

    It is kept by its text, the compiler, the processor and torch's version; two processes that compile it at once both have
    it. InputError where there is no compiler, or it or the folder fails.
    """
    path, compiler = Path(__file__).with_name(source), command()
    # What is predefined tells compiler, its version, and the instructions of this processor.
    about = _output([*compiler, "-march=native", "-E", "-dM", "-x", "c++", os.devnull])
    flags = (*FLAGS, WHOLE_VECTORS) if b"__AVX512F__" in about else FLAGS
    # torch has OpenMP in the process already, and one more would have threads of its own.
    shared = hasattr(ctypes.CDLL(None), "GOMP_parallel")
    words = " ".join([*compiler, *flags, torch.__version__, str(shared)]).encode()
    key = hashlib.sha256(b"\0".join([path.read_bytes(), about, words])).hexdigest()[:20]
    kept = _folder() / f"{path.stem}-{key}.so"
    try:
        if not kept.is_file():
            began = time.perf_counter()
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(dir=kept.parent) as beside:
                parts, whole = Path(beside, "parts.o"), Path(beside, "whole.so")
                _output([*compiler, *flags, "-c", str(path), "-o", str(parts)])
                _output([*compiler, "-shared", *([] if shared else ["-fopenmp"]), str(parts), "-o", str(whole)])
                whole.replace(kept)
            took[source] = time.perf_counter() - began
    except OSError as error:
        raise InputError(
            f"--compile cannot keep what it compiled at {kept}: {error}; set XDG_CACHE_HOME to a folder that can be "
            "written to, or leave --compile out"
        ) from None
    try:
        return ctypes.CDLL(str(kept))
    except OSError as error:
        raise InputError(
            f"--compile cannot load {kept}, which it compiled: {error}; remove it, or leave --compile out"
        ) from None


def source_digest(source: str) -> str:
    """Of a C++ file beside this one: a part of keys."""
    return hashlib.sha256(Path(__file__).with_name(source).read_bytes()).hexdigest()[:12]


def _folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "delt-host-compiled"


def _output(words: list[str]) -> bytes:
    done = subprocess.run(words, capture_output=True)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = next((line for line in said if "error" in line), said[-1] if said else f"exit code {done.returncode}")
        raise InputError(f"--compile: {words[0]} failed ({why}): {ADVICE}")
    return done.stdout
