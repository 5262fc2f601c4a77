"""What is needed next is made while the caller is at work on what it has: files are decoded while a network runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import TypeVar

import torch

T = TypeVar("T")


def ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The same items in the same order, of which at most `depth` are made, in one thread, before they are asked for.

    An exception comes at the place of the item that raised it. The thread works in the caller's grad and inference mode, and
    ends with the iterator: when that is through, closed or dropped, after the item that is being made. `items` must not draw
    from a global generator that the caller draws from too. ValueError for a depth below 1.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, not {depth}")
    return _ahead(items, depth)


def _ahead(items: Iterable[T], depth: int) -> Iterator[T]:
    made: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
    room, stopped = Semaphore(depth), False
    gradients, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    def work() -> None:
        source = None
        try:
            with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
                source = iter(items)
                while True:
                    room.acquire()
                    if stopped:
                        break
                    made.put((next(source),))  # no name for it here, which would keep it
        except StopIteration:
            made.put(None)
        except BaseException as error:
            made.put(error)
        finally:
            if close := getattr(source, "close", None):
                close()  # what a generator has open, in the thread that it ran in

    thread = Thread(target=work, name="delt-host reads ahead", daemon=True)
    thread.start()
    try:
        while (found := made.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            (item,) = found
            del found
            room.release()
            yield item
            del item
    finally:
        stopped = True
        room.release()
        thread.join()
