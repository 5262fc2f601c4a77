"""Image folders as people have them: what is read, in what order, what is passed over, and what a value of them means."""

from __future__ import annotations

import os
import struct
import unicodedata
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder as Torchvisions

from conftest import DATASETS
from delt_host.basics.errors import InputError
from delt_host.basics.seeding import generator
from delt_host.contracts.dataset import RealData
from delt_plugins.datasets import decode as decode_module
from delt_plugins.datasets import files as files_module
from delt_plugins.datasets.decode import BadImage, decode
from delt_plugins.datasets.levels import Levels, RangeUnknown
from delt_plugins.datasets.reading import ReadingReport
from delt_plugins.datasets.walk import hidden

Save = Callable[[np.ndarray, Path], object]


def levels(seed: int, size: int = 8) -> np.ndarray:
    return torch.randint(200, 256, (size, size), generator=generator(seed, "levels"), dtype=torch.uint8).numpy()


def colour(pixels: np.ndarray, path: Path) -> None:
    Image.fromarray(pixels).convert("RGB").save(path)


def make(root: Path, save: Save = colour, suffix: str = ".png", classes: tuple[str, ...] = ("ant", "bee")) -> Path:
    """Three training and two test images of each class."""
    for split, count in (("train", 3), ("test", 2)):
        for label, name in enumerate(classes):
            (root / split / name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                save(levels(100 * label + 10 * i + count), root / split / name / f"{i}{suffix}")
    return root


def load(path: Path, **options: object) -> RealData:
    return DATASETS["folder"](path=str(path), **options).load()  # type: ignore[call-arg]


def note_of(data: RealData, begins: str) -> str:
    return next(note for note in data.notes if note.startswith(begins))


# --- what is read


def test_folders_below_a_class_are_read_in_torchvisions_order(tmp_path: Path) -> None:
    root = make(tmp_path / "d")
    for name in ("b", "a", "a-1", "a/deep"):
        (root / "train/ant" / name).mkdir()
        colour(levels(7), root / "train/ant" / name / "x.JPG")
    expected = [path for path, _ in Torchvisions(str(root / "train")).samples]
    data = load(root)
    assert [str(path) for path in data.train.paths] == expected and len(expected) == 10  # type: ignore[attr-defined]
    assert data.summary == "2 classes, 10 training and 4 test images"


@pytest.mark.parametrize("suffix", ["ppm", "pgm", "pbm", "gif", "jpe", "jfif", "JPG", "tif", "Webp", "apng"])
def test_formats_are_known_by_their_content_and_suffixes_in_any_case(tmp_path: Path, suffix: str) -> None:
    root = make(tmp_path / "d")
    form = {"jpe": "JPEG", "jfif": "JPEG", "jpg": "JPEG", "tif": "TIFF", "apng": "PNG"}.get(suffix.lower(), suffix)
    picture = Image.new("1" if suffix == "pbm" else "L", (8, 8), 255)
    picture.save(root / f"train/ant/new.{suffix}", "PPM" if form[0] == "p" and form != "PNG" else form.upper())
    data = load(root)
    assert len(data.train) == 7 and int(data.train.read(torch.tensor([3])).min()) > 250
    picture.save(root / "train/ant/other.png", "GIF")
    assert len(load(root).train) == 8


def test_what_is_passed_over_is_counted_by_kind_with_an_example(tmp_path: Path) -> None:
    root = make(tmp_path / "d")
    ant = root / "train/ant"
    for name in ("a.txt", "b.txt", "c.heic", "d.zip", "Makefile", "._0.png", "Thumbs.db"):
        (ant / name).write_bytes(b"x")
    (ant / "gone.png").symlink_to(ant / "nothing.png")
    (ant / "itself.png").symlink_to(ant / "itself.png")
    os.mkfifo(ant / "pipe.png")
    (ant / "empty.jpg").mkdir()
    (root / "train/list.csv").write_text("x")
    note = note_of(load(root), "passed over")
    assert "2 .txt (" in note and "a.txt" in note and "2 hidden (" in note and "2 links to nothing (" in note
    assert "3 of other kinds" in note, "after five kinds that are named"
    assert len(load(root).train) == 6


def test_a_class_without_images_is_told_with_what_lies_there(tmp_path: Path) -> None:
    root = make(tmp_path / "d")
    for image in (root / "train/ant").iterdir():
        image.rename(image.with_suffix(".heic"))
    with pytest.raises(InputError, match=r"train/ant has no images \(.*\); passed over, .*: 3 \.heic \(.*"):
        load(root)


def test_hidden_is_one_rule_everywhere(tmp_path: Path) -> None:
    names = [".ipynb_checkpoints", "._x.jpg", ".DS_Store", "__MACOSX", "Thumbs.db", "desktop.ini", "cat", "a.b", "_x"]
    assert [name for name in names if not hidden(name)] == ["cat", "a.b", "_x"]
    root = make(tmp_path / "d")
    before = load(root)
    for split in ("train", "test"):
        for name in (".ipynb_checkpoints", "__MACOSX", "ant/.ipynb_checkpoints"):
            (root / split / name).mkdir()
            colour(levels(1), root / split / name / "0-checkpoint.png")
        (root / split / "bee/._0.png").write_bytes(b"\0\5\x16\7")
    after = load(root)
    assert after.class_names == ("ant", "bee") and after.fingerprint == before.fingerprint
    assert "8 hidden (" in note_of(after, "passed over")
    meant = [note for note in after.notes if "is hidden by its name" in note]
    said = f"{root}/train/.ipynb_checkpoints is hidden by its name and holds 1 image: rename it to have it as a class"
    assert len(meant) == 4 and said in meant


def test_links_inside_are_followed_once_and_out_only_when_asked(tmp_path: Path) -> None:
    root, outside = make(tmp_path / "d"), tmp_path / "outside"
    outside.mkdir()
    colour(levels(5), outside / "x.png")
    (root / "train/ant/back").symlink_to(root / "train")
    (root / "train/ant/bees").symlink_to(root / "train/bee")
    data = load(root)
    assert len(data.train) == 9 and "1 links that lead back" in note_of(data, "passed over")
    (root / "train/ant/out").symlink_to(outside)
    with pytest.raises(InputError, match="ant/out is a symbolic link that leads out of"):
        load(root)
    assert len(load(root, follow_links=True).train) == 10
    other = make(tmp_path / "other")
    (other / "test").rename(outside / "test")
    (other / "test").symlink_to(outside / "test")
    with pytest.raises(InputError, match="other/test is a symbolic link that leads out of"):
        load(other)
    assert len(load(other, follow_links=True).test) == 4


def test_accents_coded_in_two_ways_are_one_class_and_case_is_two(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    root = make(tmp_path / "d", classes=("ant", composed))
    (root / "test" / composed).rename(root / "test" / apart)
    assert load(root).class_names == ("ant", composed)
    (root / "train" / apart).mkdir()
    with pytest.raises(InputError, match="two folders 'é', their accents coded in two ways"):
        load(root)
    two = make(tmp_path / "two", classes=("ant", "Ant"))
    assert "differ in upper and lower case alone" in note_of(load(two), "classes")
    (two / "test/Ant").rename(two / "test/aNt")
    with pytest.raises(InputError, match="class 'Ant' .* is in train/ but not in test/, which has 'aNt'"):
        load(two)


# --- what a value means


def twelve(pixels: np.ndarray, path: Path) -> None:
    Image.fromarray(pixels.astype(np.uint16) * 16).save(path)


def sixteen(pixels: np.ndarray, path: Path) -> None:
    Image.fromarray(pixels.astype(np.uint16) * 257).save(path)


def floats(pixels: np.ndarray, path: Path) -> None:
    Image.fromarray((pixels / 255).astype(np.float32)).save(path)


def integers(pixels: np.ndarray, path: Path) -> None:
    Image.fromarray(pixels.astype(np.int32) * 100).save(path)


def deep_colour(pixels: np.ndarray, path: Path, times: int = 16) -> None:
    """A PNG of 16 bits a channel, which Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = (pixels.astype(">u2") * times)[:, :, None].repeat(3, axis=2)
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", *pixels.shape[::-1], 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


@pytest.fixture(params=["in memory", "on demand"])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "on demand":
        monkeypatch.setattr(files_module, "IN_MEMORY", 0)
    return str(request.param)


@pytest.mark.parametrize(
    ("save", "suffix", "refused", "white"),
    [
        (twelve, ".png", r"brighter than 4\d\d\d of 65535 .*: --set dataset.white=4095", 4080),
        (
            floats,
            ".tif",
            r"\.tif is floating-point grey \(mode F\) with values from 0\.\d+ to .*dataset.white=VALUE",
            1,
        ),
        (integers, ".tif", r"\.tif is 32-bit grey \(mode I\) .* --set dataset.white=VALUE", 25500),
    ],
)
def test_a_range_of_values_is_stated_or_refused(
    tmp_path: Path, save: Save, suffix: str, refused: str, white: float, held: str
) -> None:
    plain = load(make(tmp_path / "plain"))
    root = make(tmp_path / "d", save, suffix)
    for skip in (False, True):
        with pytest.raises(RangeUnknown, match=refused):
            load(root, skip_bad_images=skip)
    data = load(root, white=white)
    assert torch.equal(data.train.read(torch.arange(6)), plain.train.read(torch.arange(6))), held
    assert torch.equal(data.train.original(2), plain.train.original(2))
    assert held == "on demand" or note_of(data, "converted").endswith(f"; {white:g} is white")
    again = load(root, white=white)
    assert torch.equal(again.train.original(2), plain.train.original(2)), "as an earlier run has kept it"
    with pytest.raises(RangeUnknown, match=r"dataset.white=\S+ says that none is larger"):
        load(root, white=white / 2)


def test_sixteen_bits_to_the_full_are_as_they_are(tmp_path: Path, held: str) -> None:
    plain, root = load(make(tmp_path / "plain")), make(tmp_path / "d", sixteen)
    Image.fromarray(np.full((8, 8), 100, np.uint16)).save(root / "train/ant/3.png")  # a dark one of a series
    for _ in range(2):
        data = load(root)
        assert torch.equal(data.train.read(torch.tensor([0, 1, 2])), plain.train.read(torch.tensor([0, 1, 2]))), held
        assert int(data.train.original(3).max()) == 0 and torch.equal(data.train.original(0), plain.train.original(0))
    assert load(root, white=65535).fingerprint != data.fingerprint or held == "in memory"


def test_one_hot_pixel_does_not_say_what_white_is(tmp_path: Path, held: str) -> None:
    root = make(tmp_path / "d", twelve)
    values = levels(5).astype(np.uint16) * 16
    values[0, 0] = 65535
    Image.fromarray(values).save(root / "train/ant/1.png")
    seen = r"of 10 images .* 1 uses the upper half .*ant/1\.png, up to 65535.* no brighter than 4\d\d\d .*white=4095"
    with pytest.raises(RangeUnknown, match=seen):
        load(root)
    data = load(root, white=65535)
    assert int(data.train.original(1).max()) == 255, held
    assert held == "on demand" or note_of(data, "converted").endswith("; 65535 is white")


@pytest.mark.parametrize(
    ("bright", "dark", "plain"),
    [(1, 0, True), (1, 1, False), (2, 18, True), (2, 19, False), (0, 1, False), (0, 0, True)],
)
def test_a_fair_share_of_images_says_what_sixteen_bits_mean(bright: int, dark: int, plain: bool) -> None:
    found = Levels()
    for place in range(bright + dark):
        value = 65535 if place < bright else 1000
        found.to_8_bits(Image.fromarray(np.full((2, 2), value, np.uint16)), f"{place:02}.png")
    if plain:
        assert found.settle().white == (65535 if bright else 0)
    else:
        with pytest.raises(RangeUnknown, match=r"image \d\d\.png.*, and nothing says which value is white: .*=1023 if"):
            found.settle()


def test_png_has_sixteen_bits_at_most_whatever_mode_it_is_opened_in() -> None:
    image, found = Image.fromarray(np.full((2, 2), 65535, np.int32)), Levels()
    image.format = "PNG"
    assert int(np.asarray(found.to_8_bits(image, "x.png")).min()) == 255 and found.settle().white == 65535


def test_colours_of_sixteen_bits_are_judged_by_what_can_be_read_of_them(tmp_path: Path, held: str) -> None:
    full = make(tmp_path / "full", lambda pixels, path: deep_colour(pixels, path, 257))
    assert torch.equal(load(full).train.original(1), load(make(tmp_path / "plain")).train.original(1)), held
    assert held == "on demand" or note_of(load(full), "converted").endswith(": 10 16-bit colour; 65535 is white")
    dark = make(tmp_path / "dark", deep_colour)
    with pytest.raises(
        RangeUnknown, match=r"nothing says which value is white: convert them to 8 bits, or .*65535 if they are dark$"
    ):
        load(dark)
    with pytest.raises(RangeUnknown, match="only the upper 8 can be read"):
        load(dark, white=4095)


def test_a_kind_that_was_not_looked_at_is_refused_when_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "IN_MEMORY", 0)
    monkeypatch.setattr(files_module, "LEVELS_SAMPLE", 1)
    monkeypatch.setattr("delt_host.contracts.in_memory.SAMPLE", 1)
    root = make(tmp_path / "d")
    twelve(levels(3), root / "train/ant/1.png")
    data = load(root)
    with pytest.raises(RangeUnknown, match="has 16 bits a value, as none had of those that were looked at"):
        data.train.original(1)


def test_values_below_black_and_those_that_are_no_numbers(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), -1000, np.int32)).save(tmp_path / "ct.tif")
    with pytest.raises(RangeUnknown, match="values from -1000 to -1000: 0 has to be black"):
        decode(tmp_path / "ct.tif")
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "nan.tif")
    with pytest.raises(BadImage, match="some of its values are not numbers"):
        decode(tmp_path / "nan.tif")


@pytest.mark.parametrize("form", ["gif", "webp", "png", "tiff"])
def test_of_several_pictures_the_first_is_taken_and_said(tmp_path: Path, form: str) -> None:
    first, *others = (Image.new("RGB", (4, 4), (place * 80, 0, 0)) for place in range(3))
    first.save(tmp_path / f"x.{form}", save_all=True, append_images=others)
    report = ReadingReport()
    assert int(decode(tmp_path / f"x.{form}", report).max()) == 0
    assert "1 of several pictures, the first taken" in report.notes()[0]


# --- bad images


def test_a_thin_image_is_a_bad_one_before_it_is_brought_to_a_size(tmp_path: Path, held: str) -> None:
    root = make(tmp_path / "d")
    Image.new("RGB", (1, 60_000), (200, 30, 30)).save(root / "train/ant/thin.png")
    with pytest.raises(BadImage, match=r"thin\.png cannot be read: it is 1 x 60000 px.*--skip-bad-images"):
        load(root)
    data = load(root, skip_bad_images=True)
    assert len(data.train) == 6 and data.image_size == 8 and "thin.png" in note_of(data, "skipped 1"), held


@pytest.mark.parametrize(
    "raised",
    [
        *(
            MemoryError(),
            struct.error("unpack"),
            zlib.error("x"),
            SyntaxError("x"),
            OverflowError("x"),
            RuntimeError("x"),
        ),
        *(EOFError(), TypeError("x"), IndexError("x"), OSError("decoder error -2"), Image.DecompressionBombError("x")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_pillow_raises_is_a_bad_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    root = make(tmp_path / "d")

    def fail(*_given: object, **_options: object) -> None:
        raise raised

    monkeypatch.setattr(decode_module, "_rgb", fail)
    with pytest.raises(BadImage, match=r"0\.png cannot be read: .+; repair or remove it"):
        decode(root / "train/ant/0.png")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "pointer of Git LFS"),
        (b"<!DOCTYPE html><title>404</title>", "it is an HTML page"),
    ],
)
def test_what_lies_in_the_place_of_an_image_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(BadImage, match=reason):
        decode(tmp_path / "x.png")


def test_a_file_that_may_not_be_read_is_no_bad_image(tmp_path: Path) -> None:
    root = make(tmp_path / "d")
    (root / "train/ant/1.png").chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(0o755)
    me = os.geteuid()
    try:
        os.seteuid(me or 65534)  # root reads everything
        with pytest.raises(
            InputError, match=r"the file of image .*ant/1\.png cannot be read: Permission denied"
        ) as caught:
            load(root, skip_bad_images=True)
    finally:
        os.seteuid(me)
    assert not isinstance(caught.value, BadImage)


def test_what_is_decoded_at_one_time_has_room(tmp_path: Path) -> None:
    room = decode_module._Room(100)
    with room.of(60), room.of(40):
        assert room.free == 0
    with room.of(10**9):
        assert room.free == 0
    assert room.free == 100
