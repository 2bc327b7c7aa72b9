"""`python -m sockwarden.cli` is `sockwarden`."""

from sockwarden.cli import main

main(prog_name="sockwarden")
