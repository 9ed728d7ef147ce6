"""Speed and accuracy of the forward simulation, beside the published emulator's figures.

    python tests/benchmarks/forward.py                  (make bench, a minute)

Speeds are medians of several runs. The baseline, the same simulation one spectrum at a time, is
run in turn with the batch, so that their ratio holds when the machine's speed drifts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from harness import machine, run, table

from sifnet.physics.emulator import Emulator
from sifnet.physics.forward import Simulator
from sifnet.physics.instrument import Instrument
from sifnet.physics.state import Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.scenes.hyplant import SENSOR as HYPLANT

PATCHES, SIDE = 16, 61  # the published patch
RUNS = 7
PUBLISHED = "published emulators (Pato et al. 2024, 2025)"
TARGETS = {  # and what is published of the emulators to beat
    "radiance_rms_percent_0.25nm": ("≤ 0.1", "sub-percent"),
    "radiance_p99_percent_0.25nm": ("≤ 0.4", "not published"),
    "radiance_rms_percent_3.5nm": ("≤ 0.05", "sub-percent"),
    "sif_equivalent_rms": ("≤ 0.06", "≤ 10 % of typical SIF, so about 0.1"),
}


def main() -> None:
    """Print both tables."""
    print(machine(), accuracy(), speed(), sep="\n\n")


def accuracy() -> str:
    """Errors stored in the shipped emulators, on atmospheres they never saw."""
    rows = []
    for space in (False, True):
        metadata = Emulator.load(space=space).metadata
        held = metadata["held_out"]
        name = f"{'space' if space else 'airborne'} ({held['atmospheres']} atmospheres)"
        for figure, value in metadata["measured_error"].items():
            rows.append([name, figure, f"{value:.4g}", *TARGETS.get(figure, ("", ""))])
            name = ""
    return "Error against full radiative transfer, held-out atmospheres.\n\n" + table(
        ["emulator", "figure", "measured", "target", PUBLISHED], rows
    )


@torch.no_grad()
def speed() -> str:
    """Spectra a second, in a batch of patches and one by one."""
    emulator = Emulator.load()
    simulator = Simulator(emulator, Instrument(HYPLANT.centres(), 0.25, emulator))
    batch = _state((PATCHES, 1, 1), (PATCHES, 1, SIDE), (PATCHES, SIDE, SIDE))
    every = (PATCHES, SIDE, SIDE)
    apart = _state(every, (PATCHES, 1, SIDE), every)
    single = _state((1,), (1,), (1,))
    count, loop = PATCHES * SIDE * SIDE, 30

    def all_at_once() -> None:
        simulator.radiance(*batch)

    def an_air_each() -> None:
        simulator.radiance(*apart)

    def one_by_one() -> None:
        for _ in range(loop):
            simulator.radiance(*single)

    all_at_once()
    pairs = [(count / _seconds(all_at_once), loop / _seconds(one_by_one)) for _ in range(RUNS)]
    rates = [p[0] for p in pairs]
    apart_rates = [count / _seconds(an_air_each) for _ in range(RUNS)]
    threads = torch.get_num_threads()
    rows = [
        [f"batch of {PATCHES} patches {SIDE} x {SIDE}, one atmosphere each, {threads} threads",
         f"{statistics.median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})",
         "≥ 100,000", "10-20 us a spectrum: 50,000-100,000"],
        ["the same, with an atmosphere for every pixel",
         f"{statistics.median(apart_rates):,.0f} ({min(apart_rates):,.0f}-{max(apart_rates):,.0f})",
         "", ""],
        ["one at a time", f"{statistics.median(p[1] for p in pairs):,.0f}", "", ""],
        ["ratio", f"{statistics.median(a / b for a, b in pairs):,.0f}", "", ""],
    ]  # fmt: skip
    return (
        f"Forward only, {len(simulator.instrument.wavelength)} HyPlant bands 750-770 nm.\n\n"
        + table(["how", "spectra/s, median (lowest-highest)", "target", PUBLISHED], rows)
    )


def _state(
    patch: tuple[int, ...], column: tuple[int, ...], pixel: tuple[int, ...]
) -> tuple[State, Geometry]:
    generator = torch.Generator().manual_seed(0)

    def draw(shape: tuple[int, ...], low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    atmosphere = Atmosphere(
        draw(patch, 940, 1020),
        draw(patch, -5, 5),
        draw(patch, 0.05, 0.3),
        draw(patch, 1, 3),
        draw(patch, 0, 1),
        draw(patch, 0.99, 1.02),
    )
    surface = Surface.sloped(
        draw(pixel, 0.1, 0.5), draw(pixel, 0, 2e-3), draw(pixel, 0, 1), draw(pixel, 0, 2)
    )
    sensor = SensorState(draw(column, -0.05, 0.05), draw(column, -0.02, 0.02))
    geometry = Geometry(
        draw(patch, 30, 50),
        draw(column, 0, 16),
        draw(patch, 0, 180),
        draw(patch, 0.3, 2),
        torch.ones(patch),
    )
    return State(atmosphere, surface, sensor), geometry


def _seconds(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    run(main)
