"""What no loaded field may be: the checks behind every colocation, each naming the mistake."""

from __future__ import annotations

import xarray as xr

from atmorep_bridge.fields.quantities import QUANTITIES
from sifnet.errors import SifnetError
from sifnet.units import standard_height


def check_values(fields: xr.Dataset) -> None:
    """Refuse loaded fields that cannot be true: wrong units, levels upside down, missing values.

    Raises:
        SifnetError: it names the quantity, what was found and the likely mistake.
    """
    files = ", ".join(fields.attrs["files"])
    for name, quantity in QUANTITIES.items():
        if name not in fields:
            continue
        low, high = quantity.bounds
        least, most = float(fields[name].min()), float(fields[name].max())  # without gaps
        if least < low or most > high:
            raise SifnetError(
                f"{name} is impossible",
                found=f"{least:.4g} to {most:.4g}",
                expected=f"{low:g} to {high:g} {quantity.unit}",
                remedy="The attribute `units` of the file does not fit its values"
                " (hPa or Pa, geopotential or height?), or the file is damaged.",
                file=files,
            )
    _check_levels(fields, files)


def _check_levels(fields: xr.Dataset, files: str) -> None:
    """Heights must be those of the pressures, roughly, and air near the ground more humid."""
    reversed_levels = False
    if "specific_humidity" in fields and "level" in fields.dims:
        humidity = fields["specific_humidity"]
        humid = humidity.mean([d for d in humidity.dims if d != "level"]).dropna("level")
        reversed_levels = bool(humid.size > 1 and humid[0] > humid[-1])
    if fields.attrs["level_kind"] == "pressure" and "height" in fields:
        expected = _standard(fields["level"])
        far = abs(fields["height"] - expected) > 0.8 + 0.15 * expected
        reversed_levels |= bool((fields["height"].diff("level") > 0).any())
        if far.any() and not reversed_levels:
            level = far.any([d for d in far.dims if d != "level"]).argmax("level")
            strange = fields["height"].isel(level=int(level))
            raise SifnetError(
                "heights do not fit their pressure levels",
                found=f"{float(strange.max()):.4g} km at {float(strange['level']):g} hPa",
                expected=f"about {float(expected.isel(level=int(level))):.3g} km",
                remedy="Geopotential (m2 s-2) and height (m) are exchanged: correct `units`.",
                file=files,
            )
    if reversed_levels:
        raise SifnetError(
            "levels are upside down",
            found="air that is driest, or highest, at the last level",
            expected="levels whose numbers or pressures grow towards the ground",
            remedy="The level coordinate does not belong to the data: correct it.",
            file=files,
        )
    if {"surface_pressure", "surface_height"} <= set(fields):
        height = _standard(fields["surface_pressure"]) - fields["surface_height"]
        if (abs(height) > 1.2).any():
            worst = float(abs(height).max())
            raise SifnetError(
                "surface pressure and the height of the surface do not belong together",
                found=f"pressures of {worst:.2g} km higher or lower",
                expected="less than 1.2 km of difference",
                remedy="Geopotential (m2 s-2) and height (m) are exchanged, or the grids differ.",
                file=files,
            )


def _standard(pressure: xr.DataArray) -> xr.DataArray:
    return pressure.copy(data=standard_height(pressure))
