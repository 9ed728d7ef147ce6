"""What a product keeps of its fit, so that it can be asked why a value is what it is.

In memory that is scene and model themselves. A file has in a group of its own what the line shares,
and some spectra all over the scene: the fit of any pixel can be shown again from the scene, and
that of a near one without.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sifnet.product.netcdf import compressed

if TYPE_CHECKING:
    from sifnet.retrieval.explained import Sample
    from sifnet.retrieval.model import Retrieval
    from sifnet.retrieval.shared import Shared
    from sifnet.scenes.scene import Scene

GROUP = "fit"  # of a product's file
IN_MEMORY = "sifnet_behind"  # of a product's encoding
# How spectra are packed: type and step. All steps are small beside noise.
PACKED: dict[str, tuple[str, float]] = {
    "residual": ("int16", 0.01),
    "encoder_residual": ("int16", 0.01),
    "fluorescence": ("int16", 0.0005),
    "fitted": ("int32", 0.005),
    "noise": ("int32", 0.0005),
    "wavelength": ("int32", 0.0001),
}
LEFT_OUT = ("measured", "encoder")  # which fit, residual and noise give


@dataclass(frozen=True)
class Behind:
    """All that is needed to solve the pixels of a product again."""

    scene: Scene
    model: Retrieval
    shared: Shared
    atmosphere: xr.Dataset | None = None
    refine: bool = True

    def __deepcopy__(self, memo: object) -> Behind:
        """A copy of a product stands on the same ground."""
        return self

    def spectra(self, mask: np.ndarray) -> xr.Dataset:
        """The fits of the pixels of a mask (line, sample), see ``explained.Explainer``."""
        from sifnet.retrieval.explained import explain

        how: dict[str, Any] = {"atmosphere": self.atmosphere, "refine": self.refine}
        told = list(explain(self.scene, self.model, self.shared, mask, **how))
        return xr.concat(told, "pixel", data_vars="minimal", coords="minimal")


def of_line(shared: Shared, sample: Sample, *, refine: bool) -> xr.Dataset:
    """What a file keeps: what the line shares, and the spectra of some pixels."""
    told = sample.kept()
    said = shared.said or shared
    for name, part in (("", shared), ("encoder_", said)):
        told[f"{name}air_deviation"] = (
            ("patch_row", "patch_column", "air"),
            part.deviation.cpu().numpy(),
        )
        told[f"{name}sensor"] = ("column", "of_sensor"), part.sensor.stack().cpu().numpy()
        told[f"{name}errors"] = "error", part.errors.cpu().numpy()
    told["air_deviation"].attrs["long_name"] = "air of every patch from its prior, in its sd"
    told.attrs = {
        "title": "what the pixels of the line share, and some spectra with their fit",
        "patch": np.array(shared.patch, np.int32),
        "refined": int(refine),
    }
    return told.drop_vars([*LEFT_OUT, "parameter"]).assign_coords(
        parameter=("parameter", told["parameter"].values.astype(object))
    )


def packing(kept: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Encodings, by variable, in which spectra take little room."""
    encoding: dict[str, dict[str, Any]] = {}
    for name, values in kept.variables.items():
        if values.dtype.kind not in "fi" or not values.ndim:
            continue
        encoding[str(name)] = dict(compressed(values))
        if name in PACKED:
            kind, step = PACKED[str(name)]
            lowest = np.iinfo(kind).min
            encoding[str(name)] |= {"dtype": kind, "scale_factor": step, "_FillValue": lowest}
    return encoding


def within_packing(kept: xr.Dataset) -> xr.Dataset:
    """The same, with what cannot be packed brought to the end of the range."""
    limits = {n: step * np.iinfo(kind).max for n, (kind, step) in PACKED.items()}
    return kept.assign({n: kept[n].clip(-limits[n], limits[n]) for n in PACKED if n in kept})


def kept_spectra(product: xr.Dataset) -> xr.Dataset | None:
    """What the file of a product keeps (``of_line``), with all of ON_BANDS; None without."""
    source = product.encoding.get("source")
    if source is None or not Path(source).is_file():
        return None
    try:
        with xr.open_dataset(source, group=GROUP, engine="h5netcdf") as file:
            kept = file.load()
    except (OSError, KeyError, ValueError):  # a file of another version, or another's
        return None
    if "fitted" not in kept:
        return None
    kept["measured"] = kept["fitted"] + kept["residual"] * kept["noise"]
    kept["encoder"] = kept["measured"] - kept["encoder_residual"] * kept["noise"]
    for name in LEFT_OUT:
        kept[name].attrs = {"units": kept["fitted"].attrs["units"]}
    return kept
