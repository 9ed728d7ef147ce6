"""Print what ``sifnet.retrieval.physiology`` takes from PROSAIL: light that chlorophyll absorbs.

    python data/make_fapar.py                                          (a minute; extra ``build``)

600 canopies of PROSPECT-D leaves (Feret et al. 2017) in SAIL (Verhoef 1984) over drawn soils, under
the photons of ASTM G173, a fifth of them diffuse. What leaves absorb is the energy balance of SAIL;
of that, chlorophyll's is the share of its absorption coefficient in that of all pigments.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from prosail import run_prospect, spectral_lib
from prosail.FourSAIL import foursail
from pvlib.spectrum import get_reference_spectra

from sifnet.simulation.canopies import draw_soils

Array = NDArray[np.float64]

COUNT, DIFFUSE = 600, 0.2
WAVELENGTH = np.arange(400, 2501)
PAR = slice(0, 301)  # 400-700 nm


def canopy(rng: np.random.Generator, soil: Array) -> tuple[Array, Array, Array]:
    """Reflectance at WAVELENGTH seen from above; absorbed by leaves, and by chlorophyll, of PAR."""
    content = {
        "kab": rng.uniform(15, 80), "kcar": rng.uniform(3, 20),
        "kbrown": rng.uniform(0, 0.3) * (rng.random() < 0.3), "kw": rng.uniform(0.004, 0.05),
        "km": rng.uniform(0.001, 0.02),
    }  # fmt: skip
    layers, red = rng.uniform(1.0, 2.5), rng.uniform(0, 4) * (rng.random() < 0.3)
    _, reflected, passed = run_prospect(layers, *content.values(), ant=red, prospect_version="D")
    lai = np.exp(rng.uniform(np.log(0.1), np.log(7.0)))
    tss, _, _, rdd, tdd, _, tsd, _, _, _, _, _, rddt, rsdt, _, _, _, rsot, *_ = foursail(
        reflected, passed, rng.uniform(25, 75), 0.0, 2, lai, rng.uniform(0.01, 0.5),
        rng.uniform(20, 60), 0.0, 0.0, soil,
    )  # fmt: skip
    below = tss + (tsd + tss * soil * rdd) / (1 - soil * rdd), tdd / (1 - soil * rdd)
    direct, diffuse = (1 - r - (1 - soil) * b for r, b in zip((rsdt, rddt), below, strict=True))
    absorbed = ((1 - DIFFUSE) * direct + DIFFUSE * diffuse)[PAR]
    library = spectral_lib.prospectd
    each = {name: amount * getattr(library, name)[PAR] for name, amount in content.items()}
    chlorophyll = each["kab"] / (sum(each.values()) + red * library.kant[PAR])
    return rsot, absorbed, absorbed * chlorophyll


def main() -> None:
    """Draw, fit and print."""
    rng = np.random.default_rng(0)
    light = get_reference_spectra()["global"]
    visible = WAVELENGTH[PAR]
    photons = np.interp(visible, light.index, light) * visible
    rows = []
    for soil in draw_soils(COUNT, rng):
        ground = np.pad(soil, (0, WAVELENGTH.size - soil.size), mode="edge")
        reflectance, *absorbed = canopy(rng, ground)
        at = [reflectance[270:281].mean(), *reflectance[[305, 350, 360]]]
        rows.append([*at, *((part * photons).sum() / photons.sum() for part in absorbed)])
    red, edge, plateau, near, leaves, chlorophyll = np.array(rows).T
    index, ndvi = (plateau - edge) / (plateau + edge), (near - red) / (near + red)
    for name, x, truth in (
        ("chlorophyll from red edge", index, chlorophyll),
        ("chlorophyll from NDVI", ndvi, chlorophyll),
        ("leaves from NDVI", ndvi, leaves),
    ):
        slope, offset = np.polyfit(x, truth, 1)
        left = (truth - offset - slope * x).std()
        print(f"{name}: {slope:.3f} x {offset:+.3f}, scatter {left:.3f}")
    off = 1.1638 * ndvi - 0.1426 - leaves
    print(f"Myneni and Williams (1994): bias {off.mean():+.3f}, scatter {off.std():.3f}")
    share = chlorophyll / leaves
    print(f"chlorophyll's share of what leaves absorb: {share.mean():.3f} +- {share.std():.3f}")


if __name__ == "__main__":
    main()
