"""Where a scene from space lies, over the date line as elsewhere."""

from types import SimpleNamespace

import numpy as np
import pytest

from sifnet.scenes.footprint import heading, place


@pytest.mark.parametrize("west", [10.0, 179.9, -180.0])
def test_pixels_lie_between_the_corners(west: float) -> None:
    """A square of 0.2 by 0.2 degrees, corners from the upper left clockwise, 2 x 4 pixels."""

    def turned(degrees: float) -> float:
        return (degrees + 180) % 360 - 180

    corners = np.array([[-17.0, turned(west)], [-17.0, turned(west + 0.2)],
                        [-17.2, turned(west + 0.2)], [-17.2, turned(west)]])  # fmt: skip
    raster = SimpleNamespace(crs="", lines=2, samples=4)
    found, _ = place(raster, corners)  # type: ignore[arg-type]
    east = [turned(west + 0.025 + 0.05 * i) for i in range(4)]
    np.testing.assert_allclose(found["longitude"][1], [east, east], atol=1e-9)
    np.testing.assert_allclose(found["latitude"][1][:, 0], [-17.05, -17.15], atol=1e-9)


def test_a_course_over_the_date_line_is_short() -> None:
    assert heading((0.0, 179.9), (0.0, -179.9)) == pytest.approx(90.0)
    assert heading((0.0, -179.9), (0.1, 179.9)) == pytest.approx(296.565, abs=0.01)
    assert heading((10.0, 20.0), (10.0, 20.0)) is None
