"""Components share our process. What they change of it, as far as we look, is set back when they are done, and said.

Plugins are trusted as any installed package is: nothing is forbidden here. A run is protected from their mistakes: of
what results commonly depend on, the next component finds nothing that this one left.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import torch

from delt_host.basics import traces
from delt_host.basics.accelerator import accelerator, in_use, put_random_states, random_states
from delt_host.basics.errors import exit_code


class Setting(NamedTuple):
    """Something that all code of a process shares."""

    name: str
    get: Callable[[], Any]
    """None where it is not there yet, or cannot be told: then it stays as it is."""
    put: Callable[[Any], object]
    due: Callable[[Any, Any, bool], Any] = lambda before, _now, _imported: before
    """What it is to be afterwards, of what it was, what it is now, and whether modules were imported meanwhile."""


def _attributes(name: str, *places: tuple[Any, str]) -> Setting:
    """Attributes of modules, which are said to have changed under one name."""

    def put(values: list[Any]) -> None:
        for (where, attribute), value in zip(places, values, strict=True):
            setattr(where, attribute, value)

    return Setting(name, lambda: [getattr(where, attribute) for where, attribute in places], put)


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - as it is
    except FileNotFoundError:  # removed meanwhile
        return None


def _bytes(state: torch.Tensor) -> bytes:
    return state.numpy().tobytes()


def _state(content: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _numpy() -> list[Any]:
    name, *state = np.random.get_state()
    return [name, np.asarray(state[0]).tobytes(), *state[1:]]


def _put_numpy(state: list[Any]) -> None:
    np.random.set_state((state[0], np.frombuffer(state[1], dtype=np.uint32), *state[2:]))


def _tf32() -> bool | None:
    try:
        return torch.backends.cudnn.allow_tf32
    except RuntimeError:  # set for single operators, which it cannot tell
        return None


def _autocast() -> list[tuple[str, bool, torch.dtype]]:
    kinds = filter(torch.amp.is_autocast_available, ("cpu", accelerator() or "cuda"))
    return [(kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in kinds]


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


GENERATORS = (
    Setting(
        "torch's global generator",
        lambda: _bytes(torch.random.get_rng_state()),
        lambda state: torch.random.set_rng_state(_state(state)),
    ),
    Setting(
        "torch's global generators of accelerators",
        lambda: [*map(_bytes, random_states())] if in_use() else None,
        lambda states: put_random_states([*map(_state, states)]),
    ),
    Setting("numpy's global generator", _numpy, _put_numpy),
    Setting("random's global generator", random.getstate, random.setstate),
)
"""The global generators that draws come from by default: a component leaves them as they were."""
_cudnn, _mkldnn = torch.backends.cudnn, torch.backends.mkldnn
SHARED = (
    Setting("the working folder", _folder, os.chdir),
    Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
    Setting("torch's default type", torch.get_default_dtype, torch.set_default_dtype),
    Setting(
        "torch's default device",
        lambda: str(torch.get_default_device()),
        lambda name: torch.set_default_device(None if name == "cpu" else name),
    ),
    Setting("torch's inference mode", torch.is_inference_mode_enabled, _put_inference),  # which changes the next
    Setting("whether gradients are recorded", torch.is_grad_enabled, torch.set_grad_enabled),
    Setting("torch's autocast", _autocast, _put_autocast),
    Setting("torch's deterministic mode", torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    Setting("torch's precision of products", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    _attributes(
        "torch's flags of backends",
        *((_cudnn, "enabled"), (_cudnn, "benchmark"), (_cudnn, "deterministic"), (_mkldnn, "enabled")),
    ),
    Setting("torch's detection of anomalies", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    Setting("whether cuDNN may use TF32", _tf32, lambda allowed: setattr(_cudnn, "allow_tf32", allowed)),
    *GENERATORS,
    Setting("numpy's handling of floating-point errors", np.geterr, lambda before: np.seterr(**before)),
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


OF_IMPORTS = (
    Setting("filters of warnings", lambda: list(warnings.filters), _put_warnings, _due_warnings),
    Setting("handlers of signals", _signals, _put_signals),
    _attributes("sys.stdout", (sys, "stdout")),
)
"""Of what follows, that which importing a plugin has no reason to change either."""
OWNED = (
    Setting("environment variables", lambda: dict(os.environ), _put_environment, _due_environment),
    *OF_IMPORTS,
    _attributes("sys.stderr", (sys, "stderr")),
    _attributes("sys.excepthook", (sys, "excepthook")),
    _attributes("threading.excepthook", (threading, "excepthook")),
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
                if before is not None and now != (due := setting.due(before, now, imported)):
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
    code = exit_code(error) if isinstance(error, SystemExit) else int(error is not None)
    said = f"note: a process that {whom} forked came back to delt-host and was ended; leave it with os._exit()\n"
    try:
        os.write(2, said.encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)
