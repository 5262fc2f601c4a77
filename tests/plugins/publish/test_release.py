"""Published distilled sets are read as they come, matched with the dataset's classes, and hostile ones refused."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor

import delt_host
from conftest import lines_of, make_problem
from delt_host import InputError
from delt_host.cli import cli
from delt_host.contracts.dataset import RealData
from delt_host.contracts.teacher import Teacher
from delt_plugins.kit import check
from delt_plugins.publish.export import png
from delt_plugins.publish.imported import Imported
from delt_plugins.publish.release import match_folders, read_release

NAMES = ("airplane", "bird", "sea lion")
SIZE = 8


def picture(value: int) -> Tensor:
    return torch.randint(0, 256, (3, SIZE, SIZE), generator=torch.Generator().manual_seed(value), dtype=torch.uint8)


def release(path: Path, folders: dict[str, list[int]], prefix: str = "", name: str = "class_id{:03d}.png") -> Path:
    """Images drawn from numbers, in class folders, in a folder or a zip file."""
    files = {
        f"{prefix}{folder}/{name.format(place)}": png(picture(value))
        for folder, values in folders.items()
        for place, value in enumerate(values)
    }
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file, content in files.items():
                archive.writestr(file, content)
        return path
    for file, content in files.items():
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (("airplane", "bird", "sea lion"), "classes by name"),
        (("Airplane", "bird", "sea_lion"), "without regard to case and separators"),
        (("00000", "00001", "00002"), r"numbered.*00000 is airplane, 00001 is bird, 00002 is sea lion"),  # RDED, DELT
        (("new000", "new001", "new002"), "numbered"),  # SRe2L
        (("0", "1", "2"), "numbered"),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "set.zip"])
def test_the_published_layouts_are_read_in_the_datasets_class_order(
    folders: tuple[str, ...], said: str, kind: str, tmp_path: Path
) -> None:
    made = dict(zip(folders, ([1, 2], [3, 4], [5, 6]), strict=True))
    path = release(
        tmp_path / kind, dict(reversed(made.items())), prefix="rn18_[4K]/syn_data/" if kind != "folder" else ""
    )
    found = read_release(path, NAMES, SIZE)
    assert torch.equal(found.pixels, torch.stack([picture(value) for value in range(1, 7)]))
    assert found.targets.tolist() == [0, 0, 1, 1, 2, 2] and found.ipc == 2
    assert pytest.importorskip("re").search(said, found.order)


def test_folders_under_any_name_are_matched_by_a_list(tmp_path: Path) -> None:
    path = release(tmp_path / "set", {"n02": [5], "n01": [3], "n00": [1]})
    with pytest.raises(InputError, match=r"not the dataset's classes: 3 folders, 3 classes; no class: n00, n01, n02"):
        read_release(path, NAMES, SIZE)
    found = read_release(path, NAMES, SIZE, folders=("n02", "n00", "n01"))
    assert torch.equal(found.pixels, torch.stack([picture(value) for value in (5, 1, 3)]))
    with pytest.raises(InputError, match="--class-names does not name the folders"):
        read_release(path, NAMES, SIZE, folders=("n02", "n00", "n00"))


@pytest.mark.parametrize(
    ("folders", "names", "wrong"),
    [
        (("0", "1", "10"), ("0", "1", "10"), None),
        (("0", "1"), ("1", "0"), "folder 0 may be the class named so, or the class of that number"),
        (("00", "01"), ("1", "0"), None),
        (("1", "2"), ("a", "b"), "2 folders, 2 classes; no class: 1, 2; no folder: a, b"),
        (("a",), ("a", "b"), "no folder: b"),
        (("a", "A"), ("a", "b"), "no class: A"),
        (("0", "00"), ("a", "b"), "no class"),
    ],
)
def test_what_may_mean_two_things_is_refused(
    folders: tuple[str, ...], names: tuple[str, ...], wrong: str | None
) -> None:
    if folders == names:
        assert match_folders(folders, names)[0] == {name: place for place, name in enumerate(names)}
    elif wrong is None:  # 00 is no name here, so only its number counts
        assert match_folders(folders, names)[0] == {"00": 0, "01": 1}
    else:
        with pytest.raises(InputError, match=wrong):
            match_folders(folders, names)


def test_a_release_must_be_whole_and_of_the_right_size(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="as many images of each class: 1 in bird, 2 in airplane"):
        read_release(release(tmp_path / "a", {"airplane": [1, 2], "bird": [3], "sea lion": [4, 5]}), NAMES, SIZE)
    path = release(tmp_path / "b", {"airplane": [1], "bird": [2], "sea lion": [3]})
    with pytest.raises(InputError, match=r"class_id000.png cannot be taken: it is 8 x 8 px, not 16 x 16"):
        read_release(path, NAMES, 16)
    release(path / "more", {"airplane": [1], "bird": [2], "sea lion": [3]})
    with pytest.raises(InputError, match=r"class folders in 2 places \(., more\); say which with --inside"):
        read_release(path, NAMES, SIZE)
    assert read_release(path, NAMES, SIZE, inside="more").ipc == 1
    with pytest.raises(InputError, match="has no images"):
        read_release(tmp_path, NAMES, SIZE, inside="nowhere")
    with pytest.raises(InputError, match="no distilled set at"):
        read_release(tmp_path / "nowhere", NAMES, SIZE)
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(InputError, match="must be a folder or a zip file"):
        read_release(tmp_path / "text.zip", NAMES, SIZE)


def test_what_is_no_image_is_left_aside_and_links_are_refused(tmp_path: Path) -> None:
    path = release(tmp_path / "set", {"airplane": [1], "bird": [2], "sea lion": [3]})
    (path / "airplane" / ".DS_Store").write_text("x")
    (path / "log.txt").write_text("x")
    (path / "overview.png").write_bytes(png(picture(9)))
    release(path, {"airplane": [7]}, prefix="__MACOSX/", name="._{}.png")
    before = read_release(path, NAMES, SIZE)
    assert before.ipc == 1
    (tmp_path / "secret.png").write_bytes(png(picture(8)))
    (path / "bird" / "class_id000.png").unlink()
    (path / "bird" / "class_id000.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(InputError, match="symbolic link"):
        read_release(path, NAMES, SIZE)


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that claims, and has, side x side pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(bytes(side + 1) * side, 9)
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("member", "content", "wrong"),
    [
        ("../../bird/x.png", b"x", "leads out of it"),
        ("/etc/bird/x.png", b"x", "leads out of it"),
        ("C:\\bird\\x.png", b"x", "leads out of it"),
        ("bird/bomb.png", bomb(3000), "it is 3000 x 3000 px, not 8 x 8"),
        ("bird/bomb.png", bytes(2**28), "larger than an image of that size can be"),
        ("bird/text.png", b"hello", "cannot be taken"),
        ("bird/cut.png", png(picture(1))[:60], "cannot be taken"),
    ],
    ids=["up", "absolute", "drive", "pixels", "zeros", "text", "cut"],
)
def test_hostile_zip_files_are_refused_and_write_nothing(
    member: str, content: bytes, wrong: str, tmp_path: Path
) -> None:
    import tracemalloc

    path = release(tmp_path / "set.zip", {"airplane": [1], "sea lion": [3]})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    del content
    tracemalloc.start()
    with pytest.raises(InputError, match=wrong):
        read_release(path, NAMES, SIZE)
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["set.zip"]


def test_a_damaged_an_encrypted_and_a_lying_zip_file_are_refused(tmp_path: Path) -> None:
    path = release(tmp_path / "set.zip", {"airplane": [1], "bird": [2], "sea lion": [3]})
    whole = path.read_bytes()
    place = whole.index(b"IDAT") if b"IDAT" in whole else 80
    path.write_bytes(whole[:place] + bytes(20) + whole[place + 20 :])
    with pytest.raises(InputError, match=r"cannot be read|cannot be taken"):
        read_release(path, NAMES, SIZE)
    encrypted = bytearray(whole)
    for start in (b"PK\x03\x04", b"PK\x01\x02"):
        at = encrypted.index(start) + (6 if start == b"PK\x03\x04" else 8)
        encrypted[at] |= 1
    path.write_bytes(bytes(encrypted))
    with pytest.raises(InputError, match="that is encrypted"):
        read_release(path, NAMES, SIZE)
    lying = bytearray(whole)  # of a size that it has not, in the directory
    at = lying.index(b"PK\x01\x02") + 24
    lying[at : at + 4] = struct.pack("<I", 40)
    path.write_bytes(bytes(lying))
    with pytest.raises(InputError, match="cannot be (read|taken)"):
        read_release(path, NAMES, SIZE)
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive, pytest.warns(UserWarning):
        archive.writestr("bird/x.png", b"1")
        archive.writestr("bird/x.png", b"2")
    with pytest.raises(InputError, match="two members 'bird/x.png'"):
        read_release(tmp_path / "twice.zip", NAMES, SIZE)


def digit_release(
    digits: RealData, path: Path, folder: str = "new{:03d}", shift: int = 0, jpeg: bool = False
) -> Tensor:
    """Two real images of every class as SRe2L's releases come; their pixels in class order."""
    pixels = torch.cat([digits.train.read(digits.train.of_class(label)[:2]) for label in range(10)])
    for place, image in enumerate(pixels):
        to = path / folder.format((place // 2 + shift) % 10)
        to.mkdir(parents=True, exist_ok=True)
        name = f"class{place // 2:03d}_id{place % 2:03d}"
        if jpeg:
            Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(to / f"{name}.jpg", quality=75)
        else:
            (to / f"{name}.png").write_bytes(png(image))
    return pixels


@pytest.mark.usefixtures("with_teacher")
def test_an_imported_set_is_evaluated_and_is_a_row_of_its_own_recipe(
    digits: RealData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a zip file in a published layout to a score, which is that of the same images under the same student."""
    digit_release(digits, tmp_path / "files", jpeg=True)
    with zipfile.ZipFile("SRe2L.zip", "w") as archive:
        for file in sorted((tmp_path / "files").rglob("*.jpg")):
            archive.write(file, f"syn/{file.relative_to(tmp_path / 'files')}")

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    small = [
        "--set", "dataset.image_size=8", "--set", "teacher.epochs=4", "--set", "protocol.epochs=3", "--seeds", "2",
    ]  # fmt: skip
    output = call("import", "SRe2L.zip", "--dataset", "digits", "--out", "made", "--student", "convnet3", *small)
    assert "folders are numbered: taken as places in the dataset's class order (new000 is 0" in output
    assert "made: 20 images, 2 of each class" in output
    (listed,) = json.loads(call("runs", ".", "--json"))
    assert (listed["run"], listed["best"]) == ("made", "imported; not evaluated")
    call("evaluate", "made", "-q")
    (listed,) = json.loads(call("runs", ".", "--json"))
    assert listed["best"].startswith("SRe2L: ") and listed["dataset"] == "digits, IPC 2, 2 seeds"
    (line,) = lines_of(tmp_path / "made/evaluations/student").values()
    assert line.row.label == "SRe2L" and line.summary.n == 2
    loaded = delt_host.load("made/SRe2L/seed-1")
    assert loaded.about["imported"]["file"] == "SRe2L.zip" and str(tmp_path) not in json.dumps(loaded.about)
    jpegs = sorted((tmp_path / "files").rglob("*.jpg"))
    assert torch.equal(loaded.pixels, torch.stack([pixels_of(file) for file in jpegs]))

    # The recipe reads the same images again, and so gets the same scores; a changed file is refused.
    call("run", "made/experiment.toml", "-q", "--out", "again")
    assert lines_of(tmp_path / "again")["SRe2L"].headline == line.headline
    with zipfile.ZipFile("SRe2L.zip", "a") as archive:
        for label in range(10):
            archive.write(jpegs[0], f"syn/new{label:03d}/more.jpg")
    with pytest.raises(InputError, match=r"has changed since it was imported"):
        CliRunner().invoke(
            cli, ["run", "made/experiment.toml", "-q", "--out", "third", "--store", "other"], catch_exceptions=False
        )


def pixels_of(file: Path) -> Tensor:
    from torchvision.transforms.v2.functional import pil_to_tensor

    return pil_to_tensor(Image.open(io.BytesIO(file.read_bytes())).convert("RGB"))


def test_the_initializer_keeps_its_contract(digits: RealData, teacher: Teacher, tmp_path: Path) -> None:
    pixels = digit_release(digits, tmp_path / "set")
    found = read_release(tmp_path / "set", digits.class_names, 8)
    component = Imported(path=str(tmp_path / "set"), sha256=found.sha256)
    problem = make_problem(digits, teacher, ipc=2)
    check(component, problem)
    start = component.initialize(problem, range(problem.num_classes))
    assert torch.equal(start.images, pixels)
    with pytest.raises(InputError, match="has 2 images of each class, 3 are asked for"):
        component.initialize(make_problem(digits, teacher, ipc=3), range(10))


def test_a_teacher_tells_that_the_order_of_classes_is_another(digits: RealData, primed: Path, tmp_path: Path) -> None:
    """The failure that users of published sets meet most: here it is said at once."""
    said = {}
    for shift in (0, 1):
        digit_release(digits, tmp_path / f"set{shift}", folder="{:05d}", shift=shift)
        result = CliRunner().invoke(
            cli,
            ["import", f"set{shift}", "--dataset", "digits", "--set", "dataset.image_size=8", "--out", f"made{shift}",
             "--teacher", str(primed / "fp32.safetensors")],
            catch_exceptions=False,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        said[shift] = result.output
    assert "near chance" not in said[0] and "is near chance: are the folders numbered in another class order" in said[1]


def zip_with(path: Path, name: str, **about: Any) -> Path:
    """A whole set with one member more, of which something is said."""
    release(path, {"airplane": [1], "bird": [2], "sea lion": [3]})
    entry = zipfile.ZipInfo(name)
    for key, value in about.items():
        setattr(entry, key, value)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, png(picture(9)))
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_stored_and_deflated_members_are_unpacked(tmp_path: Path, method: int) -> None:
    path = zip_with(tmp_path / "set.zip", "bird/x.png", compress_type=method)
    with pytest.raises(InputError, match="a member 'bird/x.png' that is neither stored nor deflated; it is not read"):
        read_release(path, NAMES, SIZE)


@pytest.mark.parametrize(
    ("name", "about", "wrong"),
    [
        (".", {}, "a member '.' whose name is none"),
        ("bird/x.png", {"external_attr": 0o120777 << 16}, "that is a symbolic link"),
        ("bird/Q.png", {}, "whose name is none"),
    ],
    ids=["dot", "link", "NUL"],
)
def test_members_that_are_no_files_are_refused(tmp_path: Path, name: str, about: dict[str, Any], wrong: str) -> None:
    path = zip_with(tmp_path / "set.zip", name, **about)
    path.write_bytes(path.read_bytes().replace(b"bird/Q.png", b"bird/\0.png"))
    with pytest.raises(InputError, match=wrong):
        read_release(path, NAMES, SIZE)


@pytest.mark.parametrize("kind", ["folder", "set.zip"])
def test_what_is_passed_over_in_a_release_is_counted(tmp_path: Path, kind: str) -> None:
    path = release(tmp_path / kind, {"airplane": [1], "bird": [2], "sea lion": [3]})
    extra = {"bird/notes.txt": b"x", "bird/.ipynb_checkpoints/a.png": png(picture(9)), "a.png": png(picture(9))}
    for name, content in extra.items():
        if kind == "folder":
            (path / name).parent.mkdir(exist_ok=True)
            (path / name).write_bytes(content)
        else:
            with zipfile.ZipFile(path, "a") as archive:
                archive.writestr(name, content)
    (note,) = read_release(path, NAMES, SIZE).notes
    assert all(part in note for part in ("1 hidden (", "1 .txt (bird/notes.txt)", "1 beside the class folders (a.png)"))
