"""What a line shares: the minimum of a cost that is stated here once more, and how sure it is."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from fakes.emulator import fake_emulator
from fakes.scenes import known_scene
from sifnet.physics.derivatives import jacobians
from sifnet.physics.discrepancy import Discrepancy
from sifnet.physics.surface import SIF, Surface
from sifnet.retrieval import shared
from sifnet.retrieval.draws import Draws, anywhere
from sifnet.retrieval.encoder import Architecture
from sifnet.retrieval.line import Guess, System
from sifnet.retrieval.losses import LossWeights
from sifnet.retrieval.model import Retrieval, Setup
from sifnet.retrieval.pixels import Pixels
from sifnet.retrieval.refinement import STRAY_SD, refine_surface
from sifnet.retrieval.shared import Line, Row, find_shared, pixel_strips

SMALL = Architecture(features=8, widths=(16, 16, 8), repeats=(1, 1, 1), head_widths=(16, 8, 8, 8),
                     head_repeats=(1, 1, 1, 1))  # fmt: skip
PATCH = (9, 8)
INDEPENDENT = 20.0  # pixels, fewer than there are
BARE_SD = 1.0  # so that what is known of a pixel and what it says itself are alike


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@cache
def model() -> Retrieval:
    scene = known_scene(fake_emulator(), lines=12, samples=8, step=0.3, aot=0.3).scene
    torch.manual_seed(0)
    setup = Setup.of_scene(scene, fake_emulator(), patch=PATCH, architecture=SMALL,
                           weights=LossWeights(independent_pixels=INDEPENDENT))  # fmt: skip
    model = Retrieval(setup, fake_emulator())
    model.encoder.features.freeze(Draws(model, anywhere(model.emulator, 64), patches=16).draw()[0])
    model.__dict__["discrepancy"] = _nothing_wrong(model)
    return model.eval()


def _nothing_wrong(model: Retrieval) -> Discrepancy:
    """No components: they are a hundred unknowns more, which change nothing here."""
    found = model.discrepancy
    return replace(found, mean=torch.zeros_like(found.mean), components=found.components[:, :0])


def line_of(lines: int = 9, samples: int = 8) -> Line:
    scene = known_scene(fake_emulator(), lines=lines, samples=samples, step=0.3, aot=0.3).scene
    rows = [Row(contradicted(pixels), model().encoder(pixels))
            for _, pixels in pixel_strips(scene, model(), PATCH, None, PATCH[0])]  # fmt: skip
    return Line(model(), rows, samples)


def contradicted(pixels: Pixels) -> Pixels:
    """A third of the plants called bare, so that what is known of bare ground pulls at all else."""
    ndvi = torch.where(torch.arange(8) % 3 == 0, 0.05, pixels.ndvi)
    return replace(pixels, ndvi=ndvi)


def cost(line: Line, guess: Guess, counted: float, excess: list[Tensor]) -> float:
    """Twice the negative log posterior of what is shared, the best surface of every pixel in it.

    ``counted`` of chi-square of every usable pixel, over what noise does not explain of it; bare
    pixels are known not to glow, BARE_SD, as often as they count; the mean over what is green is
    1.3, sd 0.6; and the prior, the field's included.
    """
    [simulator], total, green, number = line._simulators(guess), 0.0, 0.0, 0
    for row, strip in enumerate(line.rows):
        pixels = strip.pixels.without_stray(STRAY_SD * guess.stray)
        air = guess.air(pixels.prior, line.first[row], line.ranges)
        state = replace(strip.state, atmosphere=air,
                        sensor=guess.sensors(pixels.column, line.ranges))  # fmt: skip
        free = refine_surface(pixels, pixels.noise, state, simulator).state
        is_green = (pixels.ndvi >= 0.5) & pixels.usable
        green += float(free.surface.sif_760[is_green].sum())
        number += int(is_green.sum())
        share = torch.where(pixels.usable, counted / excess[row], 0.0)
        known = counted / BARE_SD**2 * ((pixels.ndvi <= 0.12) & pixels.usable)
        surface = free.surface.stack()
        for last in (False, True):  # radiance is nearly linear in the surface
            here = replace(free, surface=Surface.unstack(surface))
            simulated, s, _ = jacobians(simulator, here, pixels.geometry)
            z = (pixels.radiance - simulated) / pixels.noise
            if last:
                each = share * (z**2).sum(-1) + known * surface[..., SIF] ** 2
                total += float(each.double().sum())
                break
            s = (s / pixels.noise[..., None]).double()
            a = share[..., None, None] * (s.mT @ s)
            side = share[..., None] * (s.mT @ z[..., None].double())[..., 0]
            a[..., SIF, SIF] += known
            side[..., SIF] -= known * surface[..., SIF]
            a = a + 1e-9 * torch.eye(4, dtype=torch.double) * a.diagonal(dim1=-2, dim2=-1).amax()
            surface = surface + torch.linalg.solve(a, side).to(surface)
    values = guess.stacked(line.start)
    return total + ((green / number - 1.3) / 0.6) ** 2 + float(values @ line.prior @ values)


def test_what_is_found_is_where_the_stated_cost_is_least(monkeypatch: pytest.MonkeyPatch) -> None:
    """Along some unknowns the minimum of a parabola through three costs lies within a twentieth
    of what is known of them afterwards."""
    monkeypatch.setattr(shared, "BARE_SD", BARE_SD)
    monkeypatch.setattr(shared, "STEPS", 8)
    monkeypatch.setattr(shared, "CONVERGED", 0.02)
    line, kept = line_of(), {}
    gathered, real = Line._system, Line._carried

    def system(self: Line, *args: object) -> object:
        found = gathered(self, *args)  # type: ignore[arg-type]
        kept["states"] = found[2]
        return found

    def carried(self: Line, gains: list[Tensor], found: System) -> Tensor:
        kept["covariance"] = found.covariance(self.prior, torch.arange(len(self.prior)))
        return real(self, gains, found)

    monkeypatch.setattr(Line, "_system", system)
    monkeypatch.setattr(Line, "_carried", carried)
    solve = shared.System.solve

    def solved(self: object, *args: Tensor) -> Tensor:
        kept["values"] = solve(self, *args)  # type: ignore[arg-type]
        return kept["values"]

    monkeypatch.setattr(shared.System, "solve", solved)
    line.refined(PATCH)
    guess = line.start.moved(line.unknowns, kept["values"], line.start)
    usable = sum(int(row.pixels.usable.sum()) for row in line.rows)
    counted = INDEPENDENT / usable
    assert counted < 0.5
    excess, bands = [], len(model().setup.wavelength)
    for row, state in zip(line.rows, kept["states"], strict=True):
        pixels = row.pixels.without_stray(STRAY_SD * guess.stray)
        simulated = line._simulators(guess)[0].radiance(state, pixels.geometry)
        chi2 = (((pixels.radiance - simulated) / pixels.noise) ** 2).sum(-1) / (bands - 4)
        excess.append(chi2.clamp(min=1.0))
    places = {"pressure": 0, "o2_scale": 4, "stray": 5, "aot": line.unknowns.patches.start}
    for name, place in places.items():
        sd = float(kept["covariance"][place, place]) ** 0.5
        at = []
        for step in (-0.5, 0.0, 0.5):
            values = kept["values"].clone()
            values[place] += step * sd
            moved = line.start.moved(line.unknowns, values, line.start)
            at.append(cost(line, moved, counted, excess))
        curvature = (at[0] - 2 * at[1] + at[2]) / 0.25
        least = (at[0] - at[2]) / 2 / 0.5 / curvature * 1.0
        assert curvature > 0, name
        assert abs(least) < 0.05, (name, least)


def test_more_pixels_than_are_independent_say_no_more() -> None:
    """Of 96 pixels: where 3 are independent the air is less sure than where 30 are."""
    scene = known_scene(fake_emulator(), lines=12, samples=8, step=0.3, aot=0.3).scene
    told = []
    for independent in (3.0, 30.0):
        weights = replace(model().setup.weights, independent_pixels=independent)
        other = Retrieval(replace(model().setup, weights=weights), model().emulator).eval()
        other.__dict__["discrepancy"] = _nothing_wrong(other)
        other.encoder.load_state_dict(model().encoder.state_dict())
        told.append(float(find_shared(scene, other).carried[..., 0, 0].mean()))
    assert told[0] > 1.5 * told[1]


def test_each_row_of_patches_is_looked_at_in_other_columns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All are looked at once over three rows, and lead where all columns of all rows lead."""
    scene = known_scene(fake_emulator(), lines=27, samples=8, step=0.3, aot=0.3).scene
    seen: list[list[int]] = []
    real = shared.row_equations

    def looked_at(pixels: Pixels, *args: object, **options: object) -> object:
        seen.extend(pixels.column.tolist())
        return real(pixels, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(shared, "row_equations", looked_at)
    monkeypatch.setattr(shared, "FIRST", 1)
    monkeypatch.setattr(shared, "SCAN_COLUMNS", 2)
    some = find_shared(scene, model())
    assert seen[:3] == [[0, 3, 6], [1, 4, 7], [2, 5]]
    seen.clear()
    monkeypatch.setattr(shared, "SCAN_COLUMNS", 8)
    every = find_shared(scene, model())
    assert all(columns == list(range(8)) for columns in seen)
    torch.testing.assert_close(some.deviation, every.deviation, rtol=0, atol=0.3)
    away = some.sensor.wavelength_shift - every.sensor.wavelength_shift
    assert away.abs().max() < 0.005
