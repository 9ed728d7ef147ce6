"""``python -m sifnet`` is the command ``sifnet``."""

from sifnet.cli import main

main()
