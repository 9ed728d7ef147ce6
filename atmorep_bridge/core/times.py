"""Steps in time: hours, days, months of the calendar; and what a step is told of other ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep_bridge.core.specs import MONTH
from atmorep_bridge.fields.axes import files_of
from sifnet.errors import SifnetError

HOUR = np.timedelta64(1, "h")
DAY = 24  # hours
LEAST_MONTH, MOST_MONTH = 28 * DAY * HOUR, 31 * DAY * HOUR
Times = NDArray[np.datetime64]


def counted(times: Times, hours: int) -> NDArray[np.float64]:
    """Numbers of the steps that times are at, from the first; one apart where there is no hole."""
    if hours == MONTH:
        return times.astype("datetime64[M]").astype(float)
    return np.asarray((times - times[:1]) / (hours * HOUR))


def later(time: np.datetime64 | Times, steps: int | NDArray[np.int64], hours: int) -> Any:
    """The time or the times so many steps after a time."""
    if hours == MONTH:
        return (time.astype("datetime64[M]") + steps).astype("datetime64[ns]")
    return time.astype("datetime64[ns]") + steps * hours * HOUR


def every(hours: int) -> str:
    """Steps in words."""
    return "month" if hours == MONTH else f"{hours} h"


def hours_of(data: xr.Dataset) -> int:
    """Hours between times: the smallest step, and a multiple of an hour; or MONTH.

    Raises:
        SifnetError: times are not in order, or closer than an hour.
    """
    times = data["time"].values
    steps = np.diff(times)
    in_months = steps.size and LEAST_MONTH <= steps.min() <= MOST_MONTH
    if in_months and (np.diff(counted(times, MONTH)) > 0).all():
        return MONTH
    if steps.size == 0 or steps.min() < HOUR or (steps.min() % HOUR) != np.timedelta64(0, "h"):
        raise SifnetError(
            "the times cannot be used",
            found=f"steps of {steps.min() / HOUR:g} h" if steps.size else "a single time",
            expected="a series of times, whole hours or months apart",
            remedy="Download analyses of every hour, day or month.",
            file=files_of(data),
        )
    return int(steps.min() / HOUR)


def told(times: Times, hours: int, own: Times, own_hours: int) -> NDArray[np.int64]:
    """Which values of another series a step is told: their mean, ``step, part``, -1 for none.

    Of longer steps it is the last that had ended by then, while none after it has, too. Of shorter
    ones it is all of the day or month of the step; or, where steps are of hours, all since the step
    before. A value is of the time that begins with its label: of days, months of the calendar. A
    step is told nothing that came true later, nor of an incomplete time.
    """
    own = _begun(own, own_hours)
    if own_hours > hours:
        ended = later(own, 1, own_hours)
        last = ended.searchsorted(times, "right") - 1
        fresh = (last >= 0) & (times < later(ended[last], 1, own_hours))
        return np.where(fresh, last, -1)[:, None]
    since = _begun(times, hours) if hours >= DAY else later(times, -1, hours)
    until = later(since, 1, hours)
    first, stop = own.searchsorted(since), own.searchsorted(until)
    whole = np.rint((until - since) / HOUR / own_hours)
    index = first[:, None] + np.arange(int(whole.max()))
    return np.where((index < stop[:, None]) & (stop - first == whole)[:, None], index, -1)


def _begun(times: Times, hours: int) -> Times:
    """When the days or months of labels begin; others do with their label."""
    day = times.astype("datetime64[D]").astype(times.dtype) if hours % DAY == 0 else times
    return later(day, 0, hours)
