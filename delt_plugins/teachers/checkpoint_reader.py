"""Reads a torch file, which is a pickle, and writes the tensors in it as safetensors.

`checkpoint.py` runs this as a process of its own, which imports neither torch nor anything of the user's: python -I
checkpoint_reader.py FILE TENSORS. Its last line on standard error is the reason of a failure. What the file says of itself
is not believed: a tensor has the numbers that lie in the file, and memory and what is written are bounded by its size.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[2]))  # last, as -I leaves it out

from delt_plugins.teachers.torch_file import WIDTHS, Described, Place, TorchFile, Unreadable, tensors_in

MOST_TENSORS = 100_000
MOST_DIMENSIONS = 16
TIMES = 4  # of the file's size, which weights that are tied or kept twice may take
SPARE = 16 * 2**20  # bytes beside that
MEMORY = 512 * 2**20  # bytes beside that while it is read
CONTENT = "content"  # in the metadata of what is written: where its tensors lay, and what was passed over

CODES = {
    **{"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "bool": "BOOL"},
    **{"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "int64": "I64", "int32": "I32", "int16": "I16"},
    **{"int8": "I8", "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64"},
}
"""safetensors' names of types by torch's; the others are not read."""


def convert(checkpoint: str, tensors: str) -> str:
    """Write what the file holds to `tensors`; why it cannot be read, and nothing where it can."""
    most = most_of(checkpoint)
    try:
        with TorchFile(Path(checkpoint), most) as file:
            found = dict(tensors_in(file.root))
            if len(found) > MOST_TENSORS:
                return f"it holds {len(found):,} tensors; at most {MOST_TENSORS:,} are read"
            odd = {place: why for place, each in found.items() if (why := _wrong(file, each))}
            kept = {place: each for place, each in found.items() if place not in odd}
            if (total := sum(map(_bytes, kept.values()))) > most:
                return f"its tensors would take {total:,} bytes, far more than the file holds"
            about = {"odd": list(odd.items()), "numbers": _numbers(file.root), "passed over": file.inert}
            _write(Path(tensors), file, kept, about)
    except Unreadable as reason:
        return f"it {reason}"
    except MemoryError:
        return "it takes more memory than a file of its size may"
    except Exception as error:  # the file may be anything
        return f"it is damaged ({error}); fetch it again"
    return ""


def most_of(checkpoint: str) -> int:
    """The bytes that what a file holds may take."""
    return TIMES * Path(checkpoint).stat().st_size + SPARE


def limit(most: int) -> None:
    """Bound what this process takes and writes, for good, where the system can."""
    try:
        import resource

        data = Path("/proc/self/statm").read_text(encoding="ascii").split()[5]  # private memory, as the limit counts it
        held = int(data) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError, ValueError):
        return
    for name, bound in ((resource.RLIMIT_DATA, held + most + MEMORY), (resource.RLIMIT_FSIZE, most)):
        hard = resource.getrlimit(name)[1]
        resource.setrlimit(name, (bound if hard == resource.RLIM_INFINITY else min(bound, hard), hard))


def _wrong(file: TorchFile, tensor: Described) -> str:
    """Why a tensor is none of plain, dense numbers that lie in the file; nothing where it is."""
    if tensor.odd:
        return f"is {tensor.odd}"
    try:
        dtype, key, start = tensor.stored
        numbers = [start, tensor.offset, *tensor.size, *tensor.stride]
        dimensions = {len(tensor.size), len(tensor.stride)}
        if dtype not in CODES:
            return f"is of type {dtype}" if dtype in WIDTHS else "is of an unknown type"
    except (TypeError, ValueError):
        return "is of an unknown type"
    if len(dimensions) > 1 or max(dimensions) > MOST_DIMENSIONS:
        return "is of a shape that cannot be"
    if not all(type(number) is int and number >= 0 for number in numbers):
        return "is of a shape that cannot be"
    count, there = math.prod(tensor.size), file.length(key) // WIDTHS[dtype] - start - tensor.offset
    last = sum((size - 1) * step for size, step in zip(tensor.size, tensor.stride, strict=True))
    if count and (last >= there or count > there):
        return f"says to be {count:,} numbers out of {max(there, 0):,} that lie in the file"
    return ""


def _bytes(tensor: Described) -> int:
    return math.prod(tensor.size) * WIDTHS[tensor.stored.dtype]


def _write(path: Path, file: TorchFile, tensors: dict[Place, Described], about: Mapping[str, object]) -> None:
    """As safetensors, by number, one at a time: eight bytes of the header's length, the header, and the numbers."""
    header: dict[str, object] = {"__metadata__": {CONTENT: json.dumps({**about, "places": list(tensors)})}}
    numbered = sorted(enumerate(tensors.values()), key=lambda each: _order(each[1]))
    end = 0
    for number, tensor in numbered:
        begin, end = end, end + _bytes(tensor)
        code = CODES[tensor.stored.dtype]
        header[str(number)] = {"dtype": code, "shape": tensor.size, "data_offsets": [begin, end]}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with path.open("wb") as result:
        result.write(len(head).to_bytes(8, "little") + head)
        for _, tensor in numbered:
            if _bytes(tensor):
                result.write(_values(file, tensor).data)


def _order(tensor: Described) -> tuple[int, str]:
    """The widest first, so that each is aligned; those of one row together, so that it is read once."""
    return -WIDTHS[tensor.stored.dtype], tensor.stored.key


def _values(file: TorchFile, tensor: Described) -> np.ndarray:
    """A tensor's numbers in order, of whatever type is as wide."""
    dtype, key, start = tensor.stored
    width = WIDTHS[dtype]
    content = file.values(key)
    row = np.frombuffer(content, f"u{width}", len(content) // width)[start + tensor.offset :]
    steps = [width * step for step in tensor.stride]
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(row, tensor.size, steps, writeable=False))


def _numbers(root: object) -> dict[str, float]:
    """Numbers in the outermost dictionary, or one that was saved alone, under no name."""
    outer = root.items() if isinstance(root, dict) else [("", root)]
    return {key: each for key, each in outer if isinstance(key, str) and isinstance(each, int | float)}


if __name__ == "__main__":
    limit(most_of(sys.argv[1]))
    sys.exit(convert(sys.argv[1], sys.argv[2]) or None)
