"""The quantities the bridge uses: what services call them, in which units, and what is possible."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sifnet.units import GRAVITY

PRESSURE = {"Pa": 0.01, "hPa": 1.0, "millibars": 1.0, "mbar": 1.0, "mb": 1.0}
HEIGHT = {"m2 s-2": 1e-3 / GRAVITY, "m": 1e-3, "gpm": 1e-3, "km": 1.0}
WATER = {"kg m-2": 0.1, "mm": 0.1, "g cm-2": 1.0}


@dataclass(frozen=True)
class Quantity:
    """A field we use.

    Attributes:
        names: in files; the first is ECMWF's short name where it has one.
        units: factor of each unit of files to ours; a file that states none is in the first.
        bounds: lowest and highest possible value, in our unit.
        download: where to get it.
    """

    names: tuple[str, ...]
    units: Mapping[str, float]
    bounds: tuple[float, float]
    download: str

    @property
    def unit(self) -> str:
        """Ours: the first whose factor is 1."""
        return next(unit for unit, factor in self.units.items() if factor == 1.0)


_ERA5 = "ERA5 hourly data on"
QUANTITIES: dict[str, Quantity] = {
    "temperature": Quantity(
        ("t", "T", "temperature"),
        {"K": 1.0},
        (150.0, 340.0),
        f"{_ERA5} pressure levels: temperature; MERRA-2: T of M2I3NPASM",
    ),
    "specific_humidity": Quantity(
        ("q", "QV", "specific_humidity"),
        {"kg kg-1": 1.0, "kg/kg": 1.0, "1": 1.0, "g kg-1": 1e-3},
        (-1e-3, 0.05),
        f"{_ERA5} pressure levels: specific_humidity; MERRA-2: QV of M2I3NPASM",
    ),
    "height": Quantity(
        ("z", "gh", "geopotential", "H"),
        HEIGHT,
        (-2.0, 90.0),
        f"{_ERA5} pressure levels: geopotential; IFS: gh; MERRA-2: H of M2I3NPASM",
    ),
    "surface_pressure": Quantity(
        ("sp", "PS", "surface_pressure"),
        PRESSURE,
        (300.0, 1100.0),
        f"{_ERA5} single levels and CAMS: surface_pressure; or lnsp of model level 1; MERRA-2: PS",
    ),
    "surface_height": Quantity(
        ("z_surface", "PHIS", "geopotential_at_surface", "surface_geopotential"),
        HEIGHT,
        (-0.6, 9.0),
        f"{_ERA5} single levels: geopotential (any one time); CAMS: surface_geopotential; "
        "MERRA-2: PHIS of M2C0NXASM",
    ),
    "pressure": Quantity(("PL",), PRESSURE, (0.0, 1100.0), "MERRA-2: PL of M2I3NVASM"),
    "water_vapour": Quantity(
        ("tcwv", "TQV", "total_column_water_vapour"),
        WATER,
        (0.0, 10.0),
        f"{_ERA5} single levels: total_column_water_vapour; MERRA-2: TQV",
    ),
    "aot_550": Quantity(
        ("aod550", "TOTEXTTAU", "total_aerosol_optical_depth_550nm"),
        {"1": 1.0, "~": 1.0, "dimensionless": 1.0, "": 1.0},
        (-1e-3, 10.0),
        "CAMS reanalysis (EAC4) or forecast: total_aerosol_optical_depth_550nm; "
        "MERRA-2: TOTEXTTAU of M2T1NXAER",
    ),
    "eastward_wind": Quantity(
        ("u", "U", "u_component_of_wind", "velocity_u"),
        {"m s-1": 1.0},
        (-150.0, 150.0),
        "ERA5 hourly data: u_component_of_wind",
    ),
    "northward_wind": Quantity(
        ("v", "V", "v_component_of_wind", "velocity_v"),
        {"m s-1": 1.0},
        (-150.0, 150.0),
        "ERA5 hourly data: v_component_of_wind",
    ),
    "vertical_velocity": Quantity(
        ("w", "OMEGA", "vertical_velocity", "velocity_z"),
        {"Pa s-1": 1.0},
        (-30.0, 30.0),
        "ERA5 hourly data: vertical_velocity",
    ),
    "temperature_2m": Quantity(
        ("t2m", "2t", "T2M", "2m_temperature"),
        {"K": 1.0},
        (180.0, 340.0),
        "ERA5 hourly data on single levels: 2m_temperature",
    ),
}


def quantity(name: str) -> Quantity:
    """One of ours, or any CF variable by its own name or standard_name, in the unit it states."""
    anything = Quantity((name,), {}, (-math.inf, math.inf), f"a file with a variable {name}")
    return QUANTITIES.get(name, anything)


ON_LEVELS = (
    "temperature", "specific_humidity", "height", "pressure",
    "eastward_wind", "northward_wind", "vertical_velocity",
)  # fmt: skip
"""The others are of the ground, or of the whole column."""
AIR = (
    "temperature", "specific_humidity", "height", "surface_pressure", "surface_height", "pressure",
    "water_vapour", "aot_550",
)  # fmt: skip
"""What says the state of the air over a place."""
