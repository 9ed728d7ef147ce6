"""Compare: two products of the same ground, pixel by pixel, within what both state of σ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.product.axes import axes
from sifnet.product.labels import place
from sifnet.product.netcdf import read, trusted
from sifnet.product.pictures import evaluation_figure
from sifnet.product.provenance import told

Array = NDArray[np.float64]

QUANTITIES = ("sif_760", "sif_740")
COLUMNS = {
    "n": "pixels that both products trust",
    "mean_a": "mean of the first",
    "mean_b": "mean of the second",
    "bias": "mean of second minus first",
    "bias_uncertainty": "one standard deviation of it, from what both state: the part that pixels "
    "share does not average out",
    "rmse": "root mean square of second minus first",
    "r": "correlation",
    "within_1_sigma": "share of differences within the root of both variances; 0.68 if both are "
    "honest and independent",
    "within_2_sigma": "the same for twice that; 0.95",
}
ALIKE = 1.5  # largest ratio of the sizes of pixels, a side, of which the nearest is taken
SAME_PLACE = 1e-5  # degrees, about a metre


@dataclass(frozen=True)
class Difference:
    """Two products on the grid of the first, all (down, across), mW m-2 nm-1 sr-1.

    Attributes:
        names: of both.
        a, b, sigma_a, sigma_b, shared_a, shared_b: by quantity; NaN where not known.
        used: pixels that both trust.
        notes: how they were brought together, and what to keep in mind.
    """

    names: tuple[str, str]
    a: dict[str, Array]
    b: dict[str, Array]
    sigma_a: dict[str, Array]
    sigma_b: dict[str, Array]
    shared_a: dict[str, Array]
    shared_b: dict[str, Array]
    used: NDArray[np.bool_]
    notes: tuple[str, ...] = ()

    def table(self) -> pd.DataFrame:
        """A row a quantity, columns as in COLUMNS; NaN where a figure has no meaning."""
        rows = {name: self._row(name) for name in self.a}
        table = pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))
        return table[table["n"] > 0]

    def _row(self, name: str) -> dict[str, float]:
        a, b = self.a[name], self.b[name]
        used = self.used & np.isfinite(a) & np.isfinite(b)
        if not used.any():
            return {"n": 0}
        difference = (b - a)[used]
        variance = self.sigma_a[name][used] ** 2 + self.sigma_b[name][used] ** 2
        shared = self.shared_a[name][used] ** 2 + self.shared_b[name][used] ** 2
        sigma = np.sqrt(variance)
        own = np.maximum(variance - shared, 0.0).sum() / used.sum() ** 2
        spread = np.ptp(a[used]) > 0 and np.ptp(b[used]) > 0
        stated = np.isfinite(sigma).all()
        return {
            "n": int(used.sum()),
            "mean_a": float(a[used].mean()),
            "mean_b": float(b[used].mean()),
            "bias": float(difference.mean()),
            "bias_uncertainty": float(np.sqrt(np.sqrt(shared).mean() ** 2 + own)),
            "rmse": float(np.sqrt((difference**2).mean())),
            "r": float(np.corrcoef(a[used], b[used])[0, 1]) if spread else np.nan,
            "within_1_sigma": float((abs(difference) <= sigma).mean()) if stated else np.nan,
            "within_2_sigma": float((abs(difference) <= 2 * sigma).mean()) if stated else np.nan,
        }

    def save(self, path: str | Path, quantity: str = QUANTITIES[0]) -> Path:
        """Write the picture: both maps, their difference, one against the other.

        Raises:
            SifnetError: the file cannot be written.
        """
        used = self.used & np.isfinite(self.a[quantity]) & np.isfinite(self.b[quantity])
        title = f"SIF at {quantity.removeprefix('sif_')} nm"
        evaluation_figure(
            self.b[quantity], self.a[quantity], used, names=self.names, title=title, path=path
        )
        return Path(path)


def compare(first: xr.Dataset | str | Path, second: xr.Dataset | str | Path) -> Difference:
    """Bring two products onto the same pixels: those of the first.

    Products on different grids of one map projection are compared by the nearest pixel, where
    pixels are about as large.

    Raises:
        SifnetError: they do not show the same ground on pixels that can be compared.
    """
    a, b = (data if isinstance(data, xr.Dataset) else read(data) for data in (first, second))
    names = _names(a, b, first, second)
    b, notes = _onto(a, b)
    sides = [_values(product) for product in (a, b)]
    used = trusted(a) & trusted(b)
    if not used.any():
        raise SifnetError(
            "nothing to compare",
            found="no pixel that both products trust",
            expected="at least one",
            remedy="See the flags of both (`quality_flag`).",
            command="See the flags of both (their PNG lists them).",
        )
    if _scene(a) and _scene(a) == _scene(b):
        notes.append(
            "both are of the same spectra: their noise is the same, and differences are smaller "
            "than the root of both variances says"
        )
    (va, sa, ca), (vb, sb, cb) = sides
    return Difference(names, va, vb, sa, sb, ca, cb, used, tuple(notes))


def _values(product: xr.Dataset) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Value, uncertainty, and the part of it that pixels share: that of sif_760 in proportion."""
    values, sigmas, shares = {}, {}, {}
    usual = product["sif_760_uncertainty"].values.astype(float)
    shared = product.get("sif_760_uncertainty_shared")
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.zeros_like(usual) if shared is None else shared.values / usual
    for name in QUANTITIES:
        values[name] = product[name].values.astype(float)
        sigmas[name] = product[f"{name}_uncertainty"].values.astype(float)
        shares[name] = np.nan_to_num(np.clip(share, 0, 1)) * sigmas[name]
    return values, sigmas, shares


def _onto(a: xr.Dataset, b: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """The second product on the pixels of the first, and how."""
    on_a, on_b = place(a), place(b)
    if (on_a is None) != (on_b is None):
        raise _refusal("one lies on a map grid, the other does not", "both or none")
    if on_a is None or on_b is None:
        return _by_number(a, b)
    if on_a[0] != on_b[0]:
        raise _refusal(f"{_called(on_a[0])} and {_called(on_b[0])}", "one map projection")
    shape = a["sif_760"].shape
    if np.allclose(on_a[1], on_b[1], rtol=0, atol=1e-6) and shape == b["sif_760"].shape:
        return b, []
    sizes = [np.sqrt(abs(affine.determinant)) for _, affine in (on_a, on_b)]
    if not 1 / ALIKE < sizes[0] / sizes[1] < ALIKE:
        raise _refusal(
            f"pixels of {sizes[0]:.3g} and {sizes[1]:.3g} (of the projection's unit)",
            f"sizes within a factor {ALIKE:g}",
            "Average the finer over blocks first: sifnet.product.aggregate.aggregate.",
        )
    return _nearest(b, shape, on_a[1], on_b[1])


def _nearest(
    b: xr.Dataset, shape: tuple[int, ...], to_a: object, to_b: object
) -> tuple[xr.Dataset, list[str]]:
    down, across = axes(b)
    a0, a1, a2, a3, a4, a5 = to_a[:6]  # type: ignore[index]
    inverse = (~to_b)[:6]  # type: ignore[operator]
    row, column = np.mgrid[: shape[0], : shape[1]] + 0.5
    x, y = a2 + a0 * column + a1 * row, a5 + a3 * column + a4 * row
    columns = inverse[0] * x + inverse[1] * y + inverse[2]
    rows = inverse[3] * x + inverse[4] * y + inverse[5]
    inside = (rows >= 0) & (rows < b.sizes[down]) & (columns >= 0) & (columns < b.sizes[across])
    if not inside.any():
        raise _refusal("no pixel in common", "maps that overlap")
    at = [
        xr.DataArray(np.where(inside, index, 0).astype(int), dims=(down, across))
        for index in (rows, columns)
    ]
    names = [n for n in b.data_vars if b[n].dims == (down, across)]
    laid = b[names].drop_vars([down, across], errors="ignore").isel({down: at[0], across: at[1]})
    laid["sif_760"] = laid["sif_760"].where(xr.DataArray(inside, dims=(down, across)))
    offset = np.hypot(columns - np.floor(columns) - 0.5, rows - np.floor(rows) - 0.5)[inside].max()
    text = f"the second by its nearest pixel, at most {offset:.2f} of its pixels away"
    return laid.assign_attrs(b.attrs), [f"different grids of one projection: {text}"]


def _by_number(a: xr.Dataset, b: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """Without a map pixels are the same where lines are: as many, and where known at one place."""
    shapes = ["{} x {}".format(*product["sif_760"].shape) for product in (a, b)]
    if shapes[0] != shapes[1]:
        raise _refusal(" and ".join(shapes), "as many lines and samples, or maps")
    for name in ("latitude", "longitude"):
        if name in a.coords and name in b.coords and a[name].dims == b[name].dims:
            apart = float(np.nanmax(abs(a[name].values - b[name].values)))
            if apart > SAME_PLACE:
                raise _refusal(f"{name}s up to {apart:.2g} degrees apart", "the same pixels")
    return b, ["no map grid: compared by line and sample"]


def _refusal(found: str, expected: str, remedy: str = "") -> SifnetError:
    usual = "Bring both onto one grid first: `product.rio.reproject_match(other)` of rioxarray."
    return SifnetError(
        "the two products cannot be compared pixel by pixel",
        found=found,
        expected=expected,
        remedy=remedy or usual,
    )


def _called(crs: object) -> str:
    return str(getattr(crs, "name", crs))


def _scene(product: xr.Dataset) -> str:
    return str(told(product).get("source_sha256", ""))


def _names(
    a: xr.Dataset, b: xr.Dataset, first: xr.Dataset | str | Path, second: xr.Dataset | str | Path
) -> tuple[str, str]:
    """What tells the two apart: their scenes, else their files, else their order."""
    scenes = tuple(str(product.attrs.get("scene", "")) for product in (a, b))
    if all(scenes) and scenes[0] != scenes[1]:
        return scenes[0], scenes[1]
    if not isinstance(first, xr.Dataset) and not isinstance(second, xr.Dataset):
        paths = Path(first), Path(second)
        if paths[0].stem != paths[1].stem:
            return paths[0].stem, paths[1].stem
        return str(paths[0].parent / paths[0].stem), str(paths[1].parent / paths[1].stem)
    return "first", "second"
