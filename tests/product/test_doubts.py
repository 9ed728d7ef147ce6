"""What does not fit reaches the product, its flags and its page."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import PROJECT
from fakes.fitted import quick_fit
from fakes.products import fake_maps, fake_scene, finish, write
from sifnet.product.doubts import of_line, oxygen, stray
from sifnet.product.netcdf import trusted
from sifnet.product.report import write_report
from sifnet.product.retrieve import retrieve
from sifnet.retrieval import strips
from sifnet.retrieval.brightness import Brightness
from sifnet.retrieval.model import Retrieval
from sifnet.retrieval.refinement import STRAY_SD
from sifnet.retrieval.shared import Shared
from sifnet.retrieval.shipped import model_for
from sifnet.scenes import open_scene
from sifnet.scenes.scene import SUN_755, Flag, Scene


@pytest.fixture(scope="module")
def demo() -> Scene:
    """A corner of it."""
    scene = open_scene(next((PROJECT / "data" / "demo").glob("*.hdr")))
    return Scene(scene.dataset.isel(line=slice(0, 24), sample=slice(0, 32)))


@pytest.fixture(scope="module")
def model(demo: Scene) -> Retrieval:
    return model_for(demo)


def test_a_scene_that_fits_has_no_warning_and_a_wrong_scale_leaves_no_trusted_pixel(
    demo: Scene, model: Retrieval
) -> None:
    product = retrieve(demo, model)
    assert "scene_warnings" not in product.attrs
    assert trusted(product).mean() > 0.9
    half = Scene(demo.dataset.assign(radiance=demo.radiance * np.float32(0.5)))
    wrong = retrieve(half, model)
    assert "level: green ground" in wrong.attrs["scene_warnings"]
    assert not trusted(wrong).any()
    assert (wrong.quality_flag.values & int(Flag.UNLIKELY_AIR) > 0).all()
    assert "contradicts physics" in wrong.quality_flag.attrs["comment"]


def test_a_patch_without_a_usable_pixel_does_not_stop_a_line(model: Retrieval) -> None:
    """A cloud over the whole of it ended in a traceback."""
    scene = open_scene(next((PROJECT / "data" / "demo").glob("*.hdr")))
    part = scene.dataset.isel(line=slice(0, 8))
    radiance = part["radiance"].values.copy()
    radiance[:, 32:] *= 0.8 * SUN_755 / np.pi / radiance[:, 32:, 100:101]  # 0.98 of the sun's
    product = retrieve(Scene(part.assign(radiance=(part["radiance"].dims, radiance))), model)
    assert np.isfinite(product.sif_760.values[:, :32]).all()
    assert (product.quality_flag.values[:, 64:] & int(Flag.CLOUD_OR_DARK) > 0).all()


def test_a_result_that_is_no_number_is_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    known, model = quick_fit()
    refine = strips.refine_surface

    def broken(*args: object, **options: object) -> object:
        fit = refine(*args, **options)  # type: ignore[arg-type]
        surface = fit.state.surface
        sif = torch.full_like(surface.sif_760, torch.nan)
        return replace(fit, state=replace(fit.state, surface=replace(surface, sif_760=sif)))

    monkeypatch.setattr(strips, "refine_surface", broken)
    product = retrieve(known.scene, model)
    assert np.isnan(product.sif_760).all()
    assert (product.quality_flag.values & int(Flag.POOR_FIT) > 0).all()


@pytest.mark.parametrize(
    ("pressure", "strength", "told", "grave"),
    [(-0.5, -0.9, False, False), (-2.1, -2.2, True, False), (-3.2, -2.7, True, True)],
)
def test_oxygen_that_nobody_expects_is_told(
    pressure: float, strength: float, told: bool, grave: bool
) -> None:
    """As worlds of another code, a sun 7 degrees off and a height 1 km off have it."""
    deviation = torch.zeros(2, 3, 6)
    deviation[..., 0], deviation[..., 5] = pressure, strength
    shared = Shared(
        deviation, torch.zeros(2, 3, 2, 2), None, Brightness(torch.zeros(3)), (8, 8), torch.zeros(1)
    )  # type: ignore[arg-type]
    found = oxygen(shared)
    assert (found is not None) == told
    if found is not None:
        assert found.grave == grave
        assert f"{pressure:+.1f}" in found.text


@pytest.mark.parametrize(
    ("share", "told", "grave"),
    [(0.0024, False, False), (0.0035, True, False), (-0.0066, True, True), (0.0047, True, True)],
)
def test_light_in_every_band_alike_is_told(share: float, told: bool, grave: bool) -> None:
    """The world with stray light passes; an offset of 1 that was lost does not."""
    nothing = torch.zeros(1, 1, 6), torch.zeros(1, 1, 2, 2)
    shared = Shared(
        *nothing, None, Brightness(torch.zeros(3)), (8, 8), torch.tensor([share / STRAY_SD])
    )  # type: ignore[arg-type]
    found = stray(shared)
    assert (found is not None) == told
    assert of_line(shared) == ([found] if told else [])
    assert found is None or found.grave == grave


def test_the_page_begins_with_what_does_not_fit(tmp_path: Path) -> None:
    made = finish(fake_maps(), fake_scene())
    for warnings in ("", "level: too <dark>\nsun: elsewhere"):
        product = made.assign_attrs(scene_warnings=warnings) if warnings else made
        file = write(product, tmp_path / "q.nc")
        page = write_report([file], tmp_path / "r.html").read_text()
        assert ("too &lt;dark&gt;" in page) == bool(warnings)
    told = page.index(">level: too &lt;dark&gt;</li>")
    assert page.index("look closer") < told < page.index('id="mapbox"')
