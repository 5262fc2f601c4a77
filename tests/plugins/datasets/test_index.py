"""What stands for the content of files has looked at it, and is quick all the same."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from conftest import DATASETS
from delt_host.basics.errors import InputError
from delt_host.basics.seeding import generator
from delt_host.contracts import in_memory
from delt_host.contracts.dataset import RealData
from delt_host.contracts.services import Services
from delt_host.contracts.validation import with_validation
from delt_host.store.entry import default_store, file_digest
from delt_host.store.store import Store
from delt_plugins.datasets import decode as decode_module
from delt_plugins.datasets import files as files_module
from delt_plugins.datasets import index as index_module
from delt_plugins.datasets.index import index
from delt_plugins.engines.parcel import pack_data

LONG_AGO = 1_000_000_000 * 10**9  # nanoseconds
PLACES = ("train/ant/0", "train/ant/1", "train/bee/0", "test/ant/0", "test/bee/0")


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written just now are remembered, as those of yesterday are."""
    monkeypatch.setattr(index_module, "RECENT", -1.0)


@pytest.fixture(params=["in memory", "on demand"])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "on demand":
        monkeypatch.setattr(files_module, "IN_MEMORY", 0)
    return str(request.param)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose content is looked at."""
    found: list[str] = []

    def look(path: Path) -> str:
        found.append(path.name)
        return file_digest(path)

    monkeypatch.setattr(index_module, "file_digest", look)
    return found


def bitmap(path: Path, seed: int, size: int = 8) -> None:
    """An image whose file is as long as any other's of its size, and as old."""
    pixels = torch.randint(256, (size, size, 3), generator=generator(seed, "bitmap"), dtype=torch.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.numpy()).save(path)
    os.utime(path, ns=(LONG_AGO, LONG_AGO))


def pictures(root: Path, seed: int = 0) -> Path:
    for number, place in enumerate(PLACES):
        bitmap(root / f"{place}.bmp", 100 * seed + number)
    return root


def load(root: Path, **options: object) -> RealData:
    return DATASETS["folder"](path=str(root), **options).load(Services(Store(default_store())))  # type: ignore[call-arg]


def pixels(data: RealData) -> torch.Tensor:
    return torch.cat([split.read(torch.arange(len(split))) for split in (data.train, data.test)])


def on_disk(root: Path) -> torch.Tensor:
    return torch.stack([files_module.decode(root / f"{place}.bmp") for place in PLACES])


def test_folders_of_equal_names_sizes_and_times_keep_their_own_images(tmp_path: Path, held: str) -> None:
    one, two = pictures(tmp_path / "one/set", 1), pictures(tmp_path / "two/set", 2)
    first, second = load(one), load(two)
    assert first.fingerprint != second.fingerprint, held
    assert torch.equal(pixels(first), on_disk(one)) and torch.equal(pixels(second), on_disk(two))


def test_a_folder_put_in_the_place_of_another_is_seen(tmp_path: Path, held: str) -> None:
    one, two = pictures(tmp_path / "one", 1), pictures(tmp_path / "two", 2)
    first = load(one)
    shutil.rmtree(one)
    two.rename(one)
    assert load(one).fingerprint != first.fingerprint, held
    assert torch.equal(pixels(load(one)), on_disk(one))


def test_a_file_replaced_with_its_time_kept_is_seen(tmp_path: Path, held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_evenly", lambda places: places[:0])  # it is in no sample
    root = pictures(tmp_path / "set")
    before = load(root)
    bitmap(root / "train/ant/1.bmp", 77)
    after = load(root)
    assert after.fingerprint != before.fingerprint, held
    assert torch.equal(pixels(after), on_disk(root))


def test_where_a_file_system_shows_no_difference_a_sample_tells(
    tmp_path: Path, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_look", lambda file: (Path(file).stat().st_size, LONG_AGO, LONG_AGO, 1))
    root = pictures(tmp_path / "set", 1)
    before = load(root)
    pictures(root, 2)
    assert load(root).fingerprint != before.fingerprint, held
    assert torch.equal(pixels(load(root)), on_disk(root))


def test_files_are_read_once_and_then_a_sample_of_them(tmp_path: Path, held: str, read: list[str]) -> None:
    root = tmp_path / "set"
    for place in ("train/ant", "train/bee", "test/ant", "test/bee"):
        for number in range(50):
            bitmap(root / place / f"{number}.bmp", number)
    first = load(root)
    again = 2 * index_module.SAMPLE  # whether something changed while images were decoded
    assert len(set(read)) == 50 and 200 <= len(read) <= 200 + again
    read.clear()
    assert load(root).fingerprint == first.fingerprint, held
    assert 0 < len(read) <= 2 * index_module.SAMPLE
    (root / "train/ant/7.bmp").touch()
    read.clear()
    assert load(root).fingerprint == first.fingerprint, "touched, but the same"
    assert "7.bmp" in read and len(read) <= 2 * index_module.SAMPLE + 1


def test_over_many_runs_the_sample_is_of_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = iter(range(4))
    monkeypatch.setattr(index_module.secrets, "randbelow", lambda _step: next(starts))
    samples = [index_module._evenly(torch.arange(100)).tolist() for _ in range(4)]
    assert all(len(sample) <= index_module.SAMPLE for sample in samples)
    assert sorted(place for sample in samples for place in sample) == list(range(100))


def test_files_of_this_moment_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: list[str]) -> None:
    monkeypatch.setattr(index_module, "RECENT", 2.0)
    monkeypatch.setattr(index_module, "_evenly", lambda places: places[:0])
    bitmap(tmp_path / "a.bmp", 1)
    for _ in range(2):
        index([tmp_path / "a.bmp"], tmp_path / "memory")
    assert read == ["a.bmp", "a.bmp"], "it could have been written twice within a tick of the clock"


def test_the_same_images_elsewhere_are_decoded_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = pictures(tmp_path / "set")
    (root / "train/bee/bad.png").write_bytes(b"no image")
    first = load(root, skip_bad_images=True)
    copy = Path(shutil.copytree(root, tmp_path / "other/name"))
    (copy / "train/ant/0.bmp").rename(copy / "train/ant/00.bmp")  # the order stays
    decoded: list[Path] = []
    monkeypatch.setattr("delt_plugins.datasets.decode.decode", lambda path, *_: decoded.append(path))
    second = load(copy, skip_bad_images=True)
    assert not decoded and second.fingerprint == first.fingerprint
    assert str(copy / "train/bee/bad.png") in second.notes[-1], "what was left out is named by its own folder"
    assert torch.equal(pixels(second), pixels(first)) and second.train.original(0).shape == (3, 8, 8)


def test_names_that_change_the_order_change_the_set(tmp_path: Path, held: str) -> None:
    root = pictures(tmp_path / "set")
    before = load(root).fingerprint
    (root / "train/ant/0.bmp").rename(root / "train/ant/9.bmp")
    assert load(root).fingerprint != before, held


def test_images_that_differ_at_their_own_size_alone_differ(tmp_path: Path) -> None:
    """Patches are cut from them."""
    for name, size in (("one", 8), ("two", 16)):
        for place in PLACES:
            (tmp_path / name / place).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (size, size), (90, 20, 30)).save(tmp_path / name / f"{place}.bmp")
    one, two = (load(tmp_path / name, image_size=8) for name in ("one", "two"))
    assert torch.equal(pixels(one), pixels(two)) and one.fingerprint != two.fingerprint


def test_what_changes_while_it_is_decoded_is_refused_by_name_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, decode_all = pictures(tmp_path / "set"), files_module.decode_all

    def meanwhile(*arguments: Any) -> Any:
        bitmap(root / "train/ant/0.bmp", 55)
        return decode_all(*arguments)

    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    monkeypatch.setattr(files_module, "decode_all", meanwhile)
    with pytest.raises(InputError, match=r"train/ant/0.bmp changed while it was read; run again when nothing writes"):
        load(root)
    with pytest.raises(InputError, match="changed while"):
        DATASETS["folder"](path=str(pictures(root))).load()  # type: ignore[call-arg]
    assert not list((tmp_path / "store").glob("decode/*"))
    monkeypatch.setattr(files_module, "decode_all", decode_all)
    assert torch.equal(pixels(load(copy)), on_disk(copy)), "what the folder was when it was looked at"
    assert torch.equal(pixels(load(root)), on_disk(root))


def damage_by_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [damage_by_a_bit, lambda file: file.write_bytes(b""), lambda file: file.write_bytes(b"x" * 500), Path.unlink],
    ids=["a bit", "empty", "other", "gone"],
)
def test_damaged_memory_is_made_anew(
    tmp_path: Path, harm: Callable[[Path], object], held: str, read: list[str]
) -> None:
    root = pictures(tmp_path / "set")
    first = load(root)
    kept = [*(tmp_path / "store/index").iterdir(), *(tmp_path / "store").glob("decode/*")]
    assert len(kept) == (3 if held == "in memory" else 2)
    for file in kept:
        harm(file)
    read.clear()
    assert load(root).fingerprint == first.fingerprint, held
    assert len(set(read)) == 2 and len(read) >= len(PLACES)


def test_without_a_store_nothing_is_kept(tmp_path: Path, held: str) -> None:
    root = pictures(tmp_path / "set")
    first = load(root)
    shutil.rmtree(tmp_path / "store")
    again = DATASETS["folder"](path=str(root)).load()  # type: ignore[call-arg]
    assert again.fingerprint == first.fingerprint and torch.equal(pixels(again), pixels(first)), held
    assert not (tmp_path / "store").exists()


def test_images_for_which_the_store_has_no_room_cost_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object, **_more: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    root = pictures(tmp_path / "set")
    first = load(root)
    shutil.rmtree(tmp_path / "store")
    monkeypatch.setattr("delt_host.store.files.save_tensors", full)
    assert load(root).fingerprint == first.fingerprint
    assert not list((tmp_path / "store").glob("decode/*")) and not list((tmp_path / "store").glob(".writing-*"))


def test_a_file_that_changes_during_a_run_is_refused_where_it_is_read_again(tmp_path: Path, held: str) -> None:
    root = pictures(tmp_path / "set")
    data = load(root)
    (root / "train/ant/0.bmp").touch()
    assert data.train.original(0).shape == (3, 8, 8), "touched, but the same"
    bitmap(root / "train/ant/0.bmp", 88)
    with pytest.raises(InputError, match=r"train/ant/0.bmp changed while"):
        data.train.original(0)
    if held == "on demand":
        with pytest.raises(InputError, match=r"train/ant/0.bmp changed while"):
            data.train.read(torch.tensor([1, 0]))


def test_what_is_remembered_of_other_files_of_the_folder_stays(tmp_path: Path, read: list[str]) -> None:
    files = [tmp_path / f"set/{name}/x.bmp" for name in ("a", "b", "c")]
    for number, file in enumerate(files):
        bitmap(file, number)
    done: list[int] = []
    for asked in (files, [files[0], files[2]], files):
        assert index(asked, tmp_path / "memory", done.append).contents.shape == (len(asked), 32)
    assert len(read) == 3 + 2 + 3, "all, then those that are in the sample"
    assert done == [0, 3, 2, 3], "as many as there are, each time"
    files[0].write_bytes(b"other")
    assert index([files[0], files[2]], tmp_path / "memory").digest() != index(files, tmp_path / "memory").digest()
    found = index(files, tmp_path / "memory").contents
    assert [bytes(row.tolist()).hex() for row in found] == [file_digest(file) for file in files]


def test_a_file_that_cannot_be_read_is_for_decoding_to_name(tmp_path: Path) -> None:
    bitmap(tmp_path / "a.bmp", 1)
    found = index([tmp_path / "a.bmp", tmp_path / "gone.bmp"], tmp_path / "memory")
    assert found.contents[0].any() and not found.contents[1].any()
    bitmap(tmp_path / "gone.bmp", 2)
    assert index([tmp_path / "a.bmp", tmp_path / "gone.bmp"], tmp_path / "memory").contents[1].any()


def test_test_images_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "IN_MEMORY", 0)
    root = pictures(tmp_path / "set")
    data, decode_all = load(root), files_module.decode_all
    decoded: list[str] = []

    def counted(paths: list[str], *more: Any) -> Any:
        decoded.extend(paths)
        return decode_all(paths, *more)

    monkeypatch.setattr(files_module, "decode_all", counted)
    with torch.inference_mode():
        first = data.test.read(torch.tensor([1, 1])).clone()
    both = data.test.read(torch.tensor([0, 1]))
    assert torch.equal(both, on_disk(root)[3:]) and torch.equal(both[1], first[0]) and torch.equal(both[1], first[1])
    assert decoded == [data.test.paths[1], data.test.paths[0]]  # type: ignore[attr-defined]
    data.test.read(torch.arange(2))
    assert len(decoded) == 2
    for _ in range(2):
        data.train.read(torch.tensor([0]))
    assert len(decoded) == 4, "training images do not stay"
    monkeypatch.setattr(files_module, "ONCE", 0)
    monkeypatch.setattr(files_module, "SHARE", 0)
    large = load(root)
    for _ in range(2):
        large.test.read(torch.tensor([0]))
    assert len(decoded) >= 6, "nor do more than there is room for"


def test_what_is_held_out_of_a_folder_is_as_its_split_is(
    tmp_path: Path, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory engines can send it, and read from files it is decoded once; each image keeps its file."""
    root = tmp_path / "set"
    for level, (split, label, name) in enumerate(itertools.product(("train", "test"), ("ant", "bee"), "012")):
        (root / split / label).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 16), (20 * level, 0, level)).save(root / split / label / f"{name}.png")
    whole = load(root)
    data = with_validation(whole, 0.34)
    assert len(data.train) == 4 and len(data.scored) == 2
    assert bool(pack_data(data)) == (held == "in memory")
    every = [*whole.train.read(torch.arange(6))]
    for split in (data.train, data.scored):
        for place, image in enumerate(split.read(torch.arange(len(split)))):
            (there,) = (nth for nth, one in enumerate(every) if torch.equal(one, image))
            assert torch.equal(split.original(place), whole.train.original(there))
            assert split.targets[place] == whole.train.targets[there]
    if held == "on demand":
        monkeypatch.setattr(files_module, "decode_all", None)
        assert len(data.scored.read(torch.arange(2))) == 2, "they stay in memory"


def test_mean_and_std_of_what_is_left_in_memory_are_of_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_memory, "SAMPLE", 2)
    images = torch.arange(0, 250, 10, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2).contiguous()
    contents = index_module.Index(torch.zeros(25, 32, dtype=torch.uint8), torch.zeros(25, 4, dtype=torch.int64))
    split = files_module.OriginalsSplit(images, torch.zeros(25), ["a.png"] * 25, contents, 0.0, False)
    kept = torch.tensor([0, 1, 2, 3, 24])
    mean, _ = in_memory.mean_and_std(split.part(kept))
    assert mean[0] == pytest.approx(float(images[kept].double().mean()) / 255)


def test_threads_that_decode_are_as_many_as_may_compute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = pictures(tmp_path / "set")
    asked: list[int] = []
    pool = decode_module.ThreadPoolExecutor

    def counted(max_workers: int) -> Any:
        asked.append(max_workers)
        return pool(max_workers)

    monkeypatch.setattr(decode_module, "ThreadPoolExecutor", counted)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        decode_module.decode_all([root / f"{place}.bmp" for place in PLACES], 8)
    finally:
        torch.set_num_threads(threads)
    assert asked == [3]


@pytest.mark.parametrize("said", ["4096\n", "max\n", None], ids=["a limit", "no limit", "no such file"])
def test_a_container_has_no_more_memory_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    if said is not None:
        (tmp_path / "memory.max").write_text(said)
    monkeypatch.setattr(files_module, "GROUP", (tmp_path / "memory.max",))
    assert (files_module._memory() == 4096) == (said == "4096\n")
    assert files_module._memory() >= 4096
