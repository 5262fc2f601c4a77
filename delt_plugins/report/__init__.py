"""A finished run for its readers: one page with figures and images, and tables for papers and programs.

`run` reads the folder; `page` is the report, of `sections` with `figures` (by way of `svg`), `images` and differing `settings`;
`formats` are the tables, and `command` is `delt-host report`.
"""
