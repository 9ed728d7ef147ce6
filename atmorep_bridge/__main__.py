"""``python -m atmorep_bridge`` is the command ``atmorep-bridge``."""

from atmorep_bridge.cli import main

main()
