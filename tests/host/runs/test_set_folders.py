"""Sets reach the run's folder as they are made; what could not be written then is written in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from delt_host.basics.errors import RunError
from delt_host.contracts.observer import Observer
from delt_host.contracts.results import read_results
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_host.runs import folder
from delt_host.runs.distilled import DistilledSet, load
from delt_host.runs.set_folders import SetFolders
from delt_host.stages import story
from delt_host.stages.host import Host
from delt_host.store.store import Store

pytestmark = pytest.mark.usefixtures("with_teacher")


@pytest.mark.parametrize("until", ["the end", "ever"])
def test_a_set_that_could_not_be_written_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: str
) -> None:
    registry = load_registry()
    options = {"dataset.image_size": 8, "scheduler.iterations": 8, "protocol.epochs": 1, "teacher.epochs": 4}
    words = {"method": ["delt", "random-real"], "control": [], "ipc": 1, "seeds": 1, "regime": ["hard"], "set": options}
    host = Host(registry, Store(tmp_path / "store"), Observer())
    comparison = story.prepare_run(resolve(Request.model_validate(words), registry), host)
    path = tmp_path / "run"
    path.mkdir()
    sets = SetFolders(path, [row.label for row in comparison.rows], host)
    save, full = DistilledSet.save, True

    def failing(made: DistilledSet, place: Path) -> None:
        if full and made.about["method"] == "delt":
            raise OSError(28, "No space left on device")
        save(made, place)

    monkeypatch.setattr(DistilledSet, "save", failing)
    found = list(story.run(comparison, sets.add))
    assert [measured.failure for measured in found] == ["", ""]
    assert [each.parent.parent.name for each in path.glob("*/*/distilled.safetensors")] == ["random-real"]
    results = folder.results_of(comparison, found)
    full = until == "ever"
    if full:
        with pytest.raises(RunError, match="No space left"):
            sets.write(results)
    else:
        sets.write(results)
    if full:
        assert not (path / "results.json").exists(), "what is there is whole"
        return
    written = read_results(path)
    assert {each.row for each in written.sets} == {"random-real", "delt"} and len(written.scores) == 2
    for each in written.sets:
        assert load(path / each.folder).distilled.fingerprint == each.fingerprint
