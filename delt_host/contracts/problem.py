"""What all compared methods share: data, teachers, images per class, protocol, device, precision and seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from delt_host.basics import batching
from delt_host.basics.accelerator import moved
from delt_host.basics.brief import Brief
from delt_host.basics.compute import Compute
from delt_host.basics.errors import InputError, RunError
from delt_host.basics.seeding import generator, isolated_rng
from delt_host.contracts.component import Asking, Component
from delt_host.contracts.dataset import IMAGENET_MEAN, IMAGENET_STD, FirstOfEach, RealData, Split
from delt_host.contracts.form import Form, Pixels
from delt_host.contracts.identity import identity, network_identity
from delt_host.contracts.observer import Observer
from delt_host.contracts.prepared import Prepared
from delt_host.contracts.protocol import Protocol
from delt_host.contracts.services import Services
from delt_host.contracts.teacher import Awaited, Teacher
from delt_host.contracts.zoomed import Zoomed
from delt_host.images.normalization import Normalization
from delt_host.networks.build import Builder
from delt_host.store.code_identity import code_of
from delt_host.store.entry import Name
from delt_host.store.resume import Checkpoint
from delt_host.store.store import Store


@dataclass(frozen=True, repr=False)
class Problem(Brief):
    """One set seed and student of a comparison. Every component of every method gets the same one."""

    data: RealData
    """The real images, both splits; components before the evaluator look at ``data.train`` alone."""
    teachers: tuple[Teacher, ...]
    """The run's; a component is shown those that it asks for. There may be none."""
    ipc: int
    """Images per class as a budget: the bytes of that many raw images. At least 1, or InputError."""
    seed: int
    """Of the set; what is drawn is seeded by it."""
    protocol: Protocol
    """How students are trained and measured."""
    compute: Compute
    """Device and precision."""
    models: dict[str, Builder] = field(default_factory=dict)
    """Network builders that plugins add to the host's own."""
    component: Component | None = None
    """The component that is shown the problem: what it remembers is its own."""
    form: Form = field(default_factory=Pixels)
    """How the row's images are stored."""
    student: int = 0
    """Which student of the set that `seed` has drawn; what students and their views draw differs."""
    space: Normalization | None = None
    """What images are normalised with, where that is neither the first teacher's nor, without one, the data's own."""
    services: Services = field(default_factory=Services, repr=False, compare=False)
    """What the host lends: store and progress; no result depends on it."""

    def __post_init__(self) -> None:
        if self.ipc < 1:
            raise InputError(f"images per class must be at least 1, not {self.ipc}")

    @property
    def store(self) -> Store | None:
        """Where `remember` keeps its results; None: recomputed."""
        return self.services.store

    @property
    def observer(self) -> Observer:
        """Who is told how far the work is."""
        return self.services.observer

    @property
    def teacher(self) -> Teacher:
        """The first teacher that is shown; RunError where there is none."""
        self._check_asked()
        return self.teachers[0]

    def _check_asked(self) -> None:
        if not self.teachers:
            who = type(self.component).__name__ if self.component is not None else "what is to be done"
            raise RunError(f"{who} asks a teacher, and this run has none: give one with --teacher MODEL")

    @property
    def settled(self) -> bool:
        """Whether the images were looked at and all teachers are there; before that, keys only tell what is the same work."""
        return not self.data.unread and not any(isinstance(teacher, Awaited) for teacher in self.teachers)

    @property
    def normalization(self) -> Normalization:
        """What images are normalised with until recovery ends: as for the run's first teacher; without one the data's own."""
        if self.space is not None:
            return self.space
        return self.teachers[0].normalization if self.teachers else Normalization(self.data.mean, self.data.std)

    @property
    def view_normalization(self) -> Normalization:
        """What labels and students see: the teacher's, unless a legacy protocol forces ImageNet's on all."""
        if self.protocol.legacy_imagenet_normalization:
            return Normalization(IMAGENET_MEAN, IMAGENET_STD)
        return self.normalization

    @property
    def scored(self) -> Split:
        """The test images, or the validation images that are held out, as the protocol shows them to students."""
        first = self.protocol.test_images
        split = FirstOfEach(self.data.scored, first) if first else self.data.scored
        return Zoomed(split) if self.protocol.test_zoom else split

    @property
    def num_classes(self) -> int:
        """C."""
        return self.data.num_classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the targets."""
        return self.data.class_names

    @property
    def image_size(self) -> int:
        """S: pixels a side."""
        return self.data.image_size

    @property
    def units(self) -> int:
        """Stored units a class: what is optimised, and what plans count. As `ipc` where images are stored as they are."""
        return self.form.units(self.ipc, self.image_size)

    @property
    def count(self) -> int:
        """Images a class that the units decode to: what initializers make, and students see."""
        return self.units * self.form.cells

    @property
    def num_units(self) -> int:
        """Stored units in the set: classes x `units`."""
        return self.num_classes * self.units

    @property
    def num_images(self) -> int:
        """Images in the distilled set: classes x `count`."""
        return self.num_classes * self.count

    def under(self, protocol: Protocol) -> Problem:
        """The same problem under another protocol."""
        return replace(self, protocol=protocol)

    def with_store(self, store: Store | None) -> Problem:
        """The same problem, what it remembers kept elsewhere."""
        return replace(self, services=replace(self.services, store=store))

    def of_data(self, data: RealData) -> Problem:
        """The same problem on other data, of whose classes the teachers know at least these."""
        return replace(self, data=data)

    def in_form(self, form: Form) -> Problem:
        """The same problem for a row whose images are stored in another form."""
        return replace(self, form=form)

    def with_seed(self, seed: int) -> Problem:
        """The same problem under another seed."""
        return replace(self, seed=seed)

    def with_student(self, student: int) -> Problem:
        """The same problem for another student of the same set: other initial weights, views and dropout."""
        return replace(self, student=student)

    def seen_by(self, component: Component) -> Problem:
        """The problem as a component is shown it: with the teachers that it asks for, or the first alone."""
        return replace(self, teachers=self._asked_by(component), component=component, space=self.normalization)

    def _asked_by(self, component: Component) -> tuple[Teacher, ...]:
        names = component.teachers if isinstance(component, Asking) else ()
        there = {teacher.called: teacher for teacher in self.teachers}
        if missing := [name for name in names if name not in there]:
            raise RunError(
                f"{type(component).__name__} asks the teacher {missing[0]!r}, and those of this run are "
                f"{', '.join(there) or 'none'}"
            )
        return tuple(there[name] for name in names) or self.teachers[:1]

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The teachers' networks: frozen, in eval mode, on the device, their outputs in the dataset's class order.

        All take images as `normalization` says. Built when first asked for, and shared with every problem that was made from
        this one or that this one was made from. RunError where there is no teacher.
        """
        self._check_asked()
        return tuple(map(self._network, self.teachers))

    def _network(self, teacher: Teacher) -> nn.Module:
        settings = (self.class_names, self.compute, self.normalization)
        built = self.services.built
        if (key := (teacher.fingerprint, *settings)) not in built:
            # First asked for under inference mode, the weights would be tensors that no gradient can pass.
            with torch.inference_mode(False):
                names, compute, normalization = settings
                built[key] = teacher.network(names, compute, self.models, normalization)
        return built[key]

    @property
    def network(self) -> nn.Module:
        """The first teacher's network; called with (B, 3, S, S) normalised images it gives (B, C) logits."""
        return self.networks[0]

    def generator(self, *purpose: str | int) -> torch.Generator:
        """A CPU generator seeded by this problem's seed and student and by what the draw is for."""
        return generator(self.seed, *self._stream, *purpose)

    def isolated(self, *purpose: str | int) -> AbstractContextManager[None]:
        """For code that can only draw from torch's global generator: it is seeded alike inside, and as it was afterwards."""
        return isolated_rng(self.seed, *self._stream, *purpose)

    @property
    def _stream(self) -> tuple[str | int, ...]:
        return ("student", self.student) if self.student else ()

    def advance(self, done: int, **terms: float) -> None:
        """Tell the progress bar that `done` more units of the running stage are finished."""
        self.observer.advance(done, terms)

    def note(self, message: str) -> None:
        """Tell the user a sentence that does not stop the run."""
        self.observer.note(message)

    def targets(self) -> Tensor:
        """The class indices (N,) of a distilled set's images in class order: 0 x `count`, 1 x `count`, …"""
        return torch.arange(self.num_classes).repeat_interleave(self.count)

    def unit_targets(self) -> Tensor:
        """The class indices (U,) of its units, likewise."""
        return torch.arange(self.num_classes).repeat_interleave(self.units)

    def remember(
        self, what: str, work: Callable[[], Mapping[str, Tensor]], reads: Sequence[str] | None = None, **inputs: Any
    ) -> Mapping[str, Tensor]:
        """`work()`'s tensors, computed once for these data, teachers, precision and `inputs`, whatever the seed.

        For small things that a component derives from the real data; what takes long it declares: `Component.prepares`. It is
        the component's own: another class, other options or other code compute it anew. `reads` names the options that `work`
        depends on, where these are not all of them; components of one module that give it share what is equal.
        """
        if self.store is None:
            return work()
        return self.store.make(what, self._remembered(work, reads, inputs), lambda: (work(), {})).tensors

    def remembered_as(
        self, what: str, work: Callable[[], Mapping[str, Tensor]], reads: Sequence[str] | None = None, **inputs: Any
    ) -> Name | None:
        """The entry of the store in which `remember` keeps these; None without a store."""
        return None if self.store is None else (what, self.store.key(what, self._remembered(work, reads, inputs)))

    def _remembered(
        self, work: Callable[[], Mapping[str, Tensor]], reads: Sequence[str] | None, inputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        by: dict[str, Any] = {"work": code_of(work)}
        if self.component is not None:
            by |= identity(self.component)
            if reads is not None:
                by |= {"class": "", "options": {name: by["options"][name] for name in reads}}
        return {**self.inputs(), "by": by, "inputs": dict(inputs)}

    def prepared(self, what: Prepared) -> Mapping[str, Tensor]:
        """What a component declared in `Component.prepares`: from the store, or made now."""
        if self.store is None:
            return what.made(Checkpoint(None))
        return self.store.resume("prepare", self.prepared_inputs(what), lambda point: (what.made(point), {})).tensors

    def prepared_inputs(self, what: Prepared) -> dict[str, Any]:
        """What that depends on."""
        return {**self.inputs(), **what.identity}

    def inputs(self) -> dict[str, Any]:
        """What everything made from this problem depends on, whatever the seed: a part of store keys."""
        return {
            "data": self.data.fingerprint,
            "teachers": [
                [teacher.fingerprint, network_identity(teacher.architecture, self.models)] for teacher in self.teachers
            ],
            "normalization": [self.normalization.mean, self.normalization.std],
            "compute": self.compute.key,
        }

    @torch.no_grad()  # not inference mode: students take the logits into losses that are differentiated
    def teacher_logits(self, images: Tensor, batch: int | None = None, teacher: int = 0) -> Tensor:
        """One teacher's float32 logits (N, C), on the device, for normalised images (N, 3, S, S), wherever they are."""
        network, parts = self.networks[teacher], []
        for chunk in images.split(batch or batching.in_one_pass(images.shape[-1])):
            (chunk,) = moved(self.compute.device, chunk) if chunk.device.type == "cpu" else (chunk,)
            with self.compute.autocast():
                parts.append(network(chunk.contiguous(memory_format=torch.channels_last)).float())
        return torch.cat(parts)
