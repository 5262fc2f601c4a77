"""The compiled operator against torch's own layers one after the other; and what becomes of those who have no compiler."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad

import delt_host
from delt_host import InputError
from delt_host.basics import compiler, norm_relu_pool
from delt_host.basics.compute import Compute
from delt_host.basics.seeding import isolated_rng
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_host.toolbox import recorded_inputs
from delt_plugins.networks.convnet import convnet3_in

Operator = Callable[[Tensor, Tensor, Tensor, float], Tensor]

SHAPES = [(2, 3, 4, 4), (2, 3, 5, 7), (1, 2, 3, 2), (1, 70, 2, 3)]
"""Even and odd sides, numbers of pixels that no vector divides, and more channels than go into one piece."""


@pytest.fixture(scope="module", autouse=True)
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        compiler.library.cache_clear()
        yield folder / "delt-host-compiled"
    compiler.library.cache_clear()


def eager(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return F.avg_pool2d(F.relu(F.group_norm(x, x.shape[1], weight, bias, eps)), 2)


def drawn(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    rng = torch.Generator().manual_seed(0)
    values = (torch.randn(size, generator=rng, dtype=torch.float64) for size in (shape, shape[1:2], shape[1:2]))
    return [each.to(dtype).requires_grad_(True) for each in values]


def images_of(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def derivatives(of: Operator, inputs: list[Tensor], wanted: list[Tensor]) -> list[Tensor]:
    """The output, the gradients of a curved loss of it, and of a curved loss of those."""
    output = of(*inputs, 1e-3)
    first = torch.autograd.grad(curved([output]), wanted, create_graph=True)
    return [output, *first, *torch.autograd.grad(curved(first), inputs, allow_unused=True, materialize_grads=True)]


def curved(parts: list[Tensor]) -> Tensor:
    waves = (torch.arange(part.numel(), dtype=part.dtype).reshape(part.shape).sin() for part in parts)
    return torch.stack([((part + wave) ** 2).sum() for part, wave in zip(parts, waves, strict=True)]).sum()


@pytest.mark.parametrize("shape", SHAPES)
def test_both_derivatives_are_those_of_the_layers(shape: tuple[int, ...]) -> None:
    inputs = drawn(shape)
    for wanted in (inputs, inputs[:1], inputs[1:]):
        theirs = derivatives(eager, inputs, wanted)
        for ours, other in zip(derivatives(norm_relu_pool.norm_relu_pool, inputs, wanted), theirs, strict=True):
            torch.testing.assert_close(ours, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("frozen", [(), (0,), (1, 2)])
def test_both_derivatives_are_those_of_differences(frozen: tuple[int, ...]) -> None:
    inputs = drawn((1, 2, 3, 5))
    for place in frozen:
        inputs[place].requires_grad_(False)
    with isolated_rng(0, "directions"):
        _check_differences(inputs)


def _check_differences(inputs: list[Tensor]) -> None:
    assert torch.autograd.gradcheck(lambda *given: norm_relu_pool.norm_relu_pool(*given, 1e-3), inputs)
    assert torch.autograd.gradgradcheck(lambda *given: norm_relu_pool.norm_relu_pool(*given, 1e-3), inputs)


def test_a_third_derivative_is_refused() -> None:
    x, weight, bias = drawn((1, 2, 4, 4))
    (first,) = torch.autograd.grad(curved([norm_relu_pool.norm_relu_pool(x, weight, bias, 1e-3)]), x, create_graph=True)
    (second,) = torch.autograd.grad(curved([first]), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no third; leave --compile out"):
        torch.autograd.grad(second.sum(), x)


def test_a_map_far_from_zero_keeps_its_variance() -> None:
    """E[x^2] - m^2 has no digit left here."""
    x, weight, bias = drawn((2, 3, 32, 32), torch.float32)
    x = (x.detach() + 1000).requires_grad_(True)
    exact = eager(*(each.double() for each in (x, weight, bias)), 1e-5)
    assert (norm_relu_pool.norm_relu_pool(x, weight, bias, 1e-5) - exact).abs().max() < 1e-3


def test_what_is_not_a_number_stays_so() -> None:
    x, weight, bias = drawn((1, 2, 4, 4), torch.float32)
    broken = x.detach().clone()
    broken[0, 1, 0, 0] = float("nan")
    for dtype in (torch.float32, torch.bfloat16):
        out = norm_relu_pool.norm_relu_pool(broken.to(dtype), weight, bias, 1e-5)
        assert out[0, 0].isfinite().all() and out[0, 1].isnan().all()


@pytest.fixture
def networks() -> tuple[nn.Module, nn.Module]:
    """A ConvNet as it is, and the same with the operator."""
    with isolated_rng(0, "compiled"):
        plain = convnet3_in(10, 18)  # 18, 9 and 4 px
    return tuple(Compute("cpu", "fp32", compiled=how).place(copy.deepcopy(plain)) for how in (False, True))


def passes(network: nn.Module, images: Tensor, compute: Compute) -> dict[str, Tensor]:
    """Logits, and the gradients to pixels and weights of a loss and of the length of its gradient."""
    leaf, weights = images.detach().requires_grad_(True), dict(network.named_parameters())
    with compute.autocast():
        logits = functional_call(network, weights, (leaf,)).float()
    first = torch.autograd.grad(logits.square().mean(), list(weights.values()), create_graph=True)
    second = torch.autograd.grad(torch.stack([each.square().sum() for each in first]).sum(), leaf)
    return {"logits": logits, "pixels": second[0], **dict(zip(weights, first, strict=True))}


@pytest.mark.parametrize(("precision", "share"), [("fp32", 1e-4), ("bf16", 0.05)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_network_says_what_it_said(
    networks: tuple[nn.Module, nn.Module],
    precision: str,
    share: float,
    layout: torch.memory_format,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compute, images = Compute.choose("cpu", precision), images_of(6, 3, 18, 18).contiguous(memory_format=layout)
    calls = counted(monkeypatch)
    theirs, ours = (passes(network, images, compute) for network in networks)
    # Of the second derivative's passes, too, those that go back through the first forward pass.
    assert Counter(calls) == {"forward": 3, "backward": 6, "double_backward": 3}
    exact = passes(copy.deepcopy(networks[0]).double(), images.double(), Compute("cpu", "fp32"))
    for name, values in exact.items():
        far = ((ours[name] - values).norm() / values.norm(), (theirs[name] - values).norm() / values.norm())
        assert far[0] < max(share, 1.2 * far[1]), f"{name}: {far}"


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    call = norm_relu_pool._call
    monkeypatch.setattr(norm_relu_pool, "_call", lambda name, *rest: (calls.append(name), call(name, *rest))[1])
    return calls


def test_who_watches_a_layer_sees_it(networks: tuple[nn.Module, nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    network, images, calls = networks[1], images_of(2, 3, 18, 18), counted(monkeypatch)
    norms = [layer for layer in network.modules() if isinstance(layer, nn.GroupNorm)]
    before = network(images)
    with recorded_inputs(norms[1:2]) as inputs:
        assert torch.allclose(network(images), before, atol=1e-5)
    assert inputs[0].shape == (2, 128, 9, 9) and calls == ["forward"] * 5
    seen: list[str] = []
    for name, layer in network.named_modules():
        layer.register_forward_hook(lambda *_, name=name: seen.append(name))
    network(images)
    assert sorted(seen) == sorted(name for name, _ in networks[0].named_modules())
    assert calls == ["forward"] * 5


def test_what_it_does_not_take_goes_through_the_layers(
    networks: tuple[nn.Module, nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, images = counted(monkeypatch), images_of(2, 3, 18, 18)
    transformed = grad(lambda given: networks[1](given).square().mean())(images)
    assert torch.allclose(transformed, grad(lambda given: networks[0](given).square().mean())(images), atol=1e-6)
    three = nn.GroupNorm(4, 4), nn.ReLU(), nn.AvgPool2d(2)
    others = [
        (nn.GroupNorm(2, 4), *three[1:]), (nn.GroupNorm(4, 4, affine=False), *three[1:]), (*three[:2], nn.AvgPool2d(3, 2)),
        (*three[:2], nn.AvgPool2d(2, padding=1)), (*three[:2], nn.AvgPool2d(2, ceil_mode=True)),
        (nn.BatchNorm2d(4), *three[1:]),
    ]  # fmt: skip
    for layers in others:
        network = nn.Sequential(*layers)
        norm_relu_pool.fuse(network)
        network(images_of(2, 4, 5, 5))
    same = nn.Sequential(*three)
    norm_relu_pool.fuse(same)
    with pytest.raises(RuntimeError):
        same(images_of(2, 4, 1, 1))  # AvgPool2d's own words
    assert calls == []
    same(images_of(2, 4, 5, 5))
    assert calls == ["forward"]


def test_a_network_keeps_its_names_its_copies_and_its_kind(networks: tuple[nn.Module, nn.Module]) -> None:
    plain, fused = networks
    assert list(plain.state_dict()) == list(fused.state_dict())
    assert [name for name, _ in plain.named_modules()] == [name for name, _ in fused.named_modules()]
    assert isinstance(fused.features, nn.Sequential)
    again, images = copy.deepcopy(fused), images_of(2, 3, 18, 18)
    with torch.no_grad():
        again.features[1].weight.zero_()
        assert not torch.equal(again(images), fused(images)), "a copy computes with its own weights"


def test_the_number_of_threads_changes_no_bit_of_a_map() -> None:
    inputs, before = drawn((5, 70, 9, 9), torch.float32), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            output = norm_relu_pool.norm_relu_pool(*inputs, 1e-5)
            found.append((output, *torch.autograd.grad(output.square().sum(), inputs)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0][:2], other[:2], strict=True))


def test_two_processes_that_compile_at_once_both_have_it(tmp_path: Path) -> None:
    code = "from delt_host.basics import norm_relu_pool as n; n.prepare(); print('ready')"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    two = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [each.communicate()[0] for each in two] == ["ready\n"] * 2
    assert [path.suffix for path in (tmp_path / "delt-host-compiled").iterdir()] == [".so"], (
        "and nothing is left beside it"
    )


def test_it_is_compiled_once_and_again_by_another_compiler(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norm_relu_pool.prepare()
    (made,) = kept.iterdir()
    wrapped = tmp_path / "wrapped"
    wrapped.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nexec g++ "$@"\n')
    wrapped.chmod(0o755)
    monkeypatch.setenv("CXX", str(wrapped))
    for _ in range(2):
        compiler.library.cache_clear()
        norm_relu_pool.prepare()
    assert (tmp_path / "calls").read_text().count(" -c ") == 1 and len(list(kept.iterdir())) == 2 and made.exists()


def refusal() -> str:
    compiler.library.cache_clear()
    with pytest.raises(InputError) as refused:
        resolve(Request(method=["random-real"], compile=True, device="cpu"), load_registry())
    compiler.library.cache_clear()
    assert "\n" not in str(refused.value) and "--compile" in str(refused.value)
    return str(refused.value)


def test_without_a_compiler_it_is_one_sentence_and_without_the_option_all_is_as_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "there is no no-such-compiler here: install g++" in refusal()
    assert not resolve(Request(method=["random-real"]), load_registry()).compute.compiled
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'error: no header' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    assert "error: no header" in refusal()
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("XDG_CACHE_HOME", str(broken))
    assert "set XDG_CACHE_HOME to a folder" in refusal()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "Linux alone" in refusal()


def test_results_of_compiled_operators_have_keys_of_their_own() -> None:
    plain, compiled = (Compute.choose("cpu", "fp32", compiled=how).key for how in (False, True))
    assert plain == ["cpu", "fp32"] and compiled[:2] == plain and len(compiled) == 3


def test_an_entry_says_how_it_was_made_and_is_found_only_by_who_asks_alike(tmp_path: Path) -> None:
    asked = {
        "method": "random-real", "controls": False, "teacher": "none", "regime": "hard", "student": "convnet3_in", "ipc": 1,
        "seeds": 1, "threads": 1, "set": {"dataset.image_size": 8, "protocol.epochs": 1}, "store": tmp_path / "store",
    }  # fmt: skip
    ways = {how: delt_host.dry_run(**asked, compile=how) for how in (False, True)}
    made = delt_host.run(**asked, compile=True, out=tmp_path / "run", quiet=True)
    assert made.results.environment.compiled and made.results.recipe["compile"] is True
    assert not ways[False].experiment.compile and ways[True].experiment.compile
    states = {how: {line.stage: line.state for line in delt_host.dry_run(**asked, compile=how).steps} for how in ways}
    assert states[True]["evaluate"] == "kept" and states[False]["evaluate"] == "missing"
    assert any("ompil" in sentence for sentence in ways[True].advice)
    assert not any("ompil" in sentence for sentence in ways[False].advice)


def test_an_evaluation_of_a_compiled_run_says_that_it_is_none_itself(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = {"store": tmp_path / "store", "threads": 1}
    made = delt_host.run(
        method="random-real", controls=False, teacher="none", regime="hard", student="convnet3_in", ipc=1, seeds=1,
        set={"dataset.image_size": 8, "protocol.epochs": 1}, compile=True, out=tmp_path / "run", quiet=True, **asked,
    )  # fmt: skip
    for compiled in (False, True):
        again = delt_host.evaluate(made, compile=compiled, out=tmp_path / f"again-{compiled}", **asked)
        assert again.results.environment.compiled is compiled
        said = " ".join(capfd.readouterr().err.split())
        assert ("the run had --compile and this has not" in said) is not compiled


def test_it_is_said_where_a_run_has_no_use_for_it(capfd: pytest.CaptureFixture[str]) -> None:
    asked = {
        "method": "random-real",
        "controls": False,
        "teacher": "none",
        "regime": "hard",
        "ipc": 1,
        "threads": 1,
        "seeds": 1,
    }
    for student in ("convnet3", "convnet3_in"):
        delt_host.dry_run(**asked, student=student, set={"dataset.image_size": 8}, compile=True)
        said = " ".join(capfd.readouterr().err.split())
        assert ("no network that is trained here is one" in said) == (student == "convnet3")
