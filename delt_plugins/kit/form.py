"""What the conformance kit asks of a form."""

from __future__ import annotations

from typing import Any

import torch

from delt_host import Form, Problem
from delt_host.workshop import Packed, check_packed
from delt_plugins.kit.small import real_start

NEAR = 16.0
"""Grey levels, on average, that what is read from a file may be away from what its latents decode to: a codec is lossy."""


def results(form: Form, problem: Problem) -> dict[str, Any]:
    problem = problem.in_form(form)
    images = problem.normalization.normalize(real_start(problem).images)
    return dict(form.pack(form.latents(images), problem.normalization))


def examine(form: Form, problem: Problem) -> None:
    """Units that take no more bytes than their images raw, whose gradients reach what is optimised, and that are read back as
    they decode."""
    name, problem = type(form).__name__, problem.in_form(form)
    least = form.units(1, problem.image_size)
    assert isinstance(least, int) and least >= 1, (
        f"{name}: units(1, {problem.image_size}) gives {least!r}, not 1 or more"
    )
    images = problem.normalization.normalize(real_start(problem).images)
    given = images.clone()
    latents = {what: each.detach().clone().requires_grad_(True) for what, each in form.latents(images).items()}
    assert torch.equal(images, given), f"{name}: latents() changes the images in place; work on a copy"
    for what, each in latents.items():
        assert len(each) == problem.num_units, (
            f"{name}: latents {what!r} are of {len(each)} units, not {problem.num_units}"
        )
    decoded = form.decode(latents)
    wanted = tuple(images.shape)
    assert tuple(decoded.shape) == wanted, f"{name}: decode() gives {tuple(decoded.shape)}, not {wanted}"
    assert bool(decoded.isfinite().all()), f"{name}: decode() gives pixels that are not finite"
    assert decoded.requires_grad, f"{name}: no gradient passes through decode()"
    reached = torch.autograd.grad(decoded.square().sum(), list(latents.values()), allow_unused=True)
    assert any(each is not None for each in reached), f"{name}: no gradient passes through decode()"
    packed = form.pack({what: each.detach() for what, each in latents.items()}, problem.normalization)
    check_packed(form, packed, problem.num_units, problem.image_size)
    stored = Packed.of(packed)
    raw, taken = problem.num_classes * problem.ipc * 3 * problem.image_size**2, stored.nbytes
    assert taken <= raw, (
        f"{name}: its units take {taken} bytes, more than {raw}, those of {problem.ipc} raw images a class"
    )
    order = torch.arange(problem.num_images).flip(0)
    read, whole = stored.images(form, order), stored.images(form, order.flip(0))
    assert torch.equal(read.flip(0), whole), f"{name}: read() does not give each image from its own row"
    away = (whole.float() - problem.normalization.denormalize(decoded.detach()).float()).abs().mean()
    assert away < NEAR, f"{name}: read() is {float(away):.0f} grey levels away from what its latents decode to"
