"""What a torch file holds, found without calling anything that the file names.

A torch file is a pickle, and unpickling calls what it names: `os.system` as well as what rebuilds a tensor. Here no name is
looked up, ever. The few that torch writes for a tensor give a `Described`, numbers that say where in the file its
values lie; any other gives a class made on the spot, `Inert`, that takes whatever is done to it and does nothing. So
files of any trainer are read, whatever lies beside the weights, and a hostile one finds nothing to call. torch's own
weights-only reading refuses a file for one unknown name, knows others in each version, and was broken twice
(CVE-2025-32434, CVE-2026-24747).

Read are the zip files of torch 1.6 and later, and the streams before them. `checkpoint_reader.py` loads this in a
process of its own, so it is written with the standard library alone.
"""

from __future__ import annotations

import io
import mmap
import pickle
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # what torch's streams begin with
MOST_PICKLE = 64 * 2**20  # bytes of the pickle in a zip file; that of a hundred thousand tensors has 20 MB
MOST_NAMES = 10_000  # of classes
MOST_THINGS = 2_000_000  # tensors, and containers of containers, that are looked at
DEEPEST = 16  # containers in containers; what lies deeper is nobody's weights
SHOWN = 3  # members of a zip file

WIDTHS = {
    **{"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1},
    **{"int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8, "bool": 1},
    **{"complex64": 8, "complex128": 16},
}
"""Bytes of a number by torch's name of its type."""
STORAGES = {
    **{"DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16"},
    **{"LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8"},
    **{"ByteStorage": "uint8", "BoolStorage": "bool", "UntypedStorage": "uint8"},
    **{"ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128"},
}
ODD = {
    "_rebuild_qtensor": "quantised",
    "_rebuild_sparse_tensor": "sparse",
    "_rebuild_sparse_csr_tensor": "sparse",
    "_rebuild_nested_tensor": "nested",
    "_rebuild_meta_tensor_no_storage": "meta",
}
"""What tensors are that are no plain, dense numbers, by what would rebuild them."""


class Unreadable(Exception):
    """Why a file cannot be read, as the rest of a sentence that begins with "it"."""


class Stored(NamedTuple):
    """A row of numbers in the file."""

    dtype: Any
    key: str
    start: Any = 0


class Described(NamedTuple):
    """A tensor in the file's own words, none of them checked: numbers of a row, from `offset` on in these steps."""

    stored: Any
    offset: Any = 0
    size: Any = ()
    stride: Any = ()
    odd: str = ""
    """What it is in place of plain, dense numbers."""


class Inert(dict[Any, Any]):
    """Stands for an object that is not read: it keeps what it is given, and does nothing."""

    parts: list[Any]
    state: Any

    def __new__(cls, *args: Any, **_kwargs: object) -> Inert:
        made = super().__new__(cls if isinstance(cls, type) else Inert)  # a class in a class is given as an object
        made.parts, made.state = list(args), None
        return made

    def __init__(self, *_args: Any, **_kwargs: object) -> None:
        super().__init__()

    def __call__(self, *args: object, **_kwargs: object) -> Inert:
        return Inert(*args)

    def append(self, part: object) -> None:
        self.parts.append(part)

    add = append

    def extend(self, parts: Any) -> None:
        self.parts.extend(parts)

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


class Ordered(Inert):
    """Stands for a dictionary in order, which Python 2 wrote as a list of pairs."""

    def __init__(self, *args: Any, **_kwargs: object) -> None:
        super().__init__()
        for key, value in args[0] if args else ():
            self[key] = value


def _tensor(stored: object, offset: object, size: object, stride: object, *_rest: object) -> Described:
    return Described(stored, offset, size, stride)


def _typed(stored: Any, offset: object, size: object, stride: object, *rest: Any) -> Described:
    return Described(stored._replace(dtype=rest[2]), offset, size, stride)


def _parameter(tensor: object, *_rest: object) -> object:
    return tensor


def _of_type(rebuild: Any, _cls: object, args: Any, *_rest: object) -> object:
    return rebuild(*args)


def _odd(odd: str, *_rest: object) -> Described:
    return Described(None, odd=odd)


KNOWN: dict[tuple[str, str], object] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _typed,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch.nn.parameter", "Parameter"): _parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _of_type,
    ("collections", "OrderedDict"): Ordered,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,  # as torch's pickles, which Python 2 could read, have it
    **{("torch._utils", name): partial(_odd, odd) for name, odd in ODD.items()},
}
"""All that a name in a file can give, beside the name of a type of numbers and an `Inert` class."""


class _Unpickler(pickle._Unpickler):  # the one in Python, whose instructions can be taken out
    """Numbers, texts, containers, and of objects what `KNOWN` gives."""

    def __init__(self, content: Any) -> None:
        super().__init__(content, encoding="latin1")  # what Python 2 wrote can be read in it, too
        self.inert: dict[str, type[Inert]] = {}
        self.stored: dict[str, Stored] = {}

    def find_class(self, module: str, name: str) -> object:
        if module.partition(".")[0] == "torch" and (name in STORAGES or name in WIDTHS):
            return STORAGES.get(name, name)
        if (found := KNOWN.get((module, name))) is not None:
            return found
        called = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if called not in self.inert:
            if len(self.inert) >= MOST_NAMES:
                raise Unreadable(f"names more than {MOST_NAMES:,} classes")
            self.inert[called] = type("Inert", (Inert,), {})
        return self.inert[called]

    def persistent_load(self, pid: Any) -> object:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            return Inert()
        view = pid[5] if len(pid) > 5 else None  # of old streams: key, offset, size
        stored = Stored(pid[1], str(pid[2]), view[1] if view else 0)
        return self.stored.setdefault(stored.key, stored) if not view else stored

    def load_build(self) -> None:
        state = self.stack.pop()  # type: ignore[attr-defined]
        if isinstance(self.stack[-1], Inert):  # type: ignore[attr-defined]
            self.stack[-1].state = state  # type: ignore[attr-defined]

    def load_bytearray8(self) -> None:  # not of the length that it claims before that many bytes are there
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))  # type: ignore[attr-defined]

    dispatch: ClassVar = {
        # Without extensions, which are names by number.
        **{code: do for code, do in pickle._Unpickler.dispatch.items() if code not in b"\x82\x83\x84"},
        pickle.BYTEARRAY8[0]: load_bytearray8,  # type: ignore[dict-item]
        pickle.BUILD[0]: load_build,  # type: ignore[dict-item]
    }


class TorchFile:
    """A file that torch has written, open: a context."""

    root: object
    """What was saved: containers, numbers, texts, `Described` and `Inert`."""
    inert: tuple[str, ...]
    """The names of what is passed over."""
    values: Callable[[str], Any]
    """The bytes of a row of numbers by its key. Unreadable where they are not as many as `length` says."""
    length: Callable[[str], int]
    """How many bytes it has; 0 where there is none."""

    def __init__(self, path: Path, most: int) -> None:
        """Unreadable where it is none, or unpacks to more than `most` bytes."""
        self._open = ExitStack()
        self._names: dict[str, None] = {}
        with ExitStack() as opened:
            file = opened.enter_context(path.open("rb"))
            try:
                if zipfile.is_zipfile(file):
                    self._read_zip(opened.enter_context(zipfile.ZipFile(file)), most)
                elif file.seek(0) == 0 and file.read(4) == b"PK\x03\x04":
                    raise Unreadable("is cut off; fetch it again")
                else:
                    self._read_stream(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            except zipfile.BadZipFile as error:
                raise Unreadable(f"is damaged ({error}); fetch it again") from None
            self.inert = tuple(self._names)
            self._open = opened.pop_all()

    def __enter__(self) -> TorchFile:
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()

    def _read_zip(self, archive: zipfile.ZipFile, most: int) -> None:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        if sum(sizes.values()) > most:
            raise Unreadable("unpacks to more than a file of its size may hold")
        if any(name.endswith("/constants.pkl") for name in sizes):
            raise Unreadable(
                "is a TorchScript archive; save its weights alone: torch.save(torch.jit.load(FILE).state_dict(), NEW)"
            )
        pickled = next((name for name in sizes if name == "data.pkl" or name.endswith("/data.pkl")), None)
        if pickled is None:
            held = ", ".join(list(sizes)[:SHOWN]) or "nothing"
            raise Unreadable(f"is a zip file that torch has not written; it holds {held}: unpack it")
        if sizes[pickled] > MOST_PICKLE:
            raise Unreadable(f"describes what it holds in {sizes[pickled]:,} bytes; at most {MOST_PICKLE:,} are read")
        folder = pickled.removesuffix("data.pkl")
        if f"{folder}byteorder" in sizes and archive.read(f"{folder}byteorder") != b"little":
            raise Unreadable("has its bytes in the other order; load it and save it again on a machine of this kind")
        self.values = self._whole(lambda key: archive.read(f"{folder}data/{key}"))
        self.length = lambda key: sizes.get(f"{folder}data/{key}", 0)
        self.root = self._unpickled(io.BytesIO(archive.read(pickled)))[0]

    def _read_stream(self, content: mmap.mmap) -> None:
        places: dict[str, tuple[int, int]] = {}
        self.values = self._whole(lambda key: content[places[key][0] : sum(places[key])])
        self.length = lambda key: places.get(key, (0, 0))[1]
        first, _ = self._unpickled(content)
        if first != MAGIC:
            raise Unreadable(
                "is a pickle that torch has not written; save it with torch.save(model.state_dict(), FILE)"
            )
        version, about = self._unpickled(content)[0], self._unpickled(content)[0]
        if version != PROTOCOL or (isinstance(about, dict) and not about.get("little_endian", True)):
            raise Unreadable("is of a torch or a machine whose files are not read; load it there and save it again")
        self.root, stored = self._unpickled(content)
        keys = self._unpickled(content)[0]
        for key in map(str, keys if isinstance(keys, list) else ()):
            width = WIDTHS[stored[key].dtype] if key in stored else 1
            count = int.from_bytes(content.read(8), "little")
            places[key] = (content.tell(), count * width)
            if sum(places[key]) > len(content):
                raise Unreadable("is cut off; fetch it again")
            content.seek(sum(places[key]))

    def _whole(self, read: Callable[[str], bytes]) -> Callable[[str], bytes]:
        @lru_cache(maxsize=1)  # several tensors may be views of one row
        def values(key: str) -> bytes:
            content = read(key)
            if len(content) != (said := self.length(key)):  # a zip file's directory may say anything
                raise Unreadable(f"is damaged ({len(content):,} bytes where it says {said:,}); fetch it again")
            return content

        return values

    def _unpickled(self, content: Any) -> tuple[Any, dict[str, Stored]]:
        unpickler = _Unpickler(content)
        try:
            root = unpickler.load()
        except (Unreadable, MemoryError):
            raise
        except Exception:  # an instruction, an argument or a count that cannot be
            raise Unreadable("is damaged, cut off, or not a file that torch has written; fetch it again") from None
        self._names.update(dict.fromkeys(unpickler.inert))
        return root, unpickler.stored


Place = tuple[str, ...]
"""Where a tensor lies in a file: keys of dictionaries and places in lists, one in another; () where it is all there is."""


def tensors_in(root: object) -> Iterator[tuple[Place, Described]]:
    """All tensors with their places, the outermost first. A whole network that was pickled is taken for the state dict that
    it would give. What lies at several places, as objects do that refer to each other, is found at one of the outermost."""
    left: deque[tuple[Place, object]] = deque([((), root)])
    seen: set[int] = set()  # by id: all of it lives as long as the root
    for _ in range(MOST_THINGS):
        if not left:
            return
        place, thing = left.popleft()
        if isinstance(thing, Described):
            yield place, thing
            continue
        if isinstance(thing, Inert) and not _is_network(thing):  # in the same place, and so in any number
            left.extendleft((place, each) for each in (thing.state, thing.parts) if _is_new(each, seen))
        if len(place) < DEEPEST:
            left.extend(((*place, _text(key)), each) for key, each in _children(thing) if _is_new(each, seen))
    raise Unreadable(f"holds more than {MOST_THINGS:,} things in one another")


def _is_new(thing: object, seen: set[int]) -> bool:
    """Whether it is a tensor, or has to be looked into and was not yet."""
    if isinstance(thing, Described):
        return True
    if not isinstance(thing, dict | list | tuple) or id(thing) in seen:
        return False
    seen.add(id(thing))
    inside = thing.values() if isinstance(thing, dict) else thing
    return isinstance(thing, Inert) or any(isinstance(each, dict | list | tuple) for each in inside)


def _children(thing: object) -> Iterable[tuple[object, object]]:
    if isinstance(thing, Inert) and _is_network(thing):
        return _state_of(thing)
    if isinstance(thing, dict):
        return thing.items()
    return enumerate(thing) if isinstance(thing, list | tuple) else ()


def _text(key: object) -> str:
    return str(key) if isinstance(key, str | int | float) else type(key).__name__


def _is_network(thing: object) -> bool:
    state = thing.state if isinstance(thing, Inert) else None
    return isinstance(state, dict) and {"_parameters", "_modules"} <= state.keys()


def _state_of(network: Inert) -> Iterator[tuple[str, object]]:
    """What `state_dict` would give, of objects that stand for modules."""
    left = [("", network)]
    for _ in range(MOST_THINGS):
        if not left:
            return
        prefix, module = left.pop()
        passing = module.state.get("_non_persistent_buffers_set") or ()
        kept = {**_dict(module.state["_parameters"]), **_dict(module.state.get("_buffers"))}
        yield from ((f"{prefix}{_text(name)}", each) for name, each in kept.items() if name not in passing)
        inside = _dict(module.state["_modules"]).items()
        left.extend((f"{prefix}{_text(name)}.", each) for name, each in reversed(inside) if _is_network(each))


def _dict(thing: object) -> dict[Any, Any]:
    return thing if isinstance(thing, dict) else {}
