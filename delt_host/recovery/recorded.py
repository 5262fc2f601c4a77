"""A step of a matcher, recorded once on a CUDA device and repeated there.

A step is some hundreds of kernels, which a GPU works through faster than Python hands them to it. A CUDA graph hands over all
of them at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from delt_host.contracts.matcher import Match, Views

FIRST = 5
"""Steps on so many images that are made one kernel at a time before the next is recorded."""


class Recorded:
    """A matcher's loss whose steps are repeated from a recording, as long as they are on as many images, of one network.

    Only a loss that asks for nothing but images, classes, groups and a network in eval mode can be recorded, and that draws
    nothing and makes nothing on the processor: what it looked up while it was recorded would be repeated, too. Others, and
    those that wait for the device, are called as they are. Its gradient is that of the sum of all terms.
    """

    def __init__(self, match: Match) -> None:
        self.match = match
        self.possible, self.seen = True, 0
        self.on: tuple[torch.Size, nn.Module] | None = None
        self.step: _Step | None = None

    def __call__(self, views: Views) -> dict[str, Tensor]:
        if not self.possible or views.network.training:
            return dict(self.match(views))
        if self.on is None or views.images.shape != self.on[0] or views.network is not self.on[1]:
            self.on, self.seen = (views.images.shape, views.network), 0
            self.step = None  # its memory goes before the next is recorded
        if self.step is None:
            self.seen += 1
            if self.seen <= FIRST:
                return dict(self.match(views))
            try:
                self.step = _Step(self.match, views)
            except Exception:  # whatever is really wrong will be said by the call
                self.possible = False
                return dict(self.match(views))
        terms = _Repeated.apply(views.images, views.targets, self.step)
        return dict(zip(self.step.names, terms, strict=True))


class _AsksForMoreError(Exception):
    """The loss asked for something that may differ from iteration to iteration."""


class _Given:
    """Of a step's views what may be recorded."""

    def __init__(self, images: Tensor, targets: Tensor, groups: int, network: nn.Module) -> None:
        self.images, self.targets, self.groups, self.network = images, targets, groups, network

    def __getattr__(self, name: str) -> Any:
        raise _AsksForMoreError(name)


class _Watched(TorchDispatchMode):
    """Refuses what a recording would repeat although it may differ: tensors made on the processor, and draws."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise _AsksForMoreError(str(func))
        found = func(*args, **(kwargs or {}))
        for each in found if isinstance(found, tuple | list) else (found,):
            if isinstance(each, Tensor) and each.device.type == "cpu":
                raise _AsksForMoreError(str(func))
        return found


class _Step:
    """The recording: tensors that it reads and writes at the same places whenever it is repeated."""

    def __init__(self, match: Match, views: Views) -> None:
        self.images, self.targets = views.images.detach().clone(), views.targets.clone()
        leaf = self.images.requires_grad_(True)
        given: Any = _Given(leaf, self.targets, views.groups, views.network)
        with torch.cuda.device(self.images.device):
            self.graph, stream, before = torch.cuda.CUDAGraph(), torch.cuda.Stream(), torch.cuda.current_stream()
            try:
                stream.wait_stream(before)
                # Tried beforehand, since a recording that breaks off leaves torch's generators unusable. What a library sets
                # up for a stream is no part of the recording either.
                with torch.cuda.stream(stream), _no_waiting(), _Watched():
                    _once(match, given)
                before.wait_stream(stream)
                with torch.cuda.graph(self.graph, stream=stream):
                    found, self.gradient = _once(match, given)
            finally:
                torch.cuda.set_stream(before)
        self.names, self.terms = tuple(found), tuple(found.values())

    def repeat(self, images: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        """The terms on other images and classes; the gradient lies in `gradient` then."""
        with torch.no_grad(), torch.cuda.device(self.images.device):
            self.images.copy_(images)
            self.targets.copy_(targets)
            self.graph.replay()
            return tuple(term.clone() for term in self.terms)


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Whatever waits for the device is an error."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _once(match: Match, given: Any) -> tuple[dict[str, Tensor], Tensor]:
    """Terms, and the gradient of their sum to the images."""
    terms = dict(match(given))
    loss = torch.stack([term.sum() for term in terms.values()]).sum()
    (gradient,) = torch.autograd.grad(loss, given.images)
    return {name: term.detach() for name, term in terms.items()}, gradient


class _Repeated(torch.autograd.Function):
    """Terms by a repeated step, which has their gradient already."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, targets: Tensor, step: _Step) -> tuple[Tensor, ...]:
        ctx.step = step
        return step.repeat(images, targets)

    @staticmethod
    def backward(ctx: Any, *_ones: Tensor) -> Any:
        return ctx.step.gradient.clone(), None, None
