"""Checkpoints as trainers write them: what is read of which, and what is said of the others."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from delt_host.basics.errors import InputError
from delt_host.basics.seeding import isolated_rng
from delt_host.networks.build import build_model
from delt_host.networks.fitted import fit_state
from delt_plugins.networks.plugin import delt_models
from delt_plugins.teachers import checkpoint, checkpoint_reader
from delt_plugins.teachers.checkpoint import read_contents
from delt_plugins.teachers.weights import Weights, weights_in

State = dict[str, Tensor]


def network(seed: int = 0, name: str = "convnet3", classes: int = 2) -> nn.Module:
    with isolated_rng(seed, "test"):
        return build_model(name, classes, 32, delt_models()).eval()


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code without a process of its own."""

    def converted(path: Path, result: Path) -> str:
        return checkpoint_reader.convert(str(path), str(result))

    monkeypatch.setattr(checkpoint, "_converted", converted)


pytestmark = pytest.mark.usefixtures("in_this_process")


def logits(model: nn.Module) -> Tensor:
    with torch.inference_mode():
        return model.eval()(torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32))


def read(path: Path, into: nn.Module | None = None, **asked: Any) -> tuple[nn.Module, Weights]:
    """A network with other weights, into which those of the file are put."""
    model = into or network(seed=1)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    weights = weights_in(read_contents(path), shapes, path.name, **asked)
    try:
        fit_state(model, weights.state, path.name)
    except InputError as error:
        raise InputError(f"{error}{weights.others}") from None
    return model, weights


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: each for name, each in state.items()}


class AttributeDict(dict[str, Any]):
    """As Lightning has for hyperparameters."""


class Colour(enum.Enum):
    RED = 1


class Outer:
    class Inner:
        """Which pickles name by `getattr`."""


def optimizer(state: State) -> dict[str, Any]:
    moments = {place: {"step": torch.tensor(3.0), "exp_avg": each.clone()} for place, each in enumerate(state.values())}
    return {"state": moments, "param_groups": [{"lr": 0.1, "params": [*moments]}]}


def lightning(state: State) -> dict[str, Any]:
    return {
        "state_dict": prefixed("model.", state)
        | {"train_acc.correct": torch.zeros(()), "criterion.weight": torch.ones(3)},
        "optimizer_states": [optimizer(state)],
        "hyper_parameters": AttributeDict(lr=0.1, folder=Path("/data"), colour=Colour.RED, inner=Outer.Inner()),
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.9), "dirpath": Path("/runs")}},
        "loops": collections.defaultdict(list, {"fit": [collections.OrderedDict(at=datetime.datetime(2026, 1, 1))]}),
        "rest": [{1, 2}, torch.Size([2]), torch.float16, torch.device("cpu"), b"abc", bytearray(b"a"), 1j],
        "random": [np.random.default_rng(0), np.arange(5), torch.get_rng_state()],
    }


FORMS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "torchvision reference": lambda state: {
        "model": state,
        "optimizer": optimizer(state),
        "lr_scheduler": {"_last_lr": [np.float64(0.1)], "milestones": collections.Counter([30, 60])},
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, output_dir=Path("/out")),
    },
    "numpy scalars": lambda state: {"net": state, "acc": np.float64(91.2), "epoch": np.int64(3)},
    "lightning": lightning,
    "timm": lambda state: {"state_dict": state, "arch": "x", "args": argparse.Namespace(), "amp_scaler": {"scale": 1.0}},
    "data parallel": lambda state: {"state_dict": prefixed("module.", state), "best_acc1": torch.tensor(76.0)},
    "compiled": lambda state: prefixed("_orig_mod.module.", state),
    "deep": lambda state: {"a": [{"b": ({"c": prefixed("backbone.net.", state)},)}]},
    "averaged": lambda state: {"n_averaged": torch.tensor(5), **prefixed("module.", state)},
    "profiled": lambda state: {
        **state,
        **{f"{name}.{counter}": torch.zeros(1) for name in ("features", "features.0") for counter in COUNTERS},
        **{counter: torch.zeros(1) for counter in COUNTERS},
    },
    "criterion beside": lambda state: {"state_dict": {**prefixed("net.", state), "criterion.weight": torch.ones(3)}},
    "without batches": lambda state: {name: each for name, each in state.items() if "num_batches" not in name},
    "parameters": lambda state: {n: nn.Parameter(t) if t.is_floating_point() else t for n, t in state.items()},
    "channels last": lambda state: {n: t.to(memory_format=torch.channels_last) if t.ndim == 4 else t for n, t in state.items()},
}  # fmt: skip
COUNTERS = ("total_ops", "total_params")


@pytest.mark.parametrize("form", FORMS)
def test_what_trainers_write_is_read(form: str, tmp_path: Path) -> None:
    model = network()
    torch.save(FORMS[form](model.state_dict()), tmp_path / "c.pth")
    assert torch.equal(logits(read(tmp_path / "c.pth")[0]), logits(model))


@pytest.mark.parametrize(
    "options",
    [{"_use_new_zipfile_serialization": False}, *({"pickle_protocol": n} for n in (3, 4, 5))],
    ids=["before 1.6", "protocol 3", "protocol 4", "protocol 5"],
)
def test_files_of_all_torches_are_read(options: dict[str, Any], tmp_path: Path) -> None:
    model = network()
    torch.save(lightning(model.state_dict()), tmp_path / "c.ckpt", **options)
    assert torch.equal(logits(read(tmp_path / "c.ckpt")[0]), logits(model))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_a_whole_network_that_was_pickled_gives_its_state_dict(name: str, tmp_path: Path) -> None:
    model = network(name=name)
    model.register_buffer("passing", torch.zeros(1), persistent=False)
    torch.save({"model": nn.DataParallel(model), "epoch": 3}, tmp_path / "c.pth")
    other, weights = read(tmp_path / "c.pth", network(1, name))
    assert torch.equal(logits(other), logits(model))
    assert set(weights.state) == set(model.state_dict())
    assert weights.notes[0].startswith(
        "passed over, and none of it called: torch.nn.parallel.data_parallel.DataParallel"
    )


@pytest.mark.parametrize(
    ("wrap", "averaged", "plain"),
    [
        (lambda plain, copy: {"state_dict": plain, "state_dict_ema": copy}, "state_dict_ema", "state_dict"),  # timm
        (lambda plain, copy: {"model": plain, "model_ema": {"n_averaged": torch.tensor(3), **prefixed("module.", copy)}},
         "model_ema.module.", "model"),  # torchvision
        (lambda plain, copy: {"state_dict": prefixed("net.", plain) | prefixed("ema_model.module.", copy)},
         "state_dict.ema_model.module.", "state_dict.net."),
        (lambda plain, copy: {"model": plain, "ema": {"shadow": copy, "decay": 0.9}}, "ema.shadow", "model"),
    ],
    ids=["timm", "torchvision", "lightning", "shadow"],
)  # fmt: skip
def test_which_copy_was_taken_is_said_and_the_other_can_be_asked_for(
    wrap: Callable[[State, State], Any], averaged: str, plain: str, tmp_path: Path
) -> None:
    first, copy = network(2), network(3)
    torch.save(wrap(first.state_dict(), copy.state_dict()), tmp_path / "c.pth")
    for asked in (None, True):
        model, weights = read(tmp_path / "c.pth", averaged=asked)
        assert torch.equal(logits(model), logits(copy))
        assert weights.notes[0] == f"took the averaged copy, {averaged}; --no-ema takes the plain weights, {plain}"
    model, weights = read(tmp_path / "c.pth", averaged=False)
    assert torch.equal(logits(model), logits(first))
    assert weights.notes[0] == f"took the plain weights, {plain}; --ema takes an averaged copy, {averaged}"


def test_an_averaged_copy_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    model = network()
    torch.save({"model": model.state_dict()}, tmp_path / "c.pth")
    with pytest.raises(InputError, match=r"c.pth has no averaged copy of the weights; it holds model \(23 tensors\)"):
        read(tmp_path / "c.pth", averaged=True)


@pytest.mark.parametrize("parallel", [False, True])
def test_a_file_of_an_averaged_copy_alone_gives_it_unless_it_is_not_wanted(parallel: bool, tmp_path: Path) -> None:
    model = network()
    swa = AveragedModel(nn.DataParallel(model) if parallel else model).state_dict()
    for name, saved_as in {"swa": swa, "ema": {"state_dict_ema": model.state_dict()}}.items():
        torch.save(saved_as, path := tmp_path / f"{name}.pth")
        for asked in (None, True):
            assert torch.equal(logits(read(path, averaged=asked)[0]), logits(model))
        with pytest.raises(
            InputError, match=rf"{name}.pth has only an averaged copy .*, (module|state_dict_ema).*; leave"
        ):
            read(path, averaged=False)
    torch.save({"net": network(2).state_dict(), "copy": swa}, tmp_path / "both.pth")
    assert torch.equal(logits(read(tmp_path / "both.pth")[0]), logits(model))
    assert torch.equal(logits(read(tmp_path / "both.pth", averaged=False)[0]), logits(network(2)))


def test_the_same_weights_at_several_places_are_one_network(tmp_path: Path) -> None:
    model = network()
    state = model.state_dict()
    for again in (state, model.state_dict(), {name: each.clone() for name, each in state.items()}):
        torch.save({"model": state, "best": {"state_dict": again}}, tmp_path / "c.pth")
        assert torch.equal(logits(read(tmp_path / "c.pth")[0]), logits(model))


def test_of_several_networks_a_prefix_says_which(tmp_path: Path) -> None:
    states = {who: network(seed) for seed, who in enumerate(("student", "teacher"), 2)}
    held = {f"{who}.{name}": each for who, model in states.items() for name, each in model.state_dict().items()}
    torch.save({"state_dict": held}, tmp_path / "two.ckpt")
    said = (
        r"holds 2 networks that fit: state_dict.student. \(23 tensors\), state_dict.teacher. \(23 tensors\); say which"
    )
    with pytest.raises(InputError, match=rf"two.ckpt {said} with --prefix state_dict.student."):
        read(tmp_path / "two.ckpt")
    for prefix in ("teacher.", "teacher", "state_dict.teacher."):
        assert torch.equal(logits(read(tmp_path / "two.ckpt", prefix=prefix)[0]), logits(states["teacher"]))
    with pytest.raises(
        InputError, match=r"no weights under other.; it holds state_dict.student. \(23 tensors\), state_"
    ):
        read(tmp_path / "two.ckpt", prefix="other.")
    torch.save({who: model.state_dict() for who, model in states.items()}, tmp_path / "two.pth")
    assert torch.equal(logits(read(tmp_path / "two.pth", prefix="teacher")[0]), logits(states["teacher"]))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_heads_are_left_out_and_named(name: str, tmp_path: Path) -> None:
    from torchvision import models

    with isolated_rng(0, "test"):
        trained = models.get_model(name, weights=None, num_classes=2, aux_logits=True, init_weights=False)
        ours = models.get_model(name, weights=None, num_classes=2, aux_logits=False, init_weights=False)
    torch.save({"model": trained.state_dict()}, tmp_path / "c.pth")
    _, weights = read(tmp_path / "c.pth", ours)
    assert torch.equal(ours.state_dict()["fc.weight"], trained.state_dict()["fc.weight"])
    assert weights.notes[0].startswith("left out what is not the network's: ") and "aux" in weights.notes[0].lower()


def test_a_deeper_network_is_none_of_a_shallower_ones(tmp_path: Path) -> None:
    """All names and shapes of ResNet-18 are in ResNet-34."""
    torch.save({"model": network(name="resnet34").state_dict()}, tmp_path / "c.pth")
    with pytest.raises(InputError, match="unexpected layer1.2.conv1.weight"):
        read(tmp_path / "c.pth", network(1, "resnet18"))


def test_other_names_and_another_number_of_classes_are_told(tmp_path: Path) -> None:
    state = network().state_dict()
    torch.save(
        {name.replace("features.", "layers."): each for name, each in state.items()}, tmp_path / "other-names.pth"
    )
    with pytest.raises(InputError, match=r"missing features.0.weight, .*unexpected layers.0.weight, "):
        read(tmp_path / "other-names.pth")
    torch.save({"net": network(classes=7).state_dict()}, tmp_path / "seven.pth")
    with pytest.raises(InputError, match=r"of another shape classifier.weight \(7, 2048\) for \(2, 2048\)"):
        read(tmp_path / "seven.pth")
    renamed = {f"{who}.x.{name.replace('features', 'layers')}": each for who in "ab" for name, each in state.items()}
    torch.save({"state_dict": renamed | {"a.x.more": torch.ones(1), "b.x.more": torch.ones(1)}}, tmp_path / "c.pth")
    with pytest.raises(
        InputError, match=r"; it holds state_dict.a.x. \(24 tensors\), state_dict.b.x. \(24 .*--prefix takes"
    ):
        read(tmp_path / "c.pth")


def test_safetensors_go_by_their_content(tmp_path: Path) -> None:
    model = network()
    for name in ("c.safetensors", "c.pth"):
        safetensors.torch.save_file(prefixed("module.", model.state_dict()), tmp_path / name)
        assert torch.equal(logits(read(tmp_path / name)[0]), logits(model))


def saved(path: Path) -> Path:
    torch.save(network().state_dict(), path)
    return path


def tar_of(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "weights")


def zip_of(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/a.txt", "x")


def flipped(path: Path) -> None:
    content = bytearray(saved(path).read_bytes())
    place = bytes(content).index(network().state_dict()["classifier.weight"].numpy().tobytes())
    content[place + 100] ^= 0xFF
    path.write_bytes(content)


def folder(path: Path) -> None:
    path.mkdir()
    saved(path / "model.pth")


OTHERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "page": (lambda p: p.write_text("<!DOCTYPE html><title>\x1b[1mscan</title>"), "not a checkpoint but an HTML page"),
    "pointer": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid x\n"), "Git LFS.* git lfs pull"),
    "empty": (lambda p: p.write_bytes(b""), "not a checkpoint but an empty file"),
    "text": (lambda p: p.write_text("lr: 0.1\n" * 100), "not a checkpoint but a text"),
    "archive": (tar_of, "not a checkpoint but a tar archive"),
    "packed": (lambda p: p.write_bytes(b"\x1f\x8b\x08" + bytes(30)), "not a checkpoint but a packed file; unpack it"),
    "zip": (zip_of, r"a zip file that torch has not written; it holds weights/a.txt"),
    "cut": (lambda p: p.write_bytes(saved(p).read_bytes()[:100_000]), "it is cut off; fetch it again"),
    "flipped": (flipped, r"it is damaged \(Bad CRC-32"),
    "noise": (lambda p: p.write_bytes(bytes(range(128, 256))), "it is damaged, cut off, or not a file that torch"),
    "pickle": (lambda p: p.write_bytes(pickle.dumps({"a": [1, 2]})), "a pickle that torch has not written; save"),
    "folder": (folder, "is a folder: name the file of weights; it has model.pth"),
    "nothing": (lambda p: None, "no checkpoint at"),
    "no tensors": (lambda p: torch.save({"epoch": 3}, p), "holds no tensors by name; give one of torch.save"),
    "loop": (lambda p: torch.save([loop := [], loop.append(loop)], p), "holds no tensors by name"),
    "one tensor": (lambda p: torch.save(torch.ones(3), p), "holds no tensors by name"),
    "broken.safetensors": (lambda p: p.write_bytes(b"\x00" * 20), "broken.safetensors cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_checkpoint_is_told_in_one_sentence(name: str, tmp_path: Path) -> None:
    make, says = OTHERS[name]
    make(tmp_path / name)
    with pytest.raises(InputError, match=says) as caught:
        read(tmp_path / name)
    assert str(caught.value).isprintable() and "weights_only" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_told_with_the_way_out(tmp_path: Path) -> None:
    torch.jit.trace(nn.ReLU(), torch.ones(1, 2)).save(str(tmp_path / "c.pt"))
    with pytest.raises(InputError, match=r"a TorchScript archive; save its weights alone: torch.save\(torch.jit.load"):
        read(tmp_path / "c.pt")
