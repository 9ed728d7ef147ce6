"""Scene, Sensor and model say in ten lines what they are."""

import pytest

from fakes.fitted import quick_fit
from fakes.products import fake_scene
from sifnet import card
from sifnet.scenes import record_of


@pytest.mark.parametrize("kind", ["scene", "sensor", "model"])
def test_about_ten_lines_and_a_table(kind: str) -> None:
    noun = {
        "scene": fake_scene(),
        "sensor": record_of("desis"),
        "model": quick_fit()[1],
    }[kind]
    lines = repr(noun).splitlines()
    assert 6 <= len(lines) <= 12
    assert max(map(len, lines)) < 100
    table = noun._repr_html_()
    assert table.count("<tr>") == len(lines) - 1
    words = {"scene": "6 lines x 5 samples", "sensor": "in space", "model": "hyplant"}
    assert words[kind] in repr(noun)
    assert words[kind] in table


def test_text_is_escaped() -> None:
    assert "<b>x" not in card.html("t", [("name", "<b>x")])
