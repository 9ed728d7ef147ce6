"""Evaluate: a product, and what others would have made of the scene, against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from sifnet.baselines.fld import three_fld_scene
from sifnet.errors import SifnetError
from sifnet.outputs import read, trusted, whole
from sifnet.plots import evaluation_figure
from sifnet.readers import open_scene
from sifnet.scene import Scene

Array = NDArray[np.float64]

COLUMNS = {
    "n": "pixels that count, the same for all methods",
    "flagged": "share of pixels that are flagged or that a method did not solve",
    "bias": "mean of estimate minus truth",
    "rmse": "root mean square of estimate minus truth",
    "r2": "squared correlation",
    "rmse_vegetation": "the same where the ground is not bare soil",
    "soil_mean": "mean estimate where the truth is bare soil, which does not glow",
    "within_1_sigma": "share of truths within one stated uncertainty; 0.68 is honest",
    "within_2_sigma": "share of truths within two stated uncertainties; 0.95 is honest",
    "rmse_over_sigma": "rmse over root mean square of the stated uncertainty; 1 is honest",
}


@dataclass(frozen=True)
class Comparison:
    """Estimates of SIF at 760 nm beside the truth, all (line, sample), mW m-2 nm-1 sr-1.

    Attributes:
        estimates: by method; the first is the product's.
        uncertainty: of the product.
        bare: true bare soil, None where the truth does not say.
        used: pixels that count: trusted in the product, and solved by all methods.
    """

    estimates: dict[str, Array]
    uncertainty: Array
    truth: Array
    bare: NDArray[np.bool_] | None
    used: NDArray[np.bool_]

    def table(self) -> pd.DataFrame:
        """A row a method, columns as in COLUMNS; NaN where a figure has no meaning."""
        rows = {method: self._row(method) for method in self.estimates}
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))

    def _row(self, method: str) -> dict[str, float]:
        used, bare = self.used, self.bare
        error = self.estimates[method] - self.truth
        vegetation = used & ~bare if bare is not None else used & (self.truth > 0)
        row = {
            "n": int(used.sum()),
            "flagged": float(1 - used.mean()),
            "bias": _mean(error[used]),
            "rmse": _rms(error[used]),
            "r2": _correlation(self.estimates[method][used], self.truth[used]) ** 2,
            "rmse_vegetation": _rms(error[vegetation]),
            "soil_mean": np.nan if bare is None else _mean(self.estimates[method][used & bare]),
        }
        if method == next(iter(self.estimates)):
            sigma = self.uncertainty[used]
            row["within_1_sigma"] = _mean(abs(error[used]) <= sigma)
            row["within_2_sigma"] = _mean(abs(error[used]) <= 2 * sigma)
            row["rmse_over_sigma"] = row["rmse"] / _rms(sigma)
        return row

    def save(self, beside: str | Path) -> tuple[Path, Path]:
        """Write table and figure as ``<stem>_evaluation.csv`` and ``.png`` beside a product.

        Raises:
            SifnetError: the folder cannot be written.
        """
        beside = Path(beside)
        csv, png = (beside.with_name(f"{beside.stem}_evaluation{e}") for e in (".csv", ".png"))
        with whole(csv) as partial:
            self.table().to_csv(partial, index_label="method", float_format="%.5g")
        estimate = next(iter(self.estimates.values()))
        evaluation_figure(estimate, self.truth, self.used, path=png)
        return csv, png


def evaluate(
    product: xr.Dataset | str | Path,
    truth: xr.Dataset | str | Path,
    *,
    baselines: bool = False,
    scene: Scene | None = None,
) -> pd.DataFrame:
    """Bias, RMSE, r2, calibration of a product, a row a method, columns as in COLUMNS.

    See ``compare`` for the arguments and the errors raised.
    """
    return compare(product, truth, baselines=baselines, scene=scene).table()


def compare(
    product: xr.Dataset | str | Path,
    truth: xr.Dataset | str | Path,
    *,
    baselines: bool = False,
    scene: Scene | None = None,
) -> Comparison:
    """Bring a product, the truth and the baselines onto the same pixels.

    Args:
        product: what ``retrieve`` returned or wrote.
        truth: ``sif_760`` and optional ``bare_soil`` on the product's grid.
        baselines: also 3FLD, which needs the scene.
        scene: opened from the product's ``source_files`` by default.

    Raises:
        SifnetError: product and truth do not match, or the scene is not where it was.
    """
    result = product if isinstance(product, xr.Dataset) else read(product)
    known = truth if isinstance(truth, xr.Dataset) else read(truth)
    estimate = result["sif_760"].values.astype(float)
    true = known["sif_760"].values.astype(float)
    if true.shape != estimate.shape:
        raise SifnetError(
            "product and truth do not belong together",
            found=f"truth of {_size(true)}",
            expected=_size(estimate),
            remedy="Give the truth of the same scene.",
            file=None if isinstance(truth, xr.Dataset) else truth,
        )
    estimates = {"sifnet": estimate}
    if baselines:
        estimates |= _baselines(scene or _scene_of(result), estimate.shape)
    used = trusted(result) & np.isfinite(true)
    for values in estimates.values():
        used &= np.isfinite(values)
    if not used.any():
        raise SifnetError(
            "nothing to evaluate",
            found="no pixel that is trusted and has a truth",
            expected="at least one",
            remedy="See the flags of the product (its PNG lists them).",
        )
    bare = known["bare_soil"].values.astype(bool) if "bare_soil" in known else None
    return Comparison(estimates, result["sif_760_uncertainty"].values.astype(float), true, bare,
                      used)  # fmt: skip


def _baselines(scene: Scene, shape: tuple[int, ...]) -> dict[str, Array]:
    """3FLD; from the air also anchored to bare ground, where there is any."""
    if scene.shape[:2] != shape:
        raise SifnetError(
            "the product's scene has changed",
            found="{} lines x {} samples".format(*scene.shape[:2]),
            expected="{} x {}".format(*shape),
            remedy="Give the scene the product was made from, or leave the baselines out.",
        )
    estimates = {"3FLD": three_fld_scene(scene)}
    if scene.irradiance is None:
        try:
            estimates["3FLD, bare ground"] = three_fld_scene(scene, bare_ground=True)
        except SifnetError:  # no bare ground: nothing to anchor to
            return estimates
    return estimates


def _scene_of(product: xr.Dataset) -> Scene:
    files = str(product.attrs.get("source_files", "")).split("\n")
    if not files[0]:
        raise SifnetError(
            "the product does not say which scene it is of",
            expected="the attribute source_files",
            remedy="Leave the baselines out, or pass the scene.",
        )
    return open_scene(files[0], sensor=product.attrs.get("sensor"))


def _size(array: Array) -> str:
    return " x ".join(str(length) for length in array.shape)


def _mean(values: NDArray) -> float:
    return float(values.mean()) if values.size else np.nan


def _rms(values: Array) -> float:
    return float(np.sqrt((values**2).mean())) if values.size else np.nan


def _correlation(x: Array, y: Array) -> float:
    if x.size < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    return float(np.corrcoef(x, y)[0, 1])
