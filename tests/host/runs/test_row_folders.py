"""Folders of rows: distinct labels have distinct names that every file system takes."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from delt_host.basics.folder_names import RESERVED_NAMES, distinct
from delt_host.runs.place import NOT_ROWS, folders
from running import call, whole


@given(
    st.lists(
        st.text(max_size=300)
        | st.sampled_from(["delt", "DELT", "höhe a", "hähe-a", "日本", "con", "NUL.x", "a-2", "a", "A", *NOT_ROWS]),
        unique=True,
    )
)
def test_rows_have_distinct_folders_whenever_their_labels_differ(labels: list[str]) -> None:
    names = folders(labels)
    assert list(names) == labels
    assert len({name.casefold() for name in names.values()}) == len(labels)
    for name in names.values():
        assert name.isascii() and 0 < len(name) < 200 and "/" not in name
        assert (
            not RESERVED_NAMES.fullmatch(name) and name not in NOT_ROWS and name[0] not in ".-" and name[-1] not in ".-"
        )
    assert folders(labels) == names


def test_rows_with_the_same_letters_are_exported_as_they_are(tmp_path: Path) -> None:
    rows = {"höhe a": "real", "hähe-a": "noise", "evaluations": "ranked"}
    recipe = 'ipc = 1\nseeds = [0]\n[dataset]\nname = "digits"\nimage_size = 8\n[[regime]]\nname = "hard"\n'
    for label, start_ in rows.items():
        recipe += f'[[row]]\nlabel = "{label}"\nmethod = "delt"\nrole = "method"\ninitializer = {{name = "{start_}"}}\n'
    (tmp_path / "r.toml").write_text(recipe)
    call("run", "r.toml", "--set", "protocol.epochs=1", "--set", "teacher.epochs=1", "-q", "--out", "made")
    results = whole(tmp_path / "made")
    assert [each.folder for each in results.sets] == ["h-he-a/seed-0", "h-he-a-2/seed-0", "evaluations-2/seed-0"]
    call("evaluate", "made", "-e", "cost", "-q")
    from delt_host import load

    for number, each in enumerate(results.sets):
        call("export", "made", "--row", each.row, "--to", f"out-{number}")
        assert load(tmp_path / f"out-{number}").about["method"] == each.row
        assert load(tmp_path / f"out-{number}").distilled.fingerprint == each.fingerprint


def test_names_are_numbered_in_their_order() -> None:
    assert distinct(["höhe a, seed 0", "hähe-a, seed 0"]) == {
        "höhe a, seed 0": "h-he-a-seed-0",
        "hähe-a, seed 0": "h-he-a-seed-0-2",
    }
