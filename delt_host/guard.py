"""Components share our process. What they change of it, of themselves or by accident, is set back when they are done, and said.

Plugins are trusted as any installed package is: nothing is forbidden here. A run is protected from their mistakes: the next
component computes as if this one had never been there.
"""

from __future__ import annotations

import logging
import os
import pickle
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

import torch

from delt_host import traces


class Setting(NamedTuple):
    """Something that all code of a process shares."""

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], object]


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - as it is
    except FileNotFoundError:  # removed meanwhile
        return None


def _go(folder: str | None) -> None:
    if folder is not None:
        os.chdir(folder)


def _cuda() -> bytes:
    return pickle.dumps(torch.cuda.get_rng_state_all()) if torch.cuda.is_initialized() else b""


def _put_cuda(states: bytes) -> None:
    if states:
        torch.cuda.set_rng_state_all(pickle.loads(states))  # our own, of a moment ago


def _numpy() -> bytes:
    return pickle.dumps(sys.modules["numpy.random"].get_state(legacy=False)) if "numpy.random" in sys.modules else b""


def _put_numpy(state: bytes) -> None:
    if state:
        sys.modules["numpy.random"].set_state(pickle.loads(state))


def _put_device(name: str) -> None:
    torch.set_default_device(None if name == "cpu" else name)


def _flags() -> tuple[bool, ...]:
    cudnn = torch.backends.cudnn
    return cudnn.enabled, cudnn.benchmark, cudnn.deterministic, torch.is_anomaly_enabled()


def _put_flags(flags: tuple[bool, ...]) -> None:
    cudnn = torch.backends.cudnn
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic, anomaly = flags
    torch.autograd.set_detect_anomaly(anomaly)


SHARED = (
    Setting("the working folder", _folder, _go),
    Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
    Setting("torch's default type", torch.get_default_dtype, torch.set_default_dtype),
    Setting("torch's default device", lambda: str(torch.get_default_device()), _put_device),
    Setting("whether gradients are recorded", torch.is_grad_enabled, torch.set_grad_enabled),
    Setting("torch's deterministic mode", torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    Setting("torch's precision of products", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    Setting("torch's flags of backends", _flags, _put_flags),
    Setting(
        "torch's global generator",
        lambda: torch.random.get_rng_state().numpy().tobytes(),
        lambda state: torch.random.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8)),
    ),
    Setting("torch's global generators of GPUs", _cuda, _put_cuda),
    Setting("numpy's global generator", _numpy, _put_numpy),
    Setting("random's global generator", random.getstate, random.setstate),
    Setting("the limit of recursion", sys.getrecursionlimit, sys.setrecursionlimit),
)
"""What results depend on, and where files go."""


def _put_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _warnings() -> list[Any]:
    return list(warnings.filters)


def _put_warnings(before: list[Any]) -> None:
    with warnings.catch_warnings():
        pass  # on leaving, what was decided by other filters is forgotten
    warnings.filters[:] = before  # type: ignore[index]


def _signals() -> dict[int, Any]:
    watched = ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGCHLD", "SIGPIPE", "SIGUSR2")
    return {number: signal.getsignal(number) for name in watched if (number := getattr(signal, name, None)) is not None}


def _put_signals(before: dict[int, Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) != handler:  # None: set by native code
                signal.signal(number, handler)


def _put_logging(before: tuple[int, list[logging.Handler], int]) -> None:
    logging.root.setLevel(before[0])
    logging.root.handlers[:] = before[1]
    logging.disable(before[2])


def _attribute(where: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    return lambda: getattr(where, name), lambda value: setattr(where, name, value)


OWNED = (
    Setting("environment variables", lambda: dict(os.environ), _put_environment),
    Setting("filters of warnings", _warnings, _put_warnings),
    Setting("handlers of signals", _signals, _put_signals),
    Setting("sys.stdout", *_attribute(sys, "stdout")),
    Setting("sys.stderr", *_attribute(sys, "stderr")),
    Setting("sys.excepthook", *_attribute(sys, "excepthook")),
    Setting("threading.excepthook", *_attribute(threading, "excepthook")),
    Setting(
        "the root logger",
        lambda: (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        _put_logging,
    ),
)
"""What belongs to whoever started the process. Trackers and imports have reasons to change these, components have none."""


class Guarded:
    """Around the code of a component: what it changed of the process is set back, and `note` is told in one sentence.

    `whom` names it, and is asked only where there is something to say. An exception passes through.
    """

    def __init__(
        self, whom: Callable[[], str], note: Callable[[str], None], settings: tuple[Setting, ...] = (*SHARED, *OWNED)
    ) -> None:
        self.whom, self.note, self.settings = whom, note, settings

    def __enter__(self) -> None:
        self.process, self.modules = os.getpid(), len(sys.modules)
        self.threads = set(threading.enumerate())
        self.before = [setting.get() for setting in self.settings]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, found: TracebackType | None
    ) -> None:
        if os.getpid() != self.process:  # a process that it forked has come back: there must not be two of us
            _end_copy(self.whom(), error)
        changed: list[str] = []
        stopping = kind is not None and issubclass(kind, KeyboardInterrupt)
        for setting, before in zip(self.settings, self.before, strict=True):
            if stopping and setting.name == "handlers of signals":
                continue  # the second signal ends the process at once
            if setting.name == "filters of warnings":
                before = self._kept(before)
            try:
                if setting.get() != before:
                    setting.put(before)
                    changed.append(setting.name)
            except (OSError, ValueError, RuntimeError) as why:
                changed.append(f"{setting.name}, which cannot be set back ({why})")
        changed += traces.repair()
        for thread in set(threading.enumerate()) - self.threads:
            if not thread.daemon:
                traces.started[thread] = self.whom()
        if changed:
            self.note(f"{self.whom()} changed {_listed(changed)}; set back")

    def _kept(self, before: list[Any]) -> list[Any]:
        """The filters that stay: those that a library brought when it was imported name what they are for."""
        now = _warnings()
        if len(sys.modules) == self.modules or any(each not in now for each in before):
            return before
        return [each for each in now if each in before or each[1] or each[3]]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _end_copy(whom: str, error: BaseException | None) -> None:
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        code = 1
    said = f"note: a process that {whom} forked came back to delt-host and was ended; leave it with os._exit()\n"
    try:
        os.write(2, said.encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)
