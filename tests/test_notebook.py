"""The notebook in examples/, executed as its reader does it, and what its cells show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT

nbformat = pytest.importorskip("nbformat", reason="the notebook needs nbclient: pip install '.[test]'")
nbclient = pytest.importorskip("nbclient", reason="the notebook needs nbclient: pip install '.[test]'")
pytest.importorskip("ipykernel", reason="the notebook needs ipykernel: pip install '.[test]'")

pytestmark = pytest.mark.long
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
QUICK = 'QUICK = {"scheduler.iterations": 40, "protocol.epochs": 20, "teacher.epochs": 4}'
QUICKER = 'QUICK = {"scheduler.iterations": 8, "protocol.epochs": 2, "teacher.epochs": 4}'
"""What its reader waits for, and a test need not."""


def html_of(cell: Any) -> str:
    return "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)


def text_of(cell: Any) -> str:
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Its cells as they are after it was run, by their first words."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, 4)
    sizes = next(each for each in notebook.cells if QUICK in each.source)
    sizes.source = sizes.source.replace(QUICK, QUICKER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DELT_HOST_STORE", str(folder / "store"))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return {cell.source: cell for cell in notebook.cells if cell.cell_type == "code"}


def cell(cells: dict[str, Any], begins: str) -> Any:
    return next(each for source, each in cells.items() if source.startswith(begins))


def test_it_shows_tables_and_images(cells: dict[str, Any]) -> None:
    compared = html_of(cell(cells, "result = delt_host.run"))
    for row in ("delt", "cda", "random-real", "delt start"):
        assert f">{row}</td>" in compared
    assert "image/png" in cell(cells, "result.picture").outputs[0].data
    assert "<table" in html_of(cell(cells, "result.to_pandas"))


def test_what_rows_differ_in_are_columns(cells: dict[str, Any]) -> None:
    swept = html_of(cell(cells, "swept"))
    assert ">iterations</th>" in swept and ">20</td>" in swept and ">40</td>" in swept


def test_a_matcher_of_a_cell_is_a_row_and_the_run_grows(cells: dict[str, Any]) -> None:
    assert ">Mine</td>" in html_of(cell(cells, "mine = "))
    grown = html_of(cell(cells, "grown"))
    assert ">Mine</td>" in grown and ">Mine(smoothing=0.2)</td>" in grown
    steps = re.search(r"(\d+) steps? in [^,]*, (\d+) more from the store", grown)
    assert steps and int(steps[2]) > int(steps[1])  # the former rows are not made again


def test_a_network_of_ones_own_learns_from_the_set(cells: dict[str, Any]) -> None:
    said = text_of(cell(cells, "import torch\nfrom torch import nn"))
    accuracy = re.search(r"50 images, top-1 on the real test images: ([\d.]+) %", said)
    assert accuracy and float(accuracy[1]) > 40  # chance is 10


def test_nothing_of_a_terminal_is_written_into_it(cells: dict[str, Any]) -> None:
    for each in cells.values():
        assert "\x1b" not in str(each.outputs)
        said = [output.text for output in each.outputs if output.output_type == "stream" and output.name == "stderr"]
        assert all("UserWarning: Mine is" in text for text in said)  # the kit: a cell is in no other process


def test_it_lies_there_without_outputs() -> None:
    for each in nbformat.read(NOTEBOOK, 4).cells:
        assert each.cell_type == "markdown" or (not each.outputs and each.execution_count is None)
    assert str(Path.home()) not in NOTEBOOK.read_text(encoding="utf-8")
