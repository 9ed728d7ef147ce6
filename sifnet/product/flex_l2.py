"""A product of a FLEX scene under the names of the mission's L2, as far as it can be computed.

Group ``L2_Fluorescence``: ``sif_O2_bands_value`` of the O2 A band, and of the B band where it was
solved, with their wavelengths, and ``sif_emission_spectrum`` at the 41 of its 111 wavelengths that
lie in 740-780 nm: ``sif_760`` times the mean shape of emission of canopy models, whose spread is in
the uncertainty. What would need all red light is absent, not filled: the peaks' values and
positions, the integral, escape probability and quantum efficiency. Pixels that are not trusted are
filled, as ``quality_flags`` says (``quality_flags_O2_B`` at 687 nm).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sifnet.files import whole
from sifnet.physics.surface import emission_spread, sif_shape
from sifnet.product.axes import axes
from sifnet.product.netcdf import windows
from sifnet.product.provenance import told

SENSOR = "flex"
AXES = ("number_of_along_track_samples", "number_of_across_track_samples")
SPECTRUM = np.arange(740.0, 781.0)  # nm, of the mission's 670 to 780
O2_B, O2_A = 687.0, 760.0  # nm
UNIT = "mW.m-2.sr-1.nm-1"
FLAGS = {"quality_flag": "quality_flags", "quality_flag_687": "quality_flags_O2_B"}


def write_l2(product: xr.Dataset, path: Path) -> Path:
    """Write the file, a window of lines at a time.

    Args:
        product: open, or in memory.

    Raises:
        SifnetError: the file cannot be written.
    """
    sizes, origin = tuple(product.sizes[name] for name in axes(product)), told(product)
    with whole(path) as partial, h5netcdf.File(partial, "w") as file:
        file.attrs["title"] = f"{product.attrs['title']}, by names of FLEX L2"
        file.attrs["comment"] = (
            "made by sifnet, not by the mission; what it cannot compute is absent: "
            "peaks, integral, escape probability, quantum efficiency"
        )
        for name in ("scene", "acquisition_time", "source", "source_files", "sifnet_version"):
            file.attrs[name] = str(origin[name])
        spectral = {"sif_O2_bands": len(_bands(product)), "sif_wavelengths": SPECTRUM.size}
        file.dimensions = dict(zip(AXES, sizes, strict=True)) | spectral
        made = _created(file, product)
        start = 0
        for part in windows(product):
            lines = slice(start, start + part.sizes[axes(product)[0]])
            for name, values in _computed(part).items():
                made[name][lines] = values
            start = lines.stop
    return path


def _created(file: h5netcdf.File, product: xr.Dataset) -> dict[str, Any]:
    """Empty variables, and the wavelengths."""
    fluorescence, atmosphere = (
        file.create_group(f"L2_{n}") for n in ("Fluorescence", "Atmosphere")
    )
    for name, axis, values in (
        ("sif_O2_bands_wavelength", "sif_O2_bands", _bands(product)),
        ("sif_wavelength_grid", "sif_wavelengths", SPECTRUM),
    ):
        grid = fluorescence.create_variable(name, (axis,), np.float64, data=np.array(values))
        grid.attrs["units"] = "nm"
    made = {}
    for name, (group, along, unit, text) in {
        "sif_O2_bands_value": (fluorescence, "sif_O2_bands", UNIT, "SIF at the oxygen bands"),
        "sif_emission_spectrum": (fluorescence, "sif_wavelengths", UNIT,
                                  "SIF at 760 nm times a mean shape of emission"),
        "aerosol_optical_thickness": (atmosphere, None, "", "as retrieved, at 550 nm"),
    }.items():  # fmt: skip
        made[name] = _variable(group, name, along, unit, text)
        if along is not None:
            wide = f"{name}_uncertainty"
            made[wide] = _variable(group, wide, along, unit, "one standard deviation")
    group = file.create_group("Quality")
    for ours, name in FLAGS.items():
        if ours in product:
            made[name] = group.create_variable(name, AXES, np.uint16)
            told_of = {k: v for k, v in product[ours].attrs.items() if "flag_" in k}
            made[name].attrs.update(told_of)
    for name in _places(product):
        made[name] = _variable(file, name, None, product[name].attrs["units"], name)
    return made


def _bands(product: xr.Dataset) -> list[float]:
    """The oxygen bands whose SIF is known, nm."""
    return [O2_B, O2_A] if "sif_687" in product else [O2_A]


def _variable(group: Any, name: str, axis: str | None, unit: str, text: str) -> Any:
    dimensions = AXES if axis is None else (*AXES, axis)
    place = name in ("latitude", "longitude")
    variable = group.create_variable(
        name, dimensions, np.float64 if place else np.float32, fillvalue=None if place else np.nan,
        compression="gzip", compression_opts=4, shuffle=True,
    )  # fmt: skip
    variable.attrs["long_name"] = text
    if unit:
        variable.attrs["units"] = unit
    return variable


def _computed(part: xr.Dataset) -> dict[str, NDArray[Any]]:
    """Values of some lines."""
    import torch

    sif, sd = (part[n].values[..., None] for n in ("sif_760", "sif_760_uncertainty"))
    shape = sif_shape(torch.as_tensor(SPECTRUM)).numpy()
    spread = emission_spread(SPECTRUM)
    of_bands = [f"sif_{band:.0f}" for band in _bands(part)]
    computed = {
        "sif_O2_bands_value": np.stack([part[n].values for n in of_bands], -1),
        "sif_O2_bands_value_uncertainty": np.stack(
            [part[f"{n}_uncertainty"].values for n in of_bands], -1
        ),
        "sif_emission_spectrum": sif * shape,
        "sif_emission_spectrum_uncertainty": np.hypot(sd * shape, sif * spread),
        "aerosol_optical_thickness": part["aot_550"].values,
    }
    for ours, name in FLAGS.items():
        if ours in part:
            computed[name] = part[ours].values.astype(np.uint16)
    return computed | {n: part[n].values for n in _places(part)}


def _places(product: xr.Dataset) -> list[str]:
    return [n for n in ("latitude", "longitude") if n in product.coords and product[n].ndim == 2]
