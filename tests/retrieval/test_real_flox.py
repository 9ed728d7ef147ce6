"""Real FloX spectra against what two established algorithms made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sifnet


@pytest.mark.slow
def test_115_real_measurements(shared_data: Path) -> None:
    """Correlation >= 0.985 with SPECFIT and SFM, mean within 0.2 (measured 0.995, 0.993)."""
    scene = sifnet.open_scene(
        shared_data / "flox", sensor="flox", latitude=42.859, longitude=11.055
    )
    found = sifnet.retrieve(scene, sifnet.fit(scene)).sif_760.values.ravel()
    reference = pd.read_csv(shared_data / "flox/reference_sif.csv")
    for name in ("sif_o2a_specfit_mw", "sif_o2a_sfm_mw"):
        theirs = reference[name].to_numpy()
        assert np.corrcoef(found, theirs)[0, 1] >= 0.985, name
        assert abs((found - theirs).mean()) <= 0.2, name
