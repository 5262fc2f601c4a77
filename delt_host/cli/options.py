"""Options that several commands have, with one meaning and one text: on what they compute, and where they keep it."""

from __future__ import annotations

from pathlib import Path

import click

device = click.option("--device", metavar="NAME", help="auto (default), cpu, cuda, cuda:N.")
precision = click.option("--precision", metavar="NAME", help="auto (default), fp32, bf16.")
stack = click.option(
    "--stack",
    type=int,
    metavar="N",
    help="Groups in one forward pass of recovery (default: 500 images up to 32 px, else 1 group).",
)
threads = click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="Processor threads of each piece of work (default: all)."
)
store = click.option("--store", type=click.Path(path_type=Path), help="Where finished stages are kept.")
