"""FloX files as the instrument writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sifnet.scenes.formats.csv import TIME_FORMAT
from sifnet.scenes.site import SIDECAR, Site
from sifnet.units import vacuum_to_air


def write_flox(
    folder: str | Path,
    *,
    incoming: ArrayLike,
    reflected: ArrayLike,
    wavelength: ArrayLike,
    times: ArrayLike,
    **site: Any,
) -> Path:
    """Write a CSV pair in the instrument's own format, and ``site.json`` beside it.

    Args:
        incoming: (measurement, band) irradiance over pi, mW m-2 nm-1 sr-1.
        reflected: (measurement, band) radiance, mW m-2 nm-1 sr-1.
        wavelength: (band,) nm in vacuum; stored in air. times: (measurement,) UTC, whole seconds.
        site: keywords of :class:`sifnet.scenes.site.Site`.

    Returns:
        The ``Incoming`` file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    stamps = pd.DatetimeIndex(np.asarray(times, "datetime64[s]"))
    columns = [stamp.strftime(TIME_FORMAT) for stamp in stamps]
    suffix = f"radiance_FLUO_{stamps[0]:%H%M%S}.csv"
    for kind, values in (("Incoming", incoming), ("Reflected", reflected)):
        table = pd.DataFrame(np.asarray(values, dtype=float).T / 1e3, columns=columns)
        table.insert(0, "wl", vacuum_to_air(wavelength))
        table.to_csv(folder / f"Py_{kind}_{suffix}", sep=";", index=False)
    if site:
        Site(**site)  # refuses what the reader would
        (folder / SIDECAR).write_text(json.dumps(site, indent=1))
    return folder / f"Py_Incoming_{suffix}"
