"""Tables of what the simulation may be wrong by, below 3 km and in space: six minutes.

python data/make_discrepancy.py [WINDOW]   (make discrepancy; needs the extra `build`)

WINDOW, far_red or red, is that of which they are made, both by default.
"""

import sys
from pathlib import Path

import numpy as np
from rich.progress import track

from sifnet.files import whole
from sifnet.physics.discrepancy import SHIPPED
from sifnet.physics.full.discrepancy import PAIRS, Light, differences, principal
from sifnet.physics.windows import FAR_RED, RED

KEPT = {FAR_RED: 64, RED: 24}  # components; further ones are below 1e-4 rms

if __name__ == "__main__":
    for window in KEPT:
        if window.name not in (sys.argv[1:] or [window.name]):
            continue
        light = Light(window)
        for space in (False, True):
            name = SHIPPED[window, space]
            pairs = track(differences(light, space=space), name, total=PAIRS)
            mean, components = principal(np.array(list(pairs)))
            size = np.sqrt((components**2).mean((1, 2)))
            print(f"{name}: left out {size[KEPT[window] :].max(initial=0.0):.1e} rms at most")
            kept = components[: KEPT[window]]
            parts = {"mean": mean.astype(np.float16), "components": kept.astype(np.float16)}
            with whole(Path(__file__).parent / name) as partial_file:
                np.savez_compressed(partial_file, wavelength=window.wavelength, **parts)
