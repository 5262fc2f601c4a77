"""Writes golden/networks_dc.json: python networks_dc.py CHECKOUT of https://github.com/VICO-UoE/DatasetCondensation."""

from __future__ import annotations

import sys
import time
import types
from pathlib import Path

from network_figures import figures_of

from published import write_golden

NETWORKS = ("ConvNet", "ConvNetBN", "ConvNetD2", "ConvNetW32")


def main(checkout: Path) -> None:
    sys.path.insert(0, str(checkout))
    sys.modules["scipy.ndimage.interpolation"] = types.ModuleType("absent")
    sys.modules["scipy.ndimage.interpolation"].rotate = None  # type: ignore[attr-defined]
    time.time = lambda: 0.0  # they seed by the clock
    from utils import get_network

    figures = {name: figures_of(get_network(name, 3, 10, (32, 32)), 32, names=True) for name in NETWORKS}
    commit = (checkout / "COMMIT").read_text().strip()
    files = ["networks.py", "utils.py"]
    write_golden("networks_dc", "https://github.com/VICO-UoE/DatasetCondensation", commit, files, figures)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
