"""Files and recipes that nobody should be given: each gets one sentence, none a traceback, and nothing else is touched."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import tomli_w
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import make_problem
from delt_host.basics.errors import InputError, RunError
from delt_host.contracts.dataset import RealData
from delt_host.contracts.sets import Distilled
from delt_host.contracts.teacher import TEACHER_FILES as TEACHER
from delt_host.contracts.teacher import Teacher
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_host.runs.distilled import SET_FILES as DISTILLED
from delt_host.runs.distilled import DistilledSet, load
from delt_plugins.datasets.decode import decode
from delt_plugins.datasets.folder import ImageFolder

REFUSED = (InputError, RunError)


def save_set(path: Path, problem: Any) -> None:
    pixels = torch.zeros(problem.num_images, 3, 8, 8, dtype=torch.uint8)
    made = Distilled.of(pixels, problem.targets())
    DistilledSet(made, problem.class_names, problem.normalization, {}).save(path)


@pytest.fixture
def files(tmp_path: Path, digits: RealData, teacher: Teacher) -> dict[str, tuple[Path, Callable[[Path], object]]]:
    """A distilled set and a teacher as files, each with what reads it."""
    problem = make_problem(digits, teacher, ipc=1)
    save_set(tmp_path / "set.safetensors", problem)
    small = Teacher("convnet3", {"w": torch.ones(3)}, digits.class_names, digits.mean, digits.std, 8)
    small.save(tmp_path / "teacher.safetensors")
    return {
        "distilled set": (tmp_path / "set.safetensors", load),
        "teacher": (tmp_path / "teacher.safetensors", Teacher.load),
    }


@pytest.mark.parametrize("kind", ["distilled set", "teacher"])
def test_files_cut_off_anywhere_are_refused(files: dict[str, Any], kind: str) -> None:
    path, read = files[kind]
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    places = sorted(
        {*range(0, header, max(header // 40, 1)), 1, 7, 8, 9, header - 1, header, header + 1, len(content) - 1}
    )
    for place in places:
        path.write_bytes(content[:place])
        with pytest.raises(REFUSED, match=str(path)):
            read(path)


@pytest.mark.parametrize("kind", ["distilled set", "teacher"])
def test_files_with_a_wrong_byte_in_the_header_are_refused_or_read(files: dict[str, Any], kind: str) -> None:
    """Some letters are a name's and change nothing that can be checked; none may end in anything but a sentence."""
    path, read = files[kind]
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    refused = 0
    for place in range(0, header, max(header // 60, 1)):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        path.write_bytes(bytes(changed))
        try:
            read(path)
        except REFUSED as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 20


WRONG = [None, 7, "text", [], {}, [[]], {"mean": []}, True, -1.5, "\x00", "<script>", "🙂" * 50]


@pytest.mark.parametrize("kind", ["distilled set", "teacher"])
@pytest.mark.parametrize("place", range(len(WRONG) + 6))
def test_headers_that_say_something_else_are_refused(files: dict[str, Any], kind: str, place: int) -> None:
    """The whole of it replaced, or one of its keys missing or of another type."""
    path, read = files[kind]
    name = (DISTILLED if kind == "distilled set" else TEACHER).key
    with safetensors.safe_open(path, "pt") as file:
        about = json.loads(file.metadata()[name])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if place < len(WRONG):
        said: Any = WRONG[place]
    else:
        key = sorted(about)[place % len(about)]
        said = (
            {k: v for k, v in about.items() if k != key} if place % 2 else {**about, "class_names": 3, "mean": {"a": 1}}
        )
    safetensors.torch.save_file(tensors, path, metadata={name: json.dumps(said)})
    try:
        read(path)
    except REFUSED as error:
        assert str(path) in str(error)
    else:
        assert place >= len(WRONG), "a missing key that has a default is no harm; another thing altogether is"


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("images", torch.zeros(10, 3, 8, 8)),
        ("images", torch.zeros(10, 8, 8, dtype=torch.uint8)),
        ("images", torch.zeros(10, 1, 8, 8, dtype=torch.uint8)),
        ("images", torch.zeros(10, 3, 8, 9, dtype=torch.uint8)),
        ("images", torch.zeros(0, 3, 8, 8, dtype=torch.uint8)),
        ("targets", torch.zeros(9, dtype=torch.int64)),
        ("targets", torch.zeros(10)),
        ("targets", torch.full((10,), 10)),
        ("targets", torch.full((10,), -1)),
        ("targets", torch.zeros(10, 1, dtype=torch.int64)),
    ],
)
def test_sets_whose_tensors_do_not_fit_are_refused(files: dict[str, Any], name: str, tensor: torch.Tensor) -> None:
    path, read = files["distilled set"]
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    safetensors.torch.save_file({**tensors, name: tensor}, path, metadata=metadata)
    with pytest.raises(InputError, match=f"{path}.*{name}"):
        read(path)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([*Request.model_fields, "teachers", "sett", "", "row.label", "x" * 300])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.dictionaries(KEYS, JSONS, min_size=1, max_size=4))
def test_recipes_of_anything_are_refused_or_understood(tmp_path: Path, table: dict[str, Any]) -> None:
    path = tmp_path / "recipe.toml"
    try:
        path.write_text(tomli_w.dumps(_without_none(table)))
        request = Request.from_recipe(path).updated(Request(method=["delt"]))
    except (TypeError, UnicodeEncodeError):
        return  # nothing that TOML can say
    except InputError as error:
        assert "\n" not in str(error)
        return
    try:
        resolve(request, REGISTRY)
    except REFUSED as error:
        assert "\n" not in str(error)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "ignore")))
def test_recipes_that_are_no_toml_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    try:
        Request.from_recipe(path)
    except InputError as error:
        assert "\n" not in str(error) or "cannot be read" in str(error)


OPTIONS = st.sampled_from(
    ["scheduler.iterations", "scheduler.crop", "scheduler.roll", "matcher.weight", "protocol.epochs", "protocol.crop",
     "teacher.epochs", "dataset.image_size", "initializer.patches", "evaluator.model", "relabeler", "a.b.c", "."]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(option=OPTIONS, value=JSONS)
def test_options_of_any_value_are_refused_or_understood(option: str, value: Any) -> None:
    try:
        resolve(Request(method=["delt"], set={option: value}), REGISTRY)
    except REFUSED as error:
        assert str(error) and len(str(error)) < 2000


REGISTRY = load_registry()


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_none(inner) for inner in value if inner is not None]
    return value


# --- images and folders


def folder_of(root: Path, names: tuple[str, ...] = ("one", "two"), images: int = 2, side: int = 8) -> Path:
    for split in ("train", "test"):
        for name in names:
            (root / split / name).mkdir(parents=True)
            for place in range(images):
                Image.new("RGB", (side, side), (place, 20, 30)).save(root / split / name / f"{place}.png")
    return root


@pytest.mark.parametrize(
    "name",
    ["quo'te", 'dou"ble', "new\nline", "<script>alert(1)<br>", "[red]rich[bold]", "ümlaut", "dots..", "-rf", " "],
)
def test_odd_class_names_are_names(tmp_path: Path, name: str) -> None:
    data = ImageFolder(path=str(folder_of(tmp_path, ("plain", name)))).load()
    assert set(data.class_names) == {"plain", name}


def test_names_that_are_not_utf8_are_refused_or_read(tmp_path: Path) -> None:
    root = folder_of(tmp_path)
    for split in ("train", "test"):
        odd = Path(os.fsdecode(os.fsencode(root / split) + b"/\xff\xfe"))
        odd.mkdir()
        Image.new("RGB", (8, 8)).save(odd / "a.png")
    with pytest.raises(InputError, match="is not UTF-8"):
        ImageFolder(path=str(root)).load()


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (8, 8)).save(secret)
    root = folder_of(tmp_path / "data")
    (root / "train" / "one" / "link.png").symlink_to(secret)
    with pytest.raises(InputError, match=r"link\.png.* leads out of"):
        ImageFolder(path=str(root)).load()


def test_one_image_a_class_and_one_pixel_an_image_are_data(tmp_path: Path) -> None:
    data = ImageFolder(path=str(folder_of(tmp_path, images=1, side=1)), image_size=4).load()
    assert len(data.train) == 2 and data.image_size == 4


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is large, in a few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [20_000, 60_000, 2**31 - 1])
def test_decompression_bombs_are_refused_before_they_are_unpacked(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(side, side))
    with pytest.raises(InputError, match=r"bomb\.png cannot be read"):
        decode(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff"])
def test_images_cut_off_anywhere_are_refused_or_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.effect_noise((16, 16), 50).convert("RGB").save(path)
    content = path.read_bytes()
    for place in range(0, len(content), max(len(content) // 20, 1)):
        path.write_bytes(content[:place])
        try:
            assert decode(path).shape == (3, 16, 16)
        except InputError as error:
            assert "image" in str(error)
