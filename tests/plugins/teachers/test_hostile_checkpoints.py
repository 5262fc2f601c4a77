"""Checkpoints that are made to harm: nothing of them is called, and what they say of their size is not believed."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from delt_host.basics.errors import InputError
from delt_plugins.teachers import checkpoint, checkpoint_reader, torch_file
from delt_plugins.teachers.checkpoint import Contents, read_contents


class Calls:
    """What unpickling the ordinary way would call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.called = function, arguments

    def __reduce__(self) -> Any:
        return self.called


HARM: dict[str, Callable[[Path], object]] = {
    "os.system": lambda harm: Calls(os.system, f"touch {harm}"),
    "eval": lambda harm: Calls(eval, f"open({str(harm)!r}, 'w')"),
    "open": lambda harm: Calls(open, str(harm), "w"),
    "method": lambda harm: Calls(Path.touch, harm),
    "getattr": lambda harm: Calls(getattr, Calls(os.system, f"touch {harm}"), "__call__"),
    "torch.load": lambda harm: Calls(torch.load, io.BytesIO(pickle.dumps(Calls(os.system, f"touch {harm}")))),
    "state": lambda harm: Stateful(harm),
}


class Stateful:
    def __init__(self, harm: Path) -> None:
        self.harm = harm

    def __setstate__(self, state: dict[str, Path]) -> None:
        state["harm"].touch()


def raw_zip(path: Path, pickled: bytes, **data: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, content in data.items():
            archive.writestr(f"archive/data/{key}", content)
    return path


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
@pytest.mark.parametrize("name", HARM)
def test_nothing_that_a_file_names_is_called(name: str, zipped: bool, tmp_path: Path) -> None:
    harm, weight = tmp_path / "harm", torch.arange(3.0)
    torch.save(
        {"state_dict": {"w": weight}, "x": HARM[name](harm)}, tmp_path / "c.pth", _use_new_zipfile_serialization=zipped
    )
    contents = read_contents(tmp_path / "c.pth")
    assert torch.equal(contents.tensors["state_dict", "w"], weight)
    assert contents.passed_over and not harm.exists()
    with contextlib.suppress(Exception):
        torch.load(tmp_path / "c.pth", weights_only=False)
    assert name == "torch.load" or harm.exists()  # so it would have been, but for torch's own default


def in_this_process(path: Path) -> str:
    return checkpoint_reader.convert(str(path), f"{path}.result")


def instructions(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


def named(module: str, name: str) -> bytes:
    return b"c" + f"{module}\n{name}\n".encode()


def text(of: object) -> bytes:
    content = str(of).encode()
    return b"X" + struct.pack("<I", len(content)) + content


class New:
    """Which does its harm when it is made."""

    def __new__(cls, harm: str) -> New:
        Path(harm).touch()
        return super().__new__(cls)


CALLING: dict[str, Callable[[Path], bytes]] = {
    "posix": lambda harm: named("posix", "system") + text(f"touch {harm}") + b"\x85R",
    "process": lambda harm: named("subprocess", "call") + b"]" + text("touch") + b"a" + text(harm) + b"a\x85R",
    "old object": lambda harm: b"(" + text(f"touch {harm}") + b"i" + b"os\nsystem\n",
    "new object": lambda harm: named(__name__, "New") + text(harm) + b"\x85\x81",
    "called twice": lambda harm: named("os", "system") + text(f"touch {harm}") + b"\x85R)R",
}
SENSELESS = {
    "extension": b"\x82\x01",
    "state of a class": named("torch._utils", "_rebuild_tensor_v2") + b"}X\x08\x00\x00\x00__code__K\x01sb",
    "state of a table": named("collections", "OrderedDict") + b"}X\x08\x00\x00\x00__init__c" + b"os\nsystem\nsb)R",
    "reserved memory": b"\x96" + struct.pack("<Q", 10**12),
    "a long text": b"X" + struct.pack("<I", 2**32 - 1) + b"abc",
    "a far place": b"K\x01r" + struct.pack("<I", 2**32 - 1),
}


@pytest.mark.parametrize("name", CALLING)
def test_instructions_by_hand_call_nothing(name: str, tmp_path: Path) -> None:
    pickled = instructions(CALLING[name](harm := tmp_path / "harm"))
    assert in_this_process(raw_zip(tmp_path / "c.pth", pickled)) == ""
    assert not harm.exists()
    with contextlib.suppress(Exception):
        pickle.loads(pickled)
    assert harm.exists()  # so it would have been


@pytest.mark.parametrize("name", SENSELESS)
def test_instructions_without_sense_are_damage_at_most(name: str, tmp_path: Path) -> None:
    reason = in_this_process(raw_zip(tmp_path / "c.pth", instructions(SENSELESS[name])))
    assert not reason or "damaged" in reason


def test_every_name_is_a_class_of_ours() -> None:
    """All that a file can reach by name: a class without methods of theirs, or one of the few in the table."""
    unpickler = torch_file._Unpickler(io.BytesIO())
    for module, name in (
        ("os", "system"),
        ("builtins", "eval"),
        ("torch", "load"),
        ("torch._utils", "_import_dotted_name"),
    ):
        found = unpickler.find_class(module, name)
        assert isinstance(found, type) and issubclass(found, torch_file.Inert)
    assert all(
        thing is set or getattr(thing, "__module__", "").endswith("torch_file") or thing.func is torch_file._odd  # type: ignore[attr-defined]
        for thing in torch_file.KNOWN.values()
    )


def alone(value: Tensor) -> dict[str, Tensor]:
    return {"w": value}


ODD: dict[str, tuple[Callable[[], Any], str]] = {
    "stride 0": (lambda: torch.as_strided(torch.zeros(1), (750_000_000,), (0,)), "750,000,000 numbers out of 1 that"),
    "meta": (lambda: torch.empty(10**12, device="meta"), "is meta"),
    "sparse": (lambda: torch.sparse_coo_tensor(torch.tensor([[0]]), torch.ones(1), (10**9,)), "is sparse"),
    "complex": (lambda: torch.zeros(2, dtype=torch.complex64), "is of type complex64"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ODD)
def test_tensors_that_are_no_plain_numbers_are_told_and_those_beside_them_read(name: str, tmp_path: Path) -> None:
    make, why = ODD[name]
    torch.save({"w": make(), "v": torch.ones(2)}, tmp_path / "c.pth")
    contents = read_contents(tmp_path / "c.pth")
    assert set(contents.tensors) == {("v",)} and why in contents.odd["w",]


def described(size: object, stride: object, offset: object = 0, key: str = "0") -> bytes:
    """The pickle of one tensor, with whatever numbers."""
    stored = ("storage", torch.FloatStorage, key, "cpu", 4)

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing: object) -> object:
            return stored if thing == "stored" else None

    class Lying:
        def __reduce__(self) -> Any:
            return torch._utils._rebuild_tensor_v2, ("stored", offset, size, stride, False, {})

    file = io.BytesIO()
    Pickler(file, 2).dump({"w": Lying()})
    return file.getvalue()


@pytest.mark.parametrize(
    ("size", "stride", "offset", "why"),
    [
        ((4,), (1,), 0, ""),
        ((2, 2), (1, 2), 0, ""),
        ((0, 10**12), (1, 1), 0, ""),
        ((5,), (1,), 0, "5 numbers out of 4"),
        ((4,), (1,), 1, "4 numbers out of 3"),
        ((2,), (10**15,), 0, "2 numbers out of 4"),
        ((2,), (1,), 10**18, "2 numbers out of 0"),
        ((2,), (-1,), 3, "shape that cannot be"),
        ((-2,), (1,), 0, "shape that cannot be"),
        ((2.0,), (1,), 0, "shape that cannot be"),
        ((2, 2), (1,), 0, "shape that cannot be"),
        ((1,) * 40, (1,) * 40, 0, "shape that cannot be"),
        ("ab", (1, 1), 0, "shape that cannot be"),
        (None, None, 0, "unknown type"),
    ],
)
def test_sizes_that_lie_are_told(size: Any, stride: Any, offset: Any, why: str, tmp_path: Path) -> None:
    values = torch.arange(4.0)
    path = raw_zip(tmp_path / "c.pth", described(size, stride, offset), **{"0": values.numpy().tobytes()})
    contents = read_contents(path)
    if why:
        assert why in contents.odd["w",]
    else:
        assert torch.equal(contents.tensors["w",], values.as_strided(size, stride, offset))


@pytest.mark.parametrize("claimed", [1_000_000, 8])
def test_a_directory_that_lies_of_a_length_is_damage(claimed: int, tmp_path: Path) -> None:
    """The shape is of the numbers that the directory claims; what is unpacked has 40 bytes."""
    numbers = claimed // 4
    with zipfile.ZipFile(tmp_path / "c.pth", "w") as archive:
        archive.writestr("archive/data.pkl", described((numbers,), (1,)))
        archive.writestr("archive/data/0", b"A" * 40, zipfile.ZIP_DEFLATED)
        archive.filelist[-1].file_size = claimed
    with pytest.raises(InputError, match="it is damaged"):
        read_contents(tmp_path / "c.pth")


def test_bombs_are_not_unpacked(tmp_path: Path) -> None:
    torch.save(alone(torch.zeros(10_000_000)), tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    assert "unpacks to more than a file of its size" in in_this_process(tmp_path / "packed.pth")
    views = torch.zeros(1_000_000)
    torch.save({str(place): views[:-1] for place in range(100)}, tmp_path / "views.pth")
    assert "its tensors would take 399,999,600 bytes" in in_this_process(tmp_path / "views.pth")


def test_many_and_deep_things_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_file, "MOST_THINGS", 10_000)
    torch.save([[[place]] for place in range(10_001)], tmp_path / "many.pth")
    assert "more than 10,000 things" in in_this_process(tmp_path / "many.pth")
    deep = b"]" * 200_000 + b"a" * 199_999
    assert in_this_process(raw_zip(tmp_path / "deep.pth", instructions(deep))) == ""
    monkeypatch.setattr(torch_file, "MOST_NAMES", 10)
    names = b"".join(named("a", f"b{place}") for place in range(20))
    assert "names more than 10 classes" in in_this_process(raw_zip(tmp_path / "names.pth", instructions(names)))
    monkeypatch.setattr(torch_file, "MOST_PICKLE", 1000)
    assert "at most 1,000 are read" in in_this_process(raw_zip(tmp_path / "long.pth", instructions(b"N" * 2000)))
    monkeypatch.setattr(checkpoint_reader, "MOST_TENSORS", 3)
    torch.save([torch.ones(1)] * 4, tmp_path / "tensors.pth")
    assert "holds 4 tensors; at most 3" in in_this_process(tmp_path / "tensors.pth")


class Node:
    """One of a tree, which knows its parent."""

    def __init__(self, parent: Node | None = None) -> None:
        self.parent, self.children = parent, list[Node]()


class Rebuilt:
    """Whose state may be another as it is."""

    def __init__(self, state: object) -> None:
        self.state = state

    def __reduce__(self) -> Any:
        return object.__new__, (object,), self.state


def doubled(thing: object) -> object:
    for _ in range(14):
        thing = [thing, thing]
    return thing


def tree() -> Node:
    root = Node()
    root.children = [Node(root) for _ in range(200)]
    return root


def chain() -> object:
    made: object = {"w": torch.ones(1)}
    for _ in range(200):
        made = Rebuilt(made)
    return made


SHARED: dict[str, tuple[Callable[[], object], set[tuple[str, ...]]]] = {
    "doubled": (lambda: doubled([torch.ones(1)]), {("0",) * 15}),
    "tree": (lambda: {"vocabulary": tree(), "model": alone(torch.ones(1))}, {("model", "w")}),
    "samples": (lambda: [[(str(place), place) for place in range(10_001)]] * 2 + [torch.ones(1)], {("2",)}),
    "outermost": (lambda: [[state := alone(torch.ones(1))], state], {("1", "w")}),
    "tied": (lambda: dict.fromkeys("ab", torch.ones(1)), {("a",), ("b",)}),
    "chain": (chain, {("w",)}),
}


@pytest.mark.parametrize("name", SHARED)
def test_things_that_refer_to_each_other_are_looked_at_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, places = SHARED[name]
    monkeypatch.setattr(torch_file, "MOST_THINGS", 5_000)
    torch.save(make(), tmp_path / "c.pth")
    with torch_file.TorchFile(tmp_path / "c.pth", 2**24) as file:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(150)  # less than the chain is long
        try:
            assert {place for place, _ in torch_file.tensors_in(file.root)} == places
        finally:
            sys.setrecursionlimit(before)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
def test_a_row_is_read_once_for_all_its_views(zipped: bool, tmp_path: Path) -> None:
    rows = torch.arange(100.0), torch.arange(100.0, 200.0)
    views = {f"{place}.{row}": rows[row][place : place + 3] for place in range(50) for row in range(2)}
    torch.save(views, tmp_path / "c.pth", _use_new_zipfile_serialization=zipped)
    read: list[str] = []

    class Counted(torch_file.TorchFile):
        def _whole(self, values: Callable[[str], bytes]) -> Callable[[str], bytes]:
            return super()._whole(lambda key: (read.append(key), values(key))[1])

    with Counted(tmp_path / "c.pth", 2**24) as file:
        checkpoint_reader._write(tmp_path / "result", file, dict(torch_file.tensors_in(file.root)), {})
    assert len(read) == 2
    contents = read_contents(tmp_path / "c.pth")
    assert all(torch.equal(contents.tensors[name,], view) for name, view in views.items())


def endless() -> bytes:
    """A tuple of two tuples of two, 200 deep, as a key: hashing it takes twice as long with each."""
    doubled = b")q\x00h\x00\x86" + b"".join(b"q\x00h\x00\x86" for _ in range(200))
    return instructions(b"}" + doubled + b"Ns")


def test_one_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "TIMEOUT", 3)
    with pytest.raises(InputError, match=r"c.pth took more than 3 s to read"):
        read_contents(raw_zip(tmp_path / "c.pth", endless()))


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_the_reading_process_takes_no_more_than_the_file_may(tmp_path: Path) -> None:
    """Lists without end in the pickle, of 64 bytes an instruction, against half a gigabyte beside four times the file."""
    path = raw_zip(tmp_path / "c.pth", instructions(b"(" + b"]" * 40_000_000))
    with pytest.raises(InputError, match="it takes more memory than a file of its size may"):
        read_contents(path)


def test_a_checkpoint_is_read_in_a_process_that_imports_nothing_of_the_users(tmp_path: Path) -> None:
    for name in ("torch", "numpy", "delt_plugins", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')")
    os.environ["PYTHONPATH"], before = str(tmp_path), os.environ.get("PYTHONPATH", "")
    try:
        torch.save(alone(torch.arange(3.0)), tmp_path / "c.pth")
        assert isinstance(read := read_contents(tmp_path / "c.pth"), Contents)
    finally:
        os.environ["PYTHONPATH"] = before
    assert torch.equal(read.tensors["w",], torch.arange(3.0))
