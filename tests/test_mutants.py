"""The table of bugs put in by hand (``make mutants``) does not rot."""

from collections import Counter
from pathlib import Path

from conftest import PROJECT
from mutants.run import ENOUGH, bugs


def test_every_bug_has_its_place_and_tests_that_may_see_it() -> None:
    for bug in bugs():
        text = (PROJECT / bug.file).read_text()
        assert text.count(bug.old) == 1, f"{bug.file}: {bug.what}: {text.count(bug.old)} times"
        assert bug.old != bug.new, bug.what
        assert bug.tests, bug.what
        for test in bug.tests:
            file, _, name = test.partition("::")
            assert (PROJECT / file).is_file(), test
            assert not name or f"def {name}(" in (PROJECT / file).read_text(), test


def test_bugs_are_many_different_and_everywhere() -> None:
    table = bugs()
    assert len(table) >= 80
    assert len({(bug.file, bug.old, bug.new) for bug in table}) == len(table)
    assert len({bug.what for bug in table}) == len(table)
    rooms = Counter(Path(bug.file).parts[:2] for bug in table)
    for room in ("physics", "retrieval", "scenes", "product", "evaluation", "batch", "training"):
        assert rooms["sifnet", room] > 0, room
    assert rooms["atmorep_bridge", "core"] > 0
    assert rooms["atmorep_bridge", "air"] > 0
    assert ENOUGH >= 0.92
