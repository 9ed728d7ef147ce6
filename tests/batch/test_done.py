"""Failures that two batches keep in one folder."""

import json
from pathlib import Path

from sifnet.batch.done import FAILURES, Failures
from sifnet.errors import SifnetError


def test_two_batches_in_a_folder_lose_no_failure(tmp_path: Path) -> None:
    one, two = Failures.read(tmp_path), Failures.read(tmp_path)
    a, b = tmp_path / "a.hdr", tmp_path / "b.hdr"
    one.add(a, SifnetError("broken"), "")
    two.add(b, SifnetError("broken"), "")
    assert [Path(e["scene"]).name for e in json.loads((tmp_path / FAILURES).read_text())] == [
        "a.hdr",
        "b.hdr",
    ]
    two.remove(a)
    one.remove(b)
    assert not list(tmp_path.iterdir())
