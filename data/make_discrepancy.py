"""Tables of what the simulation may be wrong by, below 3 km and in space: three minutes.

python data/make_discrepancy.py           (make discrepancy; needs the extra `build`)
"""

from pathlib import Path

import numpy as np
from rich.progress import track

from sifnet.files import whole
from sifnet.physics.discrepancy import SHIPPED
from sifnet.physics.full.discrepancy import PAIRS, Light, differences, principal
from sifnet.physics.full.spectral_grids import GRID

if __name__ == "__main__":
    light = Light()
    for space, name in SHIPPED.items():
        pairs = track(differences(light, space=space), name, total=PAIRS)
        mean, components = principal(np.array(list(pairs)))
        parts = {"mean": mean.astype(np.float16), "components": components.astype(np.float16)}
        with whole(Path(__file__).parent / name) as partial_file:
            np.savez_compressed(partial_file, wavelength=GRID, **parts)
