"""Shapes that signatures state are checked in this test run."""

import pytest
import torch

from sifnet.physics.transfer import TransferFunctions, at_sensor_radiance


def test_an_array_of_another_shape_is_refused() -> None:
    transfer = TransferFunctions(*torch.ones(5, 3, 4))
    assert at_sensor_radiance(torch.ones(4), torch.ones(3, 4), transfer).shape == (3, 4)
    with pytest.raises(TypeError, match=r"at_sensor_radiance(.|\n)*parameter 'sif'"):
        at_sensor_radiance(torch.ones(3, 4), torch.ones(3, 5), transfer)
