# One command for each habit; CI runs the same ones.
PYTHON ?= python

.PHONY: install test lowest lint types docs site keys failing-disk bench fix

install:  ## the package, with what tests, lint and types need
	$(PYTHON) -m pip install -e ".[dev]"

test:  ## every test, two at a time: about twenty minutes on two cores
	$(PYTHON) -m pytest

lowest:  ## the same with the lowest versions that pyproject.toml allows, in build/lowest: an environment of 5.5 GB
	$(PYTHON) -m uv venv --quiet --clear --python 3.11 build/lowest
	$(PYTHON) -m uv pip install --quiet --python build/lowest --resolution lowest-direct --editable ".[test]"
	build/lowest/bin/python -m pytest

lint:  ## style, and who may import whom
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -c "from importlinter import cli; cli.lint_imports_command()" --no-logo --no-cache

types:  ## static types of the host and the plugins
	$(PYTHON) -m mypy

docs:  ## write anew from the code: docs/reference.md, docs/api.md, the schema of results.json and the page on it
	$(PYTHON) docs/generate.py

site:  ## the documentation as a site in site/; a link or anchor that leads nowhere is an error
	$(PYTHON) -m mkdocs build --strict

keys:  ## what an edit recomputes and what not, by real commands in two processes; six minutes
	$(PYTHON) benchmarks/recomputed.py

failing-disk:  ## every write of a run failed once, by real processes over a finished run; needs gcc, on Linux; an hour
	$(PYTHON) benchmarks/failing_disk.py

bench:  ## every stage against a plain reference, paired, and memory and bytes of large sets, on this machine; hours, and 25 GB in build/
	$(PYTHON) benchmarks/table.py --json docs/results/performance.json
	$(PYTHON) benchmarks/loading.py
	$(PYTHON) benchmarks/overhead.py
	$(PYTHON) benchmarks/students.py
	$(PYTHON) benchmarks/batch_matching.py --json docs/results/batch-matching.json
	$(PYTHON) benchmarks/second_order.py
	$(PYTHON) benchmarks/size.py build/size

fix:  ## what lint can mend by itself
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .
