"""Standard output is the command's own: what closes, fills or cannot show it costs no results; what is shown is escaped."""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
import sys
import time
from pathlib import Path

import pytest
from rich.markup import escape

from commands import MAIN, delt_host, interpreter, shell
from delt_host.basics import escapes
from delt_host.basics.errors import InputError
from delt_host.display import terminal
from delt_host.display.progress import EVERY_SET_BY, LineObserver, observer_for

RUN = (
    "run -m random-real --no-controls --teacher none --regime hard --ipc 1 --seeds 1 --set dataset.image_size=8 "
    "--set protocol.epochs=1 --student convnet3 -q --out run"
)


def sh(command: str, cwd: Path, **environment: str) -> tuple[int, str, str]:
    """`delt-host COMMAND` as a shell does it, with its redirections; where it closes files, from a start of its own."""
    program = f"{shlex.quote(sys.executable) if '&-' in command else interpreter()} {shlex.join(MAIN)}"
    done = shell(command.replace("delt-host", program, 1), cwd=cwd, env={**os.environ, **environment})
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_device_is_one_sentence_that_says_where_the_results_lie(tmp_path: Path) -> None:
    code, _, said = sh(f"delt-host {RUN} > /dev/full", tmp_path)
    assert (code, said) == (
        1,
        "delt-host: standard output cannot be written (No space left on device); the results are in run\n",
    )
    assert (tmp_path / "run" / "results.json").is_file() and (tmp_path / "run" / "report.html").is_file()


def test_closed_files_cost_no_results(tmp_path: Path) -> None:
    code, _, said = sh(f"delt-host {RUN} >&- <&-", tmp_path)
    assert code == 1 and said.startswith("delt-host: standard output cannot be written") and said.count("\n") == 1
    assert (tmp_path / "run" / "report.html").is_file()
    code, out, _ = sh("delt-host runs . 2>&-", tmp_path)
    assert code == 0 and "random-real" in out


def test_who_has_read_enough_is_no_error(tmp_path: Path) -> None:
    for command in ("delt-host show delt", "delt-host run --help"):
        code, _, said = sh(f"{command} | true; sleep 0.1", tmp_path)
        assert (code, said) == (0, ""), command


def test_a_terminal_that_cannot_show_a_character_gets_another(tmp_path: Path) -> None:
    code, out, said = sh(f"delt-host {RUN}", tmp_path, PYTHONIOENCODING="ascii")
    assert code == 0 and said == "" and out.isascii() and "+- is the standard deviation" in out


def test_what_files_say_does_not_reach_the_terminal_as_commands(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a\x1b[2Jb"
    folder.mkdir(parents=True)
    (folder / "experiment.toml").write_text("")
    (folder / "results.json").write_text('{"format": 1, "x\\u001b[31m": "[bold]"}')
    done = delt_host("runs", cwd=tmp_path)
    assert done.returncode == 0 and "\x1b" not in done.stdout and "a␛[2Jb" in done.stdout
    done = delt_host("show", "x\x1b[2J[/bold]", cwd=tmp_path)
    assert done.returncode == 2 and "\x1b" not in done.stderr


def test_rich_markup_and_emoji_in_names_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.out().print(escape("[red]x[/] :smile: \x1b[2J\u202e"))
    terminal.say("a\x1b]0;title\x07b")
    terminal.complain("[/nothing] :rocket: \x9b2J")
    out, said = capsys.readouterr()
    assert out == "[red]x[/] :smile: ␛[2J�\na␛]0;title␇b\n" and said == "[/nothing] :rocket: �2J\n"


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1"])
def test_no_cell_of_a_table_is_a_formula(text: str) -> None:
    file = io.StringIO()
    csv.writer(file).writerow([escapes.cell(text)])
    (cell,) = next(csv.reader(io.StringIO(file.getvalue())))
    assert cell.startswith("'")


@pytest.mark.parametrize("text", ["3", "-0.5", "+1e-3", "64.5 ± 1.6 %", "-3.2 ± 0.1", "1,000", "–", "delt (x=1)", ""])
def test_figures_and_words_stay_as_they_are_in_cells(text: str) -> None:
    assert escapes.cell(text) == text


def test_markdown_shows_a_name_as_it_is() -> None:
    hostile = "a|b\n*c* _d_ `e` [f](g) <b>h</b> \\ #i ~j~ $k$ &lt; \x1b[0m"
    escaped = escapes.markdown(hostile)
    assert "\n" not in escaped and "\x1b" not in escaped
    assert not re.search(r"(?<!\\)(\\\\)*[|*_`\[\]<>#~$&]", escaped)
    assert re.sub(r"\\(.)", r"\1", escaped) == escapes.plain(hostile)


def test_a_stage_that_takes_long_says_so_now_and_then_even_if_it_never_advances() -> None:
    from rich.console import Console

    file = io.StringIO()
    observer = LineObserver(Console(file=file, width=200), every=0.05)
    with observer:
        with observer.stage("squeeze", "convnet3", 10, "images"):
            observer.advance(5, {"loss": 2.0})
            time.sleep(0.12)
        with observer.stage("load", "photos", 0, "images"):
            time.sleep(0.12)
    lines = file.getvalue().splitlines()
    assert re.fullmatch(r"squeeze convnet3: 50 %, .* so far, a few seconds left of it; loss 2", lines[0])
    assert [line for line in lines if re.fullmatch(r"load photos: .* so far", line)]
    time.sleep(0.1)
    assert file.getvalue().splitlines() == lines, "nothing is said when nothing runs"


def test_the_time_between_lines_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(EVERY_SET_BY, "often")
    with pytest.raises(InputError, match="must be a number of seconds above 0, not 'often'"):
        observer_for(terminal.errors(), quiet=False)
    code, _, said = sh(
        f"delt-host {RUN.replace(' -q', '')} --set protocol.epochs=100", tmp_path, DELT_HOST_PROGRESS_SECONDS="0.05"
    )
    assert code == 0 and re.search(r"evaluate random-real, seed 0, convnet3: \d+ %, .* so far, .* left", said), said
