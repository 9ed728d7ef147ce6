"""Canopies that made no shape: how well σ of the whole emission holds those left out.

SCOPE's canopies under one sun, their SIF drawn with the usual errors of FLORIS, and given the
shapes of the other canopies: one by one, and by quarters of what their inputs are.
"""

from __future__ import annotations

import csv
from unittest.mock import patch

import numpy as np
from flex_plants import COUNT, shapes_of, under_one_sun
from harness import DATA, Array, rms, within
from numpy.typing import NDArray

from sifnet.physics.windows import RED
from sifnet.retrieval import whole_emission
from sifnet.retrieval.emission import Measured

INPUTS = DATA / "scope" / "input_data_latin_hypercube.csv"
FAMILIES = {"LIDFa": "leaf angle", "LAI": "leaf area", "Cab": "chlorophyll", "Cs": "brown pigment"}
FAR, NEAR, REPEATED = 0.12, 0.35, 40  # errors of SIF, mW m-2 nm-1 sr-1; draws of a canopy
HEAD = (
    "left out",
    "687 nm: RMSE",
    "within σ / 2σ",
    "least of a quarter",
    "integral: within σ / 2σ",
)
SUNLIGHT = 900.0  # mW m-2 nm-1 at 755 nm


def rows() -> list[list[str]]:
    """A row for one by one, and one for each family of quarters."""
    emission = under_one_sun(SUNLIGHT)
    glowing = np.flatnonzero(emission[:, whole_emission.WAVELENGTH == 760.0][:, 0] > 0.02)
    known = inputs()
    found = [["one by one", *row([np.array([i]) for i in glowing], emission)]]
    for name, label in FAMILIES.items():
        quarters = np.array_split(glowing[np.argsort(known[name][glowing])], 4)
        found.append([f"quarters of {label}", *row(quarters, emission)])
    return found


def row(families: list[NDArray[np.intp]], emission: Array) -> list[str]:
    """Figures of families left out in turn; equal errors are drawn of each."""
    errors, z, integral = (
        np.concatenate(each)
        for each in zip(*(left_out(some, emission) for some in families), strict=True)
    )
    ends = np.cumsum([REPEATED * len(some) for some in families])[:-1]
    quarters = [within(part) for part in np.split(z, ends)]
    least = min(quarters, key=lambda shares: int(shares[1][:-1]))
    return [
        f"{rms(errors):.3f}", " / ".join(within(z)),
        " / ".join(least) if len(families) == 4 else "", " / ".join(within(integral)),
    ]  # fmt: skip


def left_out(some: NDArray[np.intp], emission: Array) -> tuple[Array, Array, Array]:
    """Errors at 687 nm of some canopies, these over σ, and the same of the integral."""
    rng = np.random.default_rng(5)
    truth = np.repeat(emission[some], REPEATED, axis=0)
    at = whole_emission.WAVELENGTH
    far, near = (
        Measured(truth[:, at == nm][:, 0] + sd * rng.standard_normal(len(truth)),
                 np.full(len(truth), sd), np.full(len(truth), sd))
        for nm, sd in ((760.0, FAR), (RED.reference, NEAR))
    )  # fmt: skip
    others = np.setdiff1d(np.arange(COUNT), some)
    whole_emission.shapes.cache_clear()
    with patch.object(whole_emission, "usual_canopies", lambda: shapes_of(others)):
        said = whole_emission.whole_emission(far, near)
    whole_emission.shapes.cache_clear()
    red, total = said.at(RED.reference), said.integral()
    error = red.value - truth[:, at == RED.reference][:, 0]
    return error, error / red.sd, (total.value - np.trapezoid(truth, dx=1.0)) / total.sd


def inputs() -> dict[str, Array]:
    """(canopy) what SCOPE was given, by its names."""
    with INPUTS.open(encoding="utf-8") as file:
        return {line[0]: np.array(line[1 : COUNT + 1], float) for line in csv.reader(file)
                if line[0] in FAMILIES}  # fmt: skip
