"""Products with known numbers, without a model behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from sifnet.files import whole
from sifnet.product.axes import axes
from sifnet.product.labels import VARIABLES, frame, label
from sifnet.product.netcdf import gathered, write_strips
from sifnet.product.provenance import Provenance
from sifnet.scenes.scene import FIT_WINDOW, Flag, Scene


def fake_scene(lines: int = 6, samples: int = 5, **attributes: object) -> Scene:
    """A scene of constant radiance; ``attributes`` such as crs and transform go with it."""
    wavelength = np.arange(FIT_WINDOW[0], FIT_WINDOW[1], 0.5)
    geometry = {
        "solar_zenith_angle": 40.0,
        "view_zenith_angle": ("sample", np.linspace(0, 8, samples)),
        "relative_azimuth_angle": 90.0,
        "sensor_height": 0.6,
        "ground_elevation": 0.1,
        "sun_earth_distance": 1.0,
    }
    return Scene.from_arrays(
        np.full((lines, samples, wavelength.size), 90.0, np.float32),
        wavelength,
        0.26,
        geometry=geometry,
        sensor="hyplant",
        name="fake",
        acquisition_time="2020-06-25T09:32:00",
        notes=["an assumption"],
        extra={"latitude": ("line", np.linspace(50.1, 50.2, lines)), "longitude": 6.5},
        **attributes,
    )


def fake_maps(lines: int = 6, samples: int = 5, seed: int = 0) -> xr.Dataset:
    """Maps as the retrieval returns them: noisy stripes, one dead pixel, one poor fit."""
    rng = np.random.default_rng(seed)
    stripes = np.where(np.arange(samples) % 2, 1.5, 0.0) + np.linspace(0, 0.2, lines)[:, None]
    flags = np.zeros((lines, samples), np.uint16)
    flags[0, 0], flags[-1, -1] = Flag.DEAD, Flag.POOR_FIT
    sif = stripes + 0.1 * rng.standard_normal(stripes.shape)
    sif[0, 0] = np.nan
    maps = {"sif_760": sif, "sif_760_uncertainty": np.full_like(sif, 0.1)}
    names = ("reflectance_740", "residual_rms", "aot_550", "surface_pressure", "chi2_reduced")
    maps |= {name: 0.3 + 0.01 * rng.random(sif.shape) for name in names}
    maps |= {name: np.full_like(sif, np.nan) for name in VARIABLES if name not in maps}
    dims = ("line", "sample")
    variables = {name: (dims, values.astype(np.float32)) for name, values in maps.items()}
    return xr.Dataset({**variables, "quality_flag": (dims, flags)})


def finish(maps: xr.Dataset, scene: Scene, provenance: Provenance = Provenance()) -> xr.Dataset:
    """The product of maps that are there already."""
    return gathered(frame(scene, provenance), [(slice(None), label(maps, scene))])


def write(product: xr.Dataset, path: Path) -> Path:
    """A product in memory to a file."""
    down, across = axes(product)
    maps = [name for name, v in product.variables.items() if v.dims == (down, across)]
    strip = product[[n for n in maps if n in product.data_vars]].drop_vars(
        [name for name in product.coords if name not in maps]
    )
    with whole(path) as partial:
        strips = [(slice(None), strip)]
        write_strips(product.drop_vars(maps), strips, partial, product.sizes[down])
    return path
