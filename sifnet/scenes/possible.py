"""What else no Scene may be: times without its sensor, widths without bands, places off the earth.

Beside :mod:`sifnet.scenes.checks`, which looks at layout and light, these ask the sensor's record,
the calendar and the globe; nothing of the image is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from sifnet.errors import SifnetError, shown
from sifnet.scenes.sensor import FIT_WINDOW

if TYPE_CHECKING:
    import xarray as xr

# Half the spacing leaves gaps that no light is seen in, ten times is no spectrum but a blur. Real
# ones are 1 (EnMAP) to 2.3 (HyPlant), and a response as narrow as a pixel has 0.9.
WIDTHS = (0.5, 10.0)  # FWHM over the distance of bands
PLACES = {"latitude": (-90.0, 90.0), "longitude": (-180.0, 360.0)}
DAY = timedelta(days=1)  # that the clock of this machine may be late


def refuse_impossible(data: xr.Dataset) -> None:
    """Refuse a dataset, laid out as a Scene, by what its labels say.

    Raises:
        SifnetError: a time before its sensor or to come, a band far narrower or wider than the
            distance of bands, a place that is none, or a file whose name no product can hold.
    """
    _check_names(data)
    _check_time(data)
    _check_widths(data)
    _check_place(data)


def refuse_unwritable(name: str | os.PathLike[str]) -> None:
    """Refuse the name of a file that is not UTF-8: products record where they come from.

    Raises:
        SifnetError: it is not.
    """
    text = os.fspath(name)
    if shown(text) != text:
        raise SifnetError(
            "the name of the file is not UTF-8",
            found="bytes that are no letters",
            expected="a name that a product can record",
            remedy="Rename the file, or its folder.",
            file=text,
        )


def _refusal(data: xr.Dataset) -> Callable[..., NoReturn]:
    def refuse(what: str, found: object, expected: object, remedy: str) -> NoReturn:
        files = data.attrs.get("source_files") or [None]
        raise SifnetError(what, found=found, expected=expected, remedy=remedy, file=files[0])

    return refuse


def _check_names(data: xr.Dataset) -> None:
    for name in data.attrs["source_files"]:
        refuse_unwritable(name)


def _check_time(data: xr.Dataset) -> None:
    refuse, sensor = _refusal(data), data.attrs["sensor"]
    stated = data["time"].values if "time" in data else [str(data.attrs["acquisition_time"])]
    try:
        # In ns the years before 1678 and after 2262 would come out as others.
        times = np.atleast_1d(np.asarray(stated, "datetime64[s]"))
    except ValueError:
        refuse("the time of the scene is none", stated[0], "a time, ISO 8601", "Correct it.")
    if np.isnat(times).any():
        refuse("the time of the scene is none", "NaT", "a time, ISO 8601", "Correct it.")
    first, last = times.min(), times.max()
    now = np.datetime64((datetime.now(UTC) + DAY).replace(tzinfo=None), "s")
    if first < np.datetime64(f"{sensor.since:04d}-01-01", "s"):
        refuse("the scene is older than its sensor", first, f"{sensor.since} or later, for "
               f"{sensor.name}", "Correct the date.")  # fmt: skip
    if last > now:
        refuse("the scene is of a time to come", last, f"before {now}",
               "Correct the date, or the clock of this machine.")  # fmt: skip


def _check_widths(data: xr.Dataset) -> None:
    """FWHM of the bands in the fit window against their distance, where there are some."""
    wavelength, fwhm = data["wavelength"].values, data["fwhm"].values
    used = (wavelength >= FIT_WINDOW[0]) & (wavelength <= FIT_WINDOW[1])
    if used.sum() < 2:
        return
    distance = float(np.median(np.diff(wavelength[used])))
    low, high = (share * distance for share in WIDTHS)
    beyond = used & ~((fwhm >= low) & (fwhm <= high))
    if beyond.any():
        _refusal(data)(
            "impossible band width",
            f"FWHM {fwhm[beyond][0]:g} nm of bands every {distance:.3g} nm",
            f"{low:.3g} to {high:.3g} nm",
            "Correct `fwhm` in the header, or give fwhm in site.json.",
        )


def _check_place(data: xr.Dataset) -> None:
    """On earth, and not the 0, 0 of what was never filled in."""
    refuse, remedy = _refusal(data), "Correct the header, the navigation file or site.json."
    places = {n: np.asarray(data[n].values, dtype=float) for n in PLACES if n in data}
    for name, values in places.items():
        low, high = PLACES[name]
        beyond = values[~((values >= low) & (values <= high))]
        if beyond.size:
            refuse(
                f"{name} is impossible", f"{beyond[0]:g}", f"{low:g} to {high:g} degrees", remedy
            )
    if len(places) == len(PLACES) and not any(values.any() for values in places.values()):
        refuse("the place was never filled in", "latitude 0, longitude 0", "where it is", remedy)
