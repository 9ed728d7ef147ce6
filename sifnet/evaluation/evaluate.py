"""Evaluate: a product, and what others would have made of the scene, against the truth."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from sifnet.errors import SifnetError
from sifnet.evaluation.limits import limits
from sifnet.evaluation.methods.all import Estimate, all_estimates
from sifnet.files import sha256, whole
from sifnet.product.netcdf import read, read_netcdf, trusted
from sifnet.product.pictures import evaluation_figure
from sifnet.product.provenance import sources, told
from sifnet.retrieval.model import Retrieval
from sifnet.retrieval.shipped import model_for
from sifnet.scenes import open_scene
from sifnet.scenes.scene import Scene

Array = NDArray[np.float64]
_log = logging.getLogger(__name__)

COLUMNS = {
    "n": "pixels that count: the same for all methods, fewer where a method is tried on some only",
    "flagged": "share of pixels that are flagged or that a method did not solve",
    "bias": "mean of estimate minus truth",
    "rmse": "root mean square of estimate minus truth",
    "r2": "squared correlation",
    "rmse_vegetation": "rmse where the ground is not bare soil",
    "soil_mean": "mean estimate where the truth is bare soil, which does not glow",
    "within_1_sigma": "share of truths within one stated uncertainty; 0.68 is honest",
    "within_2_sigma": "share of truths within two stated uncertainties; 0.95 is honest",
    "rmse_over_single_pixel_limit": "rmse over the rms of the least possible error of a pixel "
    "by itself",
    "rmse_over_patch_limit": "the same where atmosphere and sensor are shared by patch and column",
    "spectra_per_second": "solved in this run in a second of one core",
}


@dataclass(frozen=True)
class Comparison:
    """Estimates of SIF at 760 nm beside the truth, all (line, sample), mW m-2 nm-1 sr-1.

    Attributes:
        estimates: by method; the first is the product's.
        truth: NaN where not known.
        bare: true bare soil, None where the truth does not say.
        used: pixels that count: trusted in the product, and solved by all methods that were
            tried everywhere.
        limits: see ``sifnet.evaluation.limits.limits``; None if not computed.
    """

    estimates: dict[str, Estimate]
    truth: Array
    bare: NDArray[np.bool_] | None
    used: NDArray[np.bool_]
    limits: xr.Dataset | None = None

    def table(self) -> pd.DataFrame:
        """A row a method, columns as in COLUMNS; NaN where a figure has no meaning."""
        rows = {name: self._row(estimate) for name, estimate in self.estimates.items()}
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(COLUMNS))

    def _row(self, estimate: Estimate) -> dict[str, float]:
        sif, bare = estimate.sif_760, self.bare
        used = self.used & np.isfinite(sif)
        error = sif - self.truth
        vegetation = used & ~bare if bare is not None else used & (self.truth > 0)
        row = {
            "n": int(used.sum()),
            "flagged": float(1 - used.mean()) if estimate.everywhere else np.nan,
            "bias": _mean(error[used]),
            "rmse": _rms(error[used]),
            "r2": _correlation(sif[used], self.truth[used]) ** 2,
            "rmse_vegetation": _rms(error[vegetation]),
            "soil_mean": np.nan if bare is None else _mean(sif[used & bare]),
            "spectra_per_second": estimate.spectra_per_second,
        }
        if estimate.uncertainty is not None:
            sigma = estimate.uncertainty[used]
            row["within_1_sigma"] = _mean(abs(error[used]) <= sigma)
            row["within_2_sigma"] = _mean(abs(error[used]) <= 2 * sigma)
        if self.limits is not None:
            for kind in ("single_pixel", "patch"):
                limit = self.limits[kind].values
                both = used & np.isfinite(limit)
                row[f"rmse_over_{kind}_limit"] = _rms(error[both]) / _rms(limit[both])
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
        evaluation_figure(estimate.sif_760, self.truth, self.used, path=png)
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
    progress: bool = False,
) -> Comparison:
    """Bring a product, the truth and the baselines onto the same pixels.

    Args:
        product: what ``retrieve`` returned or wrote.
        truth: ``sif_760`` and optional ``bare_soil`` on the product's grid.
        baselines: also all of ``evaluation.methods`` and the limits, which need the scene. The
            product's own model, where its file is still there, is run once more for its speed.
        scene: opened from the product's ``source_files`` by default.
        progress: show a progress bar.

    Raises:
        SifnetError: product and truth do not match, or the scene is not where it was.
    """
    result = product if isinstance(product, xr.Dataset) else read(product)
    reference = truth if isinstance(truth, xr.Dataset) else read(truth)
    estimate = result["sif_760"].values.astype(float)
    true = reference["sif_760"].values.astype(float)
    if true.shape != estimate.shape:
        raise SifnetError(
            "product and truth do not belong together",
            found=f"truth of {_size(true.shape)}",
            expected=_size(estimate.shape),
            remedy="Give the truth of the same scene.",
            file=None if isinstance(truth, xr.Dataset) else truth,
        )
    ours = Estimate(estimate, result["sif_760_uncertainty"].values.astype(float))
    estimates, bounds = {"sifnet": ours}, None
    used = trusted(result) & np.isfinite(true)
    if baselines:
        scene = _checked(scene or _scene_of(result), estimate.shape)
        air, model = _atmosphere_of(result), _model_of(result, scene)
        others = all_estimates(scene, model=model, atmosphere=air, progress=progress)
        if again := others.pop("sifnet", None):
            estimates["sifnet"] = replace(ours, spectra_per_second=again.spectra_per_second)
        for other in others.values():
            used &= np.isfinite(other.sif_760) | (not other.everywhere)
        greenness = ndvi_only(result["ndvi_radiance"].values, true, used)
        estimates |= {n: e for n, e in others.items() if n.startswith("sifnet")}
        estimates |= greenness | others
        emulator, predictor = (None, None) if model is None else (model.emulator, model.predictor)
        bounds = limits(scene, atmosphere=air, emulator=emulator, predictor=predictor)
    if not (used & np.isfinite(estimate)).any():
        raise SifnetError(
            "nothing to evaluate",
            found="no pixel that is trusted and has a truth",
            expected="at least one",
            remedy="See the flags of the product (its PNG lists them).",
        )
    bare = reference["bare_soil"].values.astype(bool) if "bare_soil" in reference else None
    return Comparison(estimates, true, bare, used & np.isfinite(estimate), bounds)


def ndvi_only(ndvi: Array, truth: Array, used: NDArray[np.bool_]) -> dict[str, Estimate]:
    """The linear function of NDVI closest to the truth where ``used``, as the row "NDVI only".

    It is fitted to the truth itself: the most that any reader of greenness could reach, and far
    more than it would where fluorescence is not known. All arrays (line, sample). Empty where
    pixels have no NDVI.
    """
    if used.sum() < 3 or not np.isfinite(ndvi[used]).all():
        return {}
    columns = np.stack([np.ones_like(ndvi), ndvi], axis=-1).astype(float)
    weights = np.linalg.lstsq(columns[used], truth[used], rcond=None)[0]
    return {"NDVI only": Estimate(columns @ weights)}


def _checked(scene: Scene, shape: tuple[int, ...]) -> Scene:
    """The scene, refused where it is not that of the product."""
    if scene.shape[:2] == shape:
        return scene
    raise SifnetError(
        "the product's scene has changed",
        found="{} lines x {} samples".format(*scene.shape[:2]),
        expected="{} x {}".format(*shape),
        remedy="Give the scene the product was made from, or leave the baselines out.",
    )


def _scene_of(product: xr.Dataset) -> Scene:
    if not (files := sources(product.attrs)):
        raise SifnetError(
            "the product does not say which scene it is of",
            expected="the attribute source_files",
            remedy="Leave the baselines out, or pass the scene.",
        )
    return open_scene(files[0], sensor=product.attrs.get("sensor"))


def _atmosphere_of(product: xr.Dataset) -> xr.Dataset | None:
    """The prior atmosphere that the product names, if it came from a file that still exists."""
    source = Path(str(told(product).get("atmosphere_source", "")))
    return read_netcdf(source) if source.is_file() else None


def _model_of(product: xr.Dataset, scene: Scene) -> Retrieval | None:
    """The model that the product names, if its file is there, the same, and still readable."""
    path = Path(str(product.attrs.get("model_file", "")))
    if not path.is_file() or sha256(path) != product.attrs.get("model_sha256"):
        return None
    try:
        return model_for(scene, path)
    except SifnetError as error:
        _log.warning("the product's model is not run again: %s", error)
        return None


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _mean(values: NDArray) -> float:
    return float(values.mean()) if values.size else np.nan


def _rms(values: Array) -> float:
    return _mean(values**2) ** 0.5


def _correlation(x: Array, y: Array) -> float:
    if x.size < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    return float(np.corrcoef(x, y)[0, 1])
