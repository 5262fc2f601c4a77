"""Components share our process. What they change of it, as far as we look, is set back when they are done, and said.

Plugins are trusted as any installed package is: nothing is forbidden here. A run is protected from their mistakes: of
what results commonly depend on, the next component finds nothing that this one left.
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
from typing import Any, NamedTuple, cast

import torch

from delt_host import traces


def _as_before(before: Any, _now: Any, _imported: bool) -> Any:
    return before


def _where_known(before: Any, now: Any, _imported: bool) -> Any:
    """What was not there yet, or cannot be told, is not compared."""
    return before if before and now else now


class Setting(NamedTuple):
    """Something that all code of a process shares."""

    name: str
    get: Callable[[], Any]
    put: Callable[[Any], object]
    due: Callable[[Any, Any, bool], Any] = _as_before
    """What it is to be afterwards, of what it was, what it is now, and whether modules were imported meanwhile."""


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
    cudnn, mkldnn = torch.backends.cudnn, bool(torch.backends.mkldnn.enabled)
    return cudnn.enabled, cudnn.benchmark, cudnn.deterministic, mkldnn, torch.is_anomaly_enabled()


def _put_flags(flags: tuple[bool, ...]) -> None:
    cudnn, mkldnn = torch.backends.cudnn, cast(Any, torch.backends.mkldnn)
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic, mkldnn.enabled, anomaly = flags
    torch.autograd.set_detect_anomaly(anomaly)


def _tf32() -> tuple[bool, ...]:
    try:
        return (torch.backends.cudnn.allow_tf32,)
    except RuntimeError:  # set for single operators, which it cannot tell
        return ()


def _put_tf32(allowed: tuple[bool, ...]) -> None:
    (torch.backends.cudnn.allow_tf32,) = allowed


def _autocast() -> list[tuple[str, bool, torch.dtype]]:
    return [(kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")]


def _put_autocast(before: list[tuple[str, bool, torch.dtype]]) -> None:
    for kind, enabled, dtype in before:
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)
    torch.clear_autocast_cache()


_modes: list[torch.inference_mode] = []
"""Entered for good: one that is given up would end."""


def _put_inference(enabled: bool) -> None:
    _modes.append(torch.inference_mode(enabled))
    _modes[-1].__enter__()


def _numpy_errors() -> dict[str, str]:
    return dict(sys.modules["numpy"].geterr()) if "numpy" in sys.modules else {}


def _put_numpy_errors(before: dict[str, str]) -> None:
    sys.modules["numpy"].seterr(**before)


GENERATORS = (
    Setting(
        "torch's global generator",
        lambda: torch.random.get_rng_state().numpy().tobytes(),
        lambda state: torch.random.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8)),
    ),
    Setting("torch's global generators of GPUs", _cuda, _put_cuda, _where_known),
    Setting("numpy's global generator", _numpy, _put_numpy, _where_known),
    Setting("random's global generator", random.getstate, random.setstate),
)
SHARED = (
    Setting("the working folder", _folder, _go),
    Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
    Setting("torch's default type", torch.get_default_dtype, torch.set_default_dtype),
    Setting("torch's default device", lambda: str(torch.get_default_device()), _put_device),
    Setting("torch's inference mode", torch.is_inference_mode_enabled, _put_inference),  # which changes the next
    Setting("whether gradients are recorded", torch.is_grad_enabled, torch.set_grad_enabled),
    Setting("torch's autocast", _autocast, _put_autocast),
    Setting("torch's deterministic mode", torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    Setting("torch's precision of products", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    Setting("torch's flags of backends", _flags, _put_flags),
    Setting("whether cuDNN may use TF32", _tf32, _put_tf32, lambda before, now, _imported: before or now),
    *GENERATORS,
    Setting("numpy's handling of floating-point errors", _numpy_errors, _put_numpy_errors, _where_known),
    Setting("the limit of recursion", sys.getrecursionlimit, sys.setrecursionlimit),
)
"""What results commonly depend on, and where files go."""


def _put_environment(due: dict[str, str]) -> None:
    for name in os.environ.keys() - due.keys():
        del os.environ[name]
    os.environ.update(due)


def _due_environment(before: dict[str, str], now: dict[str, str], imported: bool) -> dict[str, str]:
    """Libraries add variables when they are imported."""
    return {**now, **before} if imported else before


def _warnings() -> list[Any]:
    return list(warnings.filters)


def _put_warnings(due: list[Any]) -> None:
    with warnings.catch_warnings():
        pass  # on leaving, what was decided by other filters is forgotten
    warnings.filters[:] = due  # type: ignore[index]


def _due_warnings(before: list[Any], now: list[Any], imported: bool) -> list[Any]:
    """The filters that a library brings when it is imported stay: they name what they are for."""
    if not imported or any(each not in now for each in before):
        return before
    return [each for each in now if each in before or each[1] or each[3]]


def _signals() -> dict[int, Any]:
    watched = ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE", "SIGALRM")
    return {number: signal.getsignal(number) for name in watched if (number := getattr(signal, name, None)) is not None}


def _put_signals(before: dict[int, Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) != handler:  # None: set by native code
                if number == getattr(signal, "SIGALRM", None):
                    signal.setitimer(signal.ITIMER_REAL, 0)  # the former handler may be to end the process
                signal.signal(number, handler)


_Logging = tuple[int, int, list[logging.Handler]]


def _logging() -> _Logging:
    return logging.root.level, logging.root.manager.disable, list(logging.root.handlers)


def _put_logging(before: _Logging) -> None:
    logging.root.setLevel(before[0])
    logging.disable(before[1])
    logging.root.handlers[:] = before[2]


def _due_logging(before: _Logging, now: _Logging, _imported: bool) -> _Logging:
    """`logging.warning` itself adds a handler where there is none."""
    return now if not before[2] and before[:2] == now[:2] else before


def _attribute(where: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    return lambda: getattr(where, name), lambda value: setattr(where, name, value)


OF_IMPORTS = (
    Setting("filters of warnings", _warnings, _put_warnings, _due_warnings),
    Setting("handlers of signals", _signals, _put_signals),
    Setting("sys.stdout", *_attribute(sys, "stdout")),
)
"""Of what follows, that which importing a plugin has no reason to change either."""
OWNED = (
    Setting("environment variables", lambda: dict(os.environ), _put_environment, _due_environment),
    *OF_IMPORTS,
    Setting("sys.stderr", *_attribute(sys, "stderr")),
    Setting("sys.excepthook", *_attribute(sys, "excepthook")),
    Setting("threading.excepthook", *_attribute(threading, "excepthook")),
    Setting("the root logger", _logging, _put_logging, _due_logging),
)
"""What belongs to whoever started the process. Trackers and imports have reasons to change these, components have none."""


class Guarded:
    """Around the code of a component: what it changed of the process is set back, and `note` is told in one sentence.

    `whom` names it, and is asked only where there is something to say. An exception passes through; where the component kept
    an interruption to itself, or made another exception of it, that is raised again.
    """

    changed: list[str]
    """What the last block changed, by the names of settings."""

    def __init__(
        self, whom: Callable[[], str], note: Callable[[str], None], settings: tuple[Setting, ...] = (*SHARED, *OWNED)
    ) -> None:
        self.whom, self.note, self.settings = whom, note, settings

    def __enter__(self) -> None:
        self.process, self.modules = os.getpid(), len(sys.modules)
        self.stopped = traces.interruption() is not None
        self.threads = set(threading.enumerate())
        self.before = [setting.get() for setting in self.settings]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, found: TracebackType | None
    ) -> None:
        if os.getpid() != self.process:  # a process that it forked has come back: there must not be two of us
            _end_copy(self.whom(), error)
        interruption = None if self.stopped else traces.interruption()
        stopping = interruption is not None or isinstance(error, KeyboardInterrupt)
        imported = len(sys.modules) != self.modules
        self.changed = []
        for setting, before in zip(self.settings, self.before, strict=True):
            if stopping and setting.name == "handlers of signals":
                continue  # the second signal ends the process at once
            try:
                now = setting.get()
                if now != (due := setting.due(before, now, imported)):
                    setting.put(due)
                    self.changed.append(setting.name)
            except (OSError, ValueError, RuntimeError) as why:
                self.changed.append(f"{setting.name}, which cannot be set back ({why})")
        self.changed += traces.repair()
        for thread in set(threading.enumerate()) - self.threads:
            if not thread.daemon:
                traces.started[thread] = self.whom()
        if self.changed:
            self.note(f"{self.whom()} changed {_listed(self.changed)}; set back")
        if interruption is not None and not isinstance(error, KeyboardInterrupt):
            raise interruption


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
