"""The doctor and a plugin that cannot be imported: one sentence, and under --debug the plugin's own traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from commands import delt_host
from conftest import Install


@pytest.mark.parametrize("debug", [False, True])
def test_it_names_a_broken_plugin_and_shows_its_traceback_when_asked(
    install: Install, tmp_path: Path, debug: bool
) -> None:
    install("broken", "import os\nimport no_such_module\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = delt_host(*["--debug"] * debug, "doctor", cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert "plugin broken of broken 1.2 (broken) is not in use: ModuleNotFoundError" in done.stderr
    assert 'broken.py", line 2, in <module>\n    import no_such_module' in done.stderr or not debug
    assert "Traceback" not in done.stderr or debug
