"""The main path: a scene and a model become a map, in memory or strip by strip in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr
from rich.progress import Progress

from sifnet.files import size_and_time, whole
from sifnet.product import doubts, kept
from sifnet.product.aggregate import GROUP, SPACE, aggregate
from sifnet.product.axes import SWATH
from sifnet.product.labels import frame, label, located
from sifnet.product.memory import give_back, giving_back, keep
from sifnet.product.netcdf import append, gathered, opened, read_netcdf, write_strips
from sifnet.product.provenance import Provenance, record, refuse_foreign, source_files
from sifnet.retrieval.device import device_of
from sifnet.retrieval.explained import Sample
from sifnet.retrieval.model import Retrieval, Setup, load
from sifnet.retrieval.prior import describe, own_air, prepared
from sifnet.retrieval.red import beside, find_red
from sifnet.retrieval.shared import find_shared
from sifnet.retrieval.shipped import model_for, refuse_measured_light, shipped_file
from sifnet.retrieval.strips import solve_strips
from sifnet.scenes.consistency import examine
from sifnet.scenes.registration import registered
from sifnet.scenes.scene import Scene

HELD = 2**18  # pixels of a product, 30 MiB, that is not read back from its file
MOST_BANDS = 4  # sets of bands, 10 MiB each, that a model is kept on


def retrieve(
    scene: Scene,
    model: str | Path | Retrieval | None = None,
    *,
    atmosphere: xr.Dataset | None = None,
    refine: bool = True,
    into: str | Path | None = None,
    block: int | None = None,
    provenance: Provenance = Provenance(),
    progress: bool | Progress = False,
    device: str = "auto",
) -> xr.Dataset:
    """Map a scene with a model: the product, on (y, x) of a map grid or (line, sample) of none.

    Args:
        model: a fitted one, or its file; the pre-trained one that ships by default.
        atmosphere: outside knowledge of the atmosphere over the scene.
        refine: finish the encoder's states by Gauss-Newton steps.
        into: file to write strip by strip, so that memory does not grow with lines. The product
            of more than HELD pixels is then open (see ``netcdf.opened``).
        block: pixels a side of the blocks of the group ``aggregated`` of that file, 0 for none;
            by default ``aggregate.SPACE`` for a sensor in space, and none for others. In memory,
            see ``aggregate.aggregate``.
        provenance: recorded in the attributes, beside what model and atmosphere say.
        progress: show a progress bar, or the bar that shows it.
        device: on which all but the scene is: ``cpu``, ``cuda``, or ``auto`` for what is there.

    Raises:
        SifnetError: there is no such device; the model was not made for this sensor, cannot read
            its bands, or none ships; the file cannot be written, or holds the product of another
            scene of the same name; or what the scene says contradicts physics beyond reason.
    """
    if scene.irradiance is not None:
        return _under_measured_light(scene, model, into, provenance)
    keep()
    file = shipped_file(scene) if model is None else model
    scene = prepared(scene, atmosphere)
    findings = examine(scene)
    model = _ready(scene, file).to(device_of(device))
    around = frame(scene, _completed(provenance, scene, model, file))
    known = [air for air in (atmosphere, own_air(scene)) if air is not None and air.data_vars]
    if known:
        around.attrs["atmosphere_prior"] = " | ".join(map(describe, known))
    if block is None:
        block = SPACE if model.setup.space else 0
    with _shown(progress, scene) as done:
        how: dict[str, Any] = {
            "atmosphere": atmosphere, "refine": refine, "done": giving_back(done)
        }  # fmt: skip
        shared = find_shared(scene, model, **how)
        red = find_red(scene, model, shared, atmosphere) if refine else None
        if scene.shape[0] * scene.shape[1] > HELD:
            give_back()  # what the searches have freed
        if refine:  # an encoder alone may be far off without a fault of the scene
            findings += doubts.of_line(shared)
        around.attrs |= doubts.attributes(scene, findings)
        grave = any(finding.grave for finding in findings)
        if into is None:
            maps = solve_strips(scene, model, shared, grave=grave, **how)
            maps = maps if red is None else beside(maps, scene, red, grave=grave)
            product = gathered(around, _labelled(maps, scene))
            stands_on = kept.Behind(scene, model, shared, atmosphere, refine)
            product.encoding[kept.IN_MEMORY] = stands_on
            return product
        sample = Sample(scene, model, shared, refine=refine)
        maps = solve_strips(scene, model, shared, grave=grave, see=sample.see, **how)
        maps = maps if red is None else beside(maps, scene, red, grave=grave)
        path, strips = Path(into), _labelled(maps, scene)
        held: list[tuple[slice, xr.Dataset]] = []
        if scene.shape[0] * scene.shape[1] <= HELD:
            strips = _keeping(strips, held)
        with whole(path) as partial_file:
            write_strips(around, strips, partial_file, scene.shape[0])
            fit = kept.within_packing(kept.of_line(shared, sample, refine=refine))
            append(fit, partial_file, group=kept.GROUP, encoding=kept.packing(fit))
            if block:
                with opened(partial_file) as product:
                    layer = aggregate(product, block)
                append(layer, partial_file, group=GROUP)
            refuse_foreign(record(path), source_files(scene), path)
        if not held:
            return opened(path)
        product = gathered(around, held)
        product.encoding["source"] = str(path.absolute())
        return product


def _under_measured_light(
    scene: Scene,
    model: str | Path | Retrieval | None,
    into: str | Path | None,
    provenance: Provenance,
) -> xr.Dataset:
    """The whole emission of every measurement (``retrieval.full_spectrum``): no model, no air."""
    from sifnet.product.emission import spectrum  # these load scipy, for which maps need not wait
    from sifnet.product.hourly import hourly
    from sifnet.product.measured_light import SOURCE, emission_maps, solve_scene

    if model is not None:
        refuse_measured_light(scene)
    scene = registered(scene)
    findings = examine(scene)
    emission = solve_scene(scene)
    maps = emission_maps(scene, emission, grave=any(finding.grave for finding in findings))
    around = frame(scene, replace(provenance, model_file=shipped_file(scene)))
    around.attrs["source"] = SOURCE.format(scene.sensor.name)
    around.attrs |= doubts.attributes(scene, findings)
    layers = spectrum(emission, SWATH, scene.shape[:2]).merge(hourly(maps, around))
    strips = [(slice(0, scene.shape[0]), located(maps, scene))]
    if into is None:
        return gathered(around, strips).merge(layers)
    path = Path(into)
    with whole(path) as partial_file:
        write_strips(around, strips, partial_file, scene.shape[0])
        append(layers, partial_file)
        refuse_foreign(record(path), source_files(scene), path)
    return opened(path)


def _labelled(
    maps: Iterator[tuple[slice, xr.Dataset]], scene: Scene
) -> Iterator[tuple[slice, xr.Dataset]]:
    return ((lines, label(part, scene.window(lines))) for lines, part in maps)


def _keeping(
    strips: Iterator[tuple[slice, xr.Dataset]], held: list[tuple[slice, xr.Dataset]]
) -> Iterator[tuple[slice, xr.Dataset]]:
    """The strips as they come, put into a list as well."""
    for strip in strips:
        held.append(strip)
        yield strip


def loaded(file: str | Path) -> Retrieval:
    """A model from its file, read once while that does not change.

    Raises:
        SifnetError: see ``retrieval.model.load``.
    """
    return _loaded(file).model


def _ready(scene: Scene, file: str | Path | Retrieval | None) -> Retrieval:
    """The model on the bands of the scene; of a file it is kept, for other scenes on the same."""
    if not isinstance(file, str | Path) or not Path(file).is_file():
        return model_for(scene, file)
    kept = _loaded(file)
    wanted = Setup.of_scene(scene, kept.model.emulator, kept.model.setup.window)
    for bands, model in kept.on_bands:
        if bands == wanted:
            return model
    # On the processor, where it is expressed in other bands; all share an emulator.
    model = model_for(scene, kept.model.to("cpu"))
    kept.on_bands[:] = [*kept.on_bands[1 - MOST_BANDS :], (wanted, model)]
    return model


@dataclass(frozen=True)
class _Kept:
    """A model as it was read, and on the bands of scenes that it mapped last."""

    model: Retrieval
    on_bands: list[tuple[Setup, Retrieval]] = field(default_factory=list)


_kept: dict[tuple[str, str], _Kept] = {}


def _loaded(file: str | Path) -> _Kept:
    if not Path(file).is_file():
        return _Kept(load(file))  # which says what is wrong with it
    key = str(Path(file).resolve()), size_and_time(Path(file))
    if key not in _kept:
        _kept.clear()  # before the next is there: one at a time
        _kept[key] = _Kept(load(file))
    return _kept[key]


def _completed(
    provenance: Provenance, scene: Scene, model: Retrieval, file: str | Path | Retrieval | None
) -> Provenance:
    """With what the model knows of itself, and of this scene."""
    configuration = {**asdict(model.setup), "training": model.made_by}
    expected = model.expected_on(scene)
    if expected is not None:
        configuration["expected_sif_spread"] = float(expected.spread)
    seed = model.made_by.get("seed")
    model_file = Path(file) if isinstance(file, str | Path) else provenance.model_file
    return replace(provenance, model_file=model_file, configuration=configuration, seed=seed)


@contextmanager
def _shown(progress: bool | Progress, scene: Scene) -> Iterator[Callable[[int], None]]:
    """What is told of finished lines, and shows them; every line is gone through twice."""
    if not isinstance(progress, Progress):
        with Progress(transient=True, disable=not progress) as bar, _shown(bar, scene) as done:
            yield done
        return
    task = progress.add_task(f"retrieve {scene.name}", total=2 * scene.shape[0])
    try:
        yield partial(progress.advance, task)
    finally:
        progress.remove_task(task)


def read_atmosphere(path: Path | None, labels: Path | None = None) -> xr.Dataset | None:
    """What is known of the atmosphere beforehand, if anything.

    Args:
        labels: a DESIS L2A product, whose quality layer knows aerosol and water; where the file
            of ``path`` knows one too, the file counts.

    Raises:
        SifnetError: a file cannot be read.
    """
    atmosphere = None if path is None else read_netcdf(path)
    if labels is None:
        return atmosphere
    from sifnet.scenes.desis import labels as read_labels

    told: xr.Dataset = read_labels(labels)
    if atmosphere is None:
        return told
    merged = xr.merge([atmosphere, told], compat="override")
    return merged.assign_attrs({**told.attrs, **atmosphere.attrs})
