"""No two wrong settings of a scene make a map that is wrong by more than 0.5 and looks right.

Prints a row a case: median error over all pixels and over those that are trusted (``-s``).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import xarray as xr

from conftest import PROJECT
from sifnet.errors import SifnetError
from sifnet.product.netcdf import trusted
from sifnet.product.retrieve import retrieve
from sifnet.scenes import open_scene
from sifnet.scenes.consistency import examine
from sifnet.scenes.registration import registered
from sifnet.scenes.scene import Scene

LARGEST = 0.5  # mW m-2 nm-1 sr-1, median error that may look right
EVERY = slice(None, None, 4)  # line and sample
SUN = 35.06  # degrees, of the demo
WRONG = {
    "radiance": (0.5, 0.8, 2.0),  # times
    "added": (-1.0, 1.0),  # mW m-2 nm-1 sr-1, an offset that was lost
    "height": (1.05, 1.8),  # km; 0.783 is right
    "sun": (SUN - 7.0, SUN + 7.0, 0.612),  # degrees; the last is radians
    "elevation": (0.0, 0.7),  # km; 0.335 is right
    "wavelength": (-0.3,),  # nm
    "fwhm": (0.75,),  # times
}


def changed(data: xr.Dataset, what: str, value: float) -> xr.Dataset:
    """The same acquisition with one setting wrong."""
    if what == "radiance":
        return data.assign(radiance=data["radiance"] * np.float32(value))
    if what == "added":
        return data.assign(radiance=data["radiance"] + np.float32(value))
    if what == "wavelength":
        return data.assign_coords(wavelength=("band", data["wavelength"].values + value))
    if what == "fwhm":
        return data.assign_coords(fwhm=("band", data["fwhm"].values * value))
    names = {"height": "sensor_height", "sun": "solar_zenith_angle"}
    return data.assign({names.get(what, "ground_elevation"): value})


def mapped(data: xr.Dataset, truth: np.ndarray) -> tuple[str, float, float]:
    """What became of a scene, and its median error over all and over trusted pixels."""
    nothing = float("nan")
    try:
        scene = registered(Scene(data))
        if any(finding.grave for finding in examine(scene)):
            return "flagged", nothing, nothing  # by every pixel: see test_doubts
        product = retrieve(scene)
    except SifnetError as error:
        return f"refused: {str(error).split(': ')[1]}", nothing, nothing
    error, good = product.sif_760.values - truth, trusted(product)
    told = {text.split(":")[0] for text in product.attrs.get("scene_warnings", "").splitlines()}
    kind = "told of " + ", ".join(sorted(told)) if told else "not told"
    alone = float(np.nanmedian(error[good])) if good.any() else nothing
    return f"{kind}, {100 * good.mean():.0f} % trusted", float(np.nanmedian(error)), alone


@pytest.mark.slow
def test_two_wrong_settings_do_not_make_a_map_that_looks_right() -> None:
    folder = PROJECT / "data" / "demo"
    scene = open_scene(next(folder.glob("*.hdr"))).dataset.isel(line=EVERY, sample=EVERY).load()
    truth = xr.open_dataset(folder / "truth.nc")["sif_760"].values[EVERY, EVERY]
    single = [(what, value) for what, values in WRONG.items() for value in values]
    pairs = [pair for pair in combinations(single, 2) if pair[0][0] != pair[1][0]]
    silent = []
    for case in [(), *((one,) for one in single), *pairs]:
        data = scene
        for what, value in case:
            data = changed(data, what, value)
        became, everywhere, good = mapped(data, truth)
        name = " + ".join(f"{what} {value:g}" for what, value in case) or "all right"
        print(f"{name:40s} {everywhere:+6.2f} {good:+6.2f}  {became}", flush=True)
        if abs(good) > LARGEST:
            silent.append(name)
    assert not silent
