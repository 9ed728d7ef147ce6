"""A product of a FLEX scene under the names of the mission's L2, as far as it can be computed.

Group ``L2_Fluorescence``: ``sif_O2_bands_value`` of the O2 A band, and of the B band where it was
solved, as the lines have it; and the whole emission that follows from these and from what canopies
emit (``product.emission``): ``sif_emission_spectrum`` at 670-780 nm, ``total_integrated_sif``, and
the peaks, of which the red one needs SIF at 687 nm. At 687 nm the spectrum is more certain than the
band's own value, for it knows of canopies. Where SIF at 687 nm was solved, so was the red
reflectance: then also ``fapar_chlorophyll``, ``fluorescence_escape_probability`` of the far red
alone, and under the ``integrated_par`` of a clear sky ``fluorescence_quantum_efficiency``
(``product.physiology``). What cannot be computed is absent, not filled. Pixels that are not trusted
are filled, as ``quality_flags`` says (``quality_flags_O2_B`` at 687 nm).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import h5netcdf
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sifnet.files import whole
from sifnet.product.axes import axes
from sifnet.product.emission import AXIS, INTEGRAL, SIGMA, SPECTRUM, emission_of
from sifnet.product.netcdf import windows
from sifnet.product.physiology import physiology_of
from sifnet.product.provenance import told

SENSOR = "flex"
AXES = ("number_of_along_track_samples", "number_of_across_track_samples")
UNIT = "mW.m-2.sr-1.nm-1"
FLAGS = {"quality_flag": "quality_flags", "quality_flag_687": "quality_flags_O2_B"}
PLANTS = {
    "fapar_chlorophyll": ("umol.umol-1", "usual share of fAPAR by NDVI"),
    "fluorescence_escape_probability": ("", "NIRv / fAPAR, at 760 nm"),
    "integrated_par": ("umol.photons.m-2.s-1", "of a clear sky, by the height of the sun"),
    "fluorescence_quantum_efficiency": ("umol.umol-1", "of SIF at 760 nm, of the whole canopy"),
}
LINES = 16  # at once: an emission spectrum takes 15 KB a pixel while it is made
CHUNK = LINES, 64, 111


class Variable(NamedTuple):
    """A variable of the mission's, and how it comes from ours.

    Attributes:
        ours: of which it consists, along ``axis`` if that is no axis of theirs.
        group: less its ``L2_``.
        axis: beside those of pixels.
    """

    ours: tuple[str, ...]
    group: str
    axis: str | None
    unit: str
    text: str


def variables(product: xr.Dataset) -> dict[str, Variable]:
    """What can be made of a product, by the mission's names; each has a sigma if ours has one."""
    red = "sif_687" in product
    bands = ("sif_687", "sif_760") if red else ("sif_760",)
    peaks = ("sif_red_peak", "sif_far_red_peak") if red else ("sif_far_red_peak",)
    places = tuple(f"{peak}_wavelength" for peak in peaks)
    group = "Fluorescence"
    plants = {
        name: Variable((name,), group, None, unit, f"{text}; sparse plants are filled")
        for name, (unit, text) in PLANTS.items()
        if name in product
    }
    return plants | {
        "sif_O2_bands_value": Variable(
            bands, group, "sif_O2_bands", UNIT, "SIF at the oxygen bands, of their lines alone"),
        "sif_emission_spectrum": Variable(
            (SPECTRUM,), group, "sif_wavelengths", UNIT,
            "emission of canopies, given SIF at the oxygen bands"),
        "sif_peak_values": Variable(peaks, group, "sif_peaks", UNIT, "SIF at its peaks"),
        "sif_peak_positions": Variable(places, group, "sif_peaks", "nm", "places of the peaks"),
        "total_integrated_sif": Variable(
            (INTEGRAL,), group, None, "mW.m-2.sr-1", "SIF from 670 to 780 nm"),
        "aerosol_optical_thickness": Variable(
            ("aot_550",), "Atmosphere", None, "", "as retrieved, at 550 nm"),
    }  # fmt: skip


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
            "made by sifnet, not by the mission; what it cannot compute is absent"
        )
        for name in ("scene", "acquisition_time", "source", "source_files", "sifnet_version"):
            file.attrs[name] = str(origin[name])
        file.dimensions = dict(zip(AXES, sizes, strict=True))
        start = 0
        made: dict[str, Any] = {}
        for part in windows(product, LINES):
            found = part.merge(emission_of(part)).merge(physiology_of(part))
            if not made:
                made = _created(file, found)
            lines = slice(start, start + part.sizes[axes(product)[0]])
            for name, values in _computed(found).items():
                made[name][lines] = values
            start = lines.stop
    return path


def _created(file: h5netcdf.File, found: xr.Dataset) -> dict[str, Any]:
    """Empty variables, and what they are along."""
    wanted = variables(found)
    bands = [float(name[4:]) for name in wanted["sif_O2_bands_value"].ours]
    peaks = wanted["sif_peak_values"].ours
    file.dimensions["sif_O2_bands"] = len(bands)
    file.dimensions["sif_peaks"] = len(peaks)
    file.dimensions["sif_wavelengths"] = found.sizes[AXIS]
    sizes = {name: dimension.size for name, dimension in file.dimensions.items()}
    groups = {g: file.create_group(f"L2_{g}") for g in {v.group for v in wanted.values()}}
    made = {}
    for name, variable in wanted.items():
        group = groups[variable.group]
        along = {axis: sizes[axis] for axis in (*AXES, variable.axis) if axis is not None}
        made[name] = _variable(group, name, along, variable.unit, variable.text)
        if variable.ours[0] + SIGMA in found:
            sigma, text = name + SIGMA, "one standard deviation"
            made[sigma] = _variable(group, sigma, along, variable.unit, text)
        if variable.axis == "sif_peaks":
            made[name].attrs["peaks"] = " ".join(peak.removesuffix("_peak")[4:] for peak in peaks)
    for name, axis, values in (
        ("sif_O2_bands_wavelength", "sif_O2_bands", np.array(bands)),
        ("sif_wavelength_grid", "sif_wavelengths", found[AXIS].values),
    ):
        grid = groups["Fluorescence"].create_variable(name, (axis,), np.float64, data=values)
        grid.attrs["units"] = "nm"
    group = file.create_group("Quality")
    for ours, name in FLAGS.items():
        if ours in found:
            made[name] = group.create_variable(name, AXES, np.uint16)
            told_of = {k: v for k, v in found[ours].attrs.items() if "flag_" in k}
            made[name].attrs.update(told_of)
    pixels = {axis: sizes[axis] for axis in AXES}
    for name in _places(found):
        made[name] = _variable(file, name, pixels, found[name].attrs["units"], name)
    return made


def _variable(group: Any, name: str, along: dict[str, int], unit: str, text: str) -> Any:
    """Empty, along axes of some sizes."""
    place = name in ("latitude", "longitude")
    variable = group.create_variable(
        name, tuple(along), np.float64 if place else np.float32,
        fillvalue=None if place else np.nan,
        chunks=tuple(min(pair) for pair in zip(along.values(), CHUNK, strict=False)),
        compression="gzip", compression_opts=1, shuffle=True,
    )  # fmt: skip
    variable.attrs["long_name"] = text
    if unit:
        variable.attrs["units"] = unit
    return variable


def _computed(found: xr.Dataset) -> dict[str, NDArray[Any]]:
    """Values of some lines."""
    computed: dict[str, NDArray[Any]] = {}
    for name, variable in variables(found).items():
        for end in ("", SIGMA):
            if variable.ours[0] + end in found:
                values = [found[ours + end].values for ours in variable.ours]
                along = variable.axis is not None and values[0].ndim == 2
                computed[name + end] = np.stack(values, -1) if along else values[0]
    for ours, name in FLAGS.items():
        if ours in found:
            computed[name] = found[ours].values.astype(np.uint16)
    return computed | {n: found[n].values for n in _places(found)}


def _places(product: xr.Dataset) -> list[str]:
    return [n for n in ("latitude", "longitude") if n in product.coords and product[n].ndim == 2]
