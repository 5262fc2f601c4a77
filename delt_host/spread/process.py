"""A worker's process: pieces come as lines on standard input, answers go as lines to what was standard output.

It ends as soon as nobody could send it anything more: the run is over, or was killed, and nobody wants what it is at. Hence
nothing is imported before it listens.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
from contextlib import suppress
from typing import Any


def main() -> None:
    """Do what is asked for until the end of standard input."""
    asked = queue.SimpleQueue[str]()
    threading.Thread(target=_listen, args=(os.dup(0), asked), daemon=True).start()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # components neither take pieces for what a user types,
    os.dup2(2, 1)  # nor print into the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run is told, and ends its workers
    lock = threading.Lock()

    def tell(**answer: Any) -> None:
        with lock, suppress(OSError):
            print(json.dumps(answer), file=out, flush=True)

    from delt_host.spread.answers import answer

    answer(lambda: json.loads(asked.get()), tell)


def _listen(number: int, asked: queue.SimpleQueue[str]) -> None:
    with os.fdopen(number, encoding="utf-8") as lines:
        for line in lines:
            asked.put(line)
    os._exit(0)
