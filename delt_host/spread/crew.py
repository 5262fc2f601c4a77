"""Processes side by side: started, heard, and ended with whoever started them."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any

from delt_host.spread.task import Task

START = "import sys; sys.path[:] = sys.argv[1:]; from delt_host.spread.process import main; main()"
HEARD_WITHIN = 1.0  # s after which it is looked at whether those that are silent live

Answer = dict[str, Any]


class Member:
    """One process, and the piece that it is at."""

    def __init__(self, answers: queue.Queue[tuple[Member, Answer | None]]) -> None:
        """What it says goes to `answers`, None at the end."""
        self.task: Task | None = None
        self.ready = False
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C is for the run, which ends its workers with all that they started
        )
        for reading in (self._hear, self._pass_on):
            threading.Thread(target=reading, args=(answers,), daemon=True, name="delt-host's worker").start()

    def send(self, message: Mapping[str, Any]) -> None:
        """Nothing where it is dead, which is heard of."""
        with suppress(OSError, ValueError):
            self._stdin.write(json.dumps(message) + "\n")
            self._stdin.flush()

    @property
    def _stdin(self) -> IO[str]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def ended(self) -> str:
        """How it ended: `killed by signal 9`."""
        code = self.process.wait()
        return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def end(self) -> None:
        """At once, with all that it started."""
        if self.process.poll() is None:
            with suppress(OSError):
                if hasattr(os, "killpg"):
                    os.killpg(self.process.pid, signal.SIGKILL)
                else:
                    self.process.kill()
        self.process.wait()
        with suppress(OSError):
            self._stdin.close()

    def _hear(self, answers: queue.Queue[tuple[Member, Answer | None]]) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                with suppress(ValueError):  # half a line of one that was killed
                    answers.put((self, json.loads(line)))
        answers.put((self, None))

    def _pass_on(self, _answers: object) -> None:
        """What components write goes where it would go from the run itself."""
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                with suppress(OSError, ValueError):
                    sys.stderr.write(line)


class Crew:
    """The processes that live."""

    def __init__(self, begin: Mapping[str, Any]) -> None:
        """`begin` is what each is told first."""
        self.begin = begin
        self.members: list[Member] = []
        self._answers = queue.Queue[tuple[Member, Answer | None]]()

    @contextmanager
    def at_work(self, count: int) -> Iterator[None]:
        """So many inside the block; none after it, however it ends."""
        try:
            for _ in range(count):
                self.start()
            yield
        finally:
            for member in self.members:
                member.end()

    def start(self) -> None:
        member = Member(self._answers)
        self.members.append(member)
        member.send(self.begin)

    def dismiss(self, member: Member) -> None:
        """It is no member any more."""
        self.members.remove(member)
        member.end()

    def answers(self) -> Iterator[tuple[Member, Answer | None]]:
        """What is heard, as long as somebody lives; None of one that has ended, who is no member any more."""
        while self.members:
            try:
                member, answer = self._answers.get(timeout=HEARD_WITHIN)
            except queue.Empty:  # what a killed one had started may keep its pipe open
                dead = [each for each in self.members if each.process.poll() is not None]
                if not dead:
                    continue
                member, answer = dead[0], None
            if answer is None:
                if member not in self.members:
                    continue
                self.dismiss(member)
            yield member, answer
