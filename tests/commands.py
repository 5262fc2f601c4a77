"""Processes as a user's: the command line, and Python with a script. On Linux they are forked from a server (forkserver.py)
that has imported everything; elsewhere, and where `cold` is asked for, each starts an interpreter of its own.
"""

from __future__ import annotations

import atexit
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of a job in the background, and of all that it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)

MAIN = ("-c", "from delt_host.cli import main; main()")
"""What the console script does."""
COLD = (sys.platform != "linux") or bool(os.environ.get("DELT_HOST_TESTS_COLD"))

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow's, which scikit-learn and datasets import
}
"""Of several threads a forked process would have but one. Commands say how many they want themselves."""

SERVER = "DELT_HOST_TESTS_SERVER"
"""The variable that tells `interpreter` the number of the server's socket."""

Folder = str | os.PathLike[str] | None
Done = subprocess.CompletedProcess[str]


def delt_host(
    *arguments: object, cwd: Folder = None, env: Mapping[str, str] | None = None, timeout: float = 300
) -> Done:
    """Run the command line to its end."""
    return python(*MAIN, *arguments, cwd=cwd, env=env, timeout=timeout)


def python(
    *arguments: object,
    cwd: Folder = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
    anew: bool = False,
) -> Done:
    """Run `python ARGUMENTS` to its end: `-c CODE`, `-m MODULE` or a file, with what follows.

    `anew`: libraries are there, and nothing of ours has been imported; for a host of its own, or without plugins.
    """
    process = start(*arguments, cwd=cwd, env=env, anew=anew)
    try:
        out, errors = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Done(list(map(str, arguments)), process.returncode, out, errors)


def cold(*arguments: object, **options: Any) -> Done:
    """The same in an interpreter that has imported nothing: for what is imported, and how long that takes."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **options)


def start(
    *arguments: object,
    cwd: Folder = None,
    env: Mapping[str, str] | None = None,
    terminal: int | None = None,
    anew: bool = False,
) -> Process | subprocess.Popen[str]:
    """Start `python ARGUMENTS` with its output in pipes; with `terminal`, a terminal's file, as what runs in it."""
    words = list(map(str, arguments))
    if not COLD:
        return Process(words, Path(cwd or "."), dict(os.environ if env is None else env), terminal, anew)
    if terminal is None:
        return subprocess.Popen(
            [sys.executable, *words], cwd=cwd, env=env, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    return subprocess.Popen(
        [sys.executable, *words], cwd=cwd, env=env, text=True, stdin=terminal, stdout=terminal, stderr=terminal,
        start_new_session=True,
    )  # fmt: skip


def interpreter() -> str:
    """What a shell's script calls as Python, in a `shell` of ours."""
    return shlex.join([sys.executable] if COLD else [sys.executable, "-S", "-E", __file__])


def shell(script: str, cwd: Folder = None, env: Mapping[str, str] | None = None) -> Done:
    """Run a script of sh to its end."""
    environment, files = dict(os.environ if env is None else env), []
    if not COLD:
        files.append(_server().fileno())
        environment[SERVER] = str(files[0])
    return subprocess.run(
        ["sh", "-c", script], cwd=cwd, env=environment, pass_fds=files, capture_output=True, text=True, check=False
    )


class Process:
    """A command that was forked; of subprocess.Popen what the tests use. It is killed when nobody holds this any more."""

    def __init__(
        self, arguments: list[str], folder: Path, environment: dict[str, str], terminal: int | None, anew: bool
    ) -> None:
        asked = {
            "arguments": arguments,
            "folder": str(folder.absolute()),
            "environment": environment,
            "terminal": terminal is not None,
            "anew": anew,
        }
        self.args = arguments
        self.returncode: int | None = None
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None
        self._readers: list[threading.Thread] = []
        self._read: dict[str, str] = {}
        self._answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if terminal is None:
            out, errors = os.pipe(), os.pipe()
            files = [os.open(os.devnull, os.O_RDONLY), out[1], errors[1]]
            self.stdout, self.stderr = os.fdopen(out[0]), os.fdopen(errors[0])
        else:
            files = [os.dup(terminal) for _ in range(3)]
        try:
            _ask(_server(), asked, files, theirs)
        finally:
            for file in files:
                os.close(file)
        self.pid = int(self._answer())

    def _answer(self) -> bytes:
        answer = self._answers.recv(64)
        assert answer, "the server of commands has died"
        return answer

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                self.returncode = int(self._answer())
            except TimeoutError:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
            self._answers.close()
        return self.returncode

    def poll(self) -> int | None:
        if self.returncode is None:
            try:
                self._answers.setblocking(False)
                self.returncode = int(self._answer())
            except BlockingIOError:
                return None
            self._answers.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that is still to come on standard output and error; after a TimeoutExpired, to be called again."""
        if not self._readers:
            self._readers = [threading.Thread(target=self._drain, args=(name,), daemon=True) for name in ("out", "err")]
            for reader in self._readers:
                reader.start()
        self.wait(timeout)
        for reader in self._readers:
            reader.join(timeout=60)  # a child that the command left behind may hold the pipe
        return self._read.get("out", ""), self._read.get("err", "")

    def _drain(self, name: str) -> None:
        file = self.stdout if name == "out" else self.stderr
        if file is not None:
            with file:
                self._read[name] = file.read()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _ask(server: socket.socket, asked: Mapping[str, Any], files: Sequence[int], answers: socket.socket) -> None:
    with answers:
        socket.send_fds(server, [json.dumps(asked).encode()], [*files, answers.fileno()])


_ENVIRONMENT = {**os.environ, **ONE_THREAD}
"""The server's: this process's as it began, and not as the test has it that happens to ask first."""
_running: list[socket.socket] = []


def _server() -> socket.socket:
    """The one of this process, started when it is first wanted; it ends with this process."""
    if not _running:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = [sys.executable, str(Path(__file__).with_name("forkserver.py")), str(theirs.fileno())]
        subprocess.Popen(program, pass_fds=[theirs.fileno()], env=_ENVIRONMENT, stdin=subprocess.DEVNULL)
        theirs.close()
        _running.append(ours)
        atexit.register(ours.close)
    return _running[0]


def become(server: int) -> int:
    """Be the process that the server forks for these arguments, as far as a shell can tell."""
    answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {name: value for name, value in os.environ.items() if name != SERVER}
    asked = {"arguments": sys.argv[1:], "folder": str(Path.cwd()), "environment": environment}
    asked |= {"terminal": False, "anew": False}
    _ask(socket.socket(fileno=server), asked, [0, 1, 2], theirs)
    answers.recv(64)  # its pid
    return int(answers.recv(64)) % 256


if __name__ == "__main__":
    sys.exit(become(int(os.environ[SERVER])))
