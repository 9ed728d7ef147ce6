"""What air is worth when it is old: how far it is from what was known hours before, rms.

- An analysis that is taken as it is errs by what weather did since. PERSISTENCE is that of a year
  of hourly ERA5 over Berlin (2017, 52.5 N, 13.4 E; Hersbach et al. 2020, QJRMS 146, 1999): of
  surface pressure, and of the temperature of the column, for which the 2 m temperature of the last
  24 h stands, times 0.77 (what Anderson et al. 1986 have between mid-latitude summer and winter).
  Elsewhere weather is faster or slower.
- A forecast errs the more the longer its lead time. FORECAST is that of the IFS, of the whole
  globe (Rasp et al. 2020, JAMES 12, e2020MS002203): T850 1.36 and 2.03 K at 3 and 5 days; Z500 154
  and 334 m2 s-2, as if all of the air below erred alike, 82 m2 s-2 a hPa at the ground. By ten days
  it is worth no more than climate. AIFS is given the same.
- CLIMATE_SD: surface pressure of that year around the standard atmosphere.
"""

from __future__ import annotations

import numpy as np

AGES = (0, 1, 3, 6, 12, 24, 48, 72, 120, 240)  # h
PERSISTENCE = {
    "surface_pressure": (0, 0.48, 1.32, 2.45, 4.33, 6.94, 9.62, 11.1, 13.2, 13.9),  # hPa
    "temperature_offset": (0, 0.09, 0.26, 0.51, 0.93, 1.57, 2.23, 2.49, 2.68, 2.82),  # K
}
LEADS = (0, 72, 120, 240)  # h
FORECAST = {
    "surface_pressure": (0, 1.9, 4.1, 9.4),  # hPa
    "temperature_offset": (0, 1.36, 2.03, 2.2),  # K
}
CLIMATE_SD = 9.5  # hPa
OLDEST = np.timedelta64(10, "D")  # nothing older is taken, the files are of another time


def persistence_sd(name: str, hours: float) -> float:
    """Standard deviation of a quantity since an analysis of so many hours before."""
    return float(np.interp(hours, AGES, PERSISTENCE[name]))


def forecast_sd(name: str, hours: float) -> float:
    """Standard deviation of a forecast of so many hours, beside what its analysis errs by."""
    return float(np.interp(hours, LEADS, FORECAST[name]))


def worse_than_climate(hours: float) -> bool:
    """Whether the pressure of an analysis so old says less than that there is weather."""
    return persistence_sd("surface_pressure", hours) > CLIMATE_SD
