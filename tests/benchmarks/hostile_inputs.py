"""Good inputs of every reader and command, and what is made of them by a seed."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

import hostile_mutations as spoil
import numpy as np
import xarray as xr

from sifnet.physics.emulator import Emulator
from sifnet.retrieval.shipped import model_for
from sifnet.scenes import open_scene
from sifnet.scenes.scene import Scene
from sifnet.simulation.flox_product import write_flox
from sifnet.simulation.simulate import simulate

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))

from fakes import fields as reanalysis  # noqa: E402
from fakes.enmap import fake_enmap  # noqa: E402
from fakes.scenes import known_scene  # noqa: E402

LINES, SAMPLES = 24, 16
# What only physics can tell: radiance on another scale, another sun, height, time or place.
PHYSICS = frozenset({
    "solar zenith angle", "solar azimuth angle", "relative azimuth angle", "ground elevation km",
    "sensor height km", "acquisition date", "GPS Start Time", "GPS Starting point",
    "data gain values", "data offset values", "radiance scale factor", "wavelength medium",
    "wavelength", "fwhm", "latitude", "longitude", "solar_zenith_angle", "sensor_height",
    "ground_elevation", "gainOfBand", "offsetOfBand", "sunZenithAngle", "sunAzimuthAngle",
    "startTime", "sceneIncidenceAngle", "meanGroundElevation", "wavelengthCenterOfBand",
    "surface_pressure", "aot_550", "temperature_offset", "surface_altitude",
})  # fmt: skip
Spoil = Callable[[Path, Random], spoil.Told]


@dataclass(frozen=True)
class Good:
    """A command that works: its folder, the app and its arguments, of which ``@x`` is a file ``x``
    in the folder, by pattern."""

    name: str
    folder: Path
    app: str
    arguments: tuple[str, ...]
    product: str = ""  # pattern of the map it makes


@dataclass(frozen=True)
class Case:
    """A bad input and what is known of it."""

    good: Good
    told: str
    arguments: list[str]
    folder: Path
    awaited: bool = False


@dataclass
class Goods:
    """All of them, made once below a folder."""

    root: Path

    def map(self, good: Good) -> Path:
        """Where the map of a good input is kept."""
        return self.root / "maps" / f"{good.name}.nc"

    def as_it_is(self, good: Good) -> Case:
        """A good input, not spoiled."""
        folder = self.root / "as it is" / good.name
        shutil.copytree(good.folder, folder)
        return Case(good, "", _filled(good.arguments, folder), folder)

    def _folder(self, name: str) -> Path:
        folder = self.root / "good" / name
        folder.mkdir(parents=True)
        return folder

    @cached_property
    def hyplant(self) -> Good:
        """A part of the demo line, with a model on its bands."""
        folder = self._folder("hyplant")
        demo = next((ROOT / "data" / "demo").glob("*.hdr"))
        text = demo.read_text().replace("lines = 90", f"lines = {LINES}")
        header = folder / demo.name
        header.write_text(text.replace("samples = 96", f"samples = {SAMPLES}"))
        numbers = np.fromfile(demo.with_suffix(".dat"), "<u2").reshape(90, -1, 96)
        numbers[:LINES, :, :SAMPLES].tofile(header.with_suffix(".dat"))
        model_for(open_scene(header)).save(self.root / "hyplant.ckpt")
        (folder / "site.json").write_text(json.dumps({"latitude": 50.62, "longitude": 6.99}))
        return self._map("hyplant", folder, "@*.hdr", self.root / "hyplant.ckpt")

    @cached_property
    def flown(self) -> Good:
        """The same with a navigation file and no place beside it."""
        folder = self._folder("flown")
        shutil.copytree(self.hyplant.folder, folder, dirs_exist_ok=True)
        (folder / "site.json").unlink()
        stem = next(folder.glob("*.hdr")).stem.split("-FLUO")[0]
        rows = [f"{i}\t{i}\t{50.62 - 1e-5 * i}\t6.99\t{1117.8 + 0.01 * i}\t180.0\t0.1\t0.2"
                for i in range(LINES)]  # fmt: skip
        (folder / f"{stem}-FLUO_syncedNAV.txt").write_text("\n".join(["Frame\tT", *rows]) + "\n")
        return self._map("flown", folder, "@*.hdr", self.root / "hyplant.ckpt")

    @cached_property
    def desis(self) -> Good:
        """A scene of full radiative transfer, 40 s."""
        folder = self._folder("desis")
        image = simulate("desis", folder, lines=16, samples=12, level="L1C")
        (folder / "truth.nc").unlink()
        model_for(open_scene(image)).save(self.root / "desis.ckpt")
        return self._map("desis", folder, "@*IMAGE.tif", self.root / "desis.ckpt")

    @cached_property
    def desis_zip(self) -> Good:
        """The same as it is downloaded."""
        folder, files = self._folder("desis zip"), sorted(self.desis.folder.iterdir())
        stem = files[0].name.rpartition("-")[0]
        with zipfile.ZipFile(folder / f"{stem}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.name)
        return self._map("desis zip", folder, "@*.zip", self.root / "desis.ckpt")

    def _map(self, name: str, folder: Path, scene: str, model: Path) -> Good:
        arguments = ("retrieve", scene, "-m", str(model), "-o", "@out")
        return Good(name, folder, "sifnet", arguments, "out/*_sif.nc")

    @cached_property
    def flox(self) -> Good:
        """A series with its site."""
        folder = self._folder("flox")
        known = known_scene(
            Emulator.load(), lines=12, samples=1, sensor="flox", measured_irradiance=True
        ).scene
        times = np.datetime64("2025-06-15T10:15:00") + 30 * np.arange(12).astype("m8[s]")
        write_flox(
            folder, incoming=known.dataset["irradiance"].values[:, 0] / np.pi,
            reflected=known.radiance.values[:, 0], wavelength=known.wavelength, times=times,
            latitude=42.859, longitude=11.055, ground_elevation=0.01, sensor_height=0.002,
            fwhm=0.26,
        )  # fmt: skip
        return Good("flox", folder, "sifnet", ("inspect", "@*Incoming*"))

    @cached_property
    def flox_npz(self) -> Good:
        """The same as arrays."""
        folder = self._folder("flox npz")
        shutil.copy(self.flox.folder / "site.json", folder)
        scene = open_scene(self.flox.folder)
        light, seen = (scene.dataset[n].values[:, 0] for n in ("irradiance", "radiance"))
        np.savez(
            folder / "tower_20250615.npz", wl=scene.wavelength, E=light / np.pi, L=seen,
            time_hhmmss=np.array([f"1015{i:02d}" for i in range(12)]),
            units=np.array("mW m-2 nm-1 sr-1"),
        )  # fmt: skip
        return Good("flox npz", folder, "sifnet", ("inspect", "@*.npz"))

    @cached_property
    def enmap(self) -> Good:
        """A product to look at."""
        folder = self._folder("enmap")
        fake_enmap(folder, level="L1C")
        return Good("enmap", folder, "sifnet", ("inspect", "@*IMAGE.TIF"))

    @cached_property
    def air(self) -> Good:
        """A map with what is known of its air."""
        folder = self._folder("air")
        shutil.copytree(self.hyplant.folder, folder, dirs_exist_ok=True)
        pressure, cams = folder / "era5.nc", folder / "cams.nc"
        scene = open_scene(next(folder.glob("*.hdr")))
        at = np.datetime64(scene.dataset.attrs["acquisition_time"], "h")
        times = (str(at), str(at + 1))
        reanalysis.write(reanalysis.pressure_levels(times), pressure)
        reanalysis.write(reanalysis.cams(times), cams)
        self._state(scene, folder)
        good = self._map("air", folder, "@*.hdr", self.root / "hyplant.ckpt")
        more = ("--atmosphere", "@atmosphere.nc")
        return Good("atmosphere.nc", folder, "sifnet", (*good.arguments, *more), good.product)

    def _state(self, scene: Scene, folder: Path) -> None:
        from atmorep_bridge.air.state import state, write

        files = [str(folder / name) for name in ("era5.nc", "cams.nc")]
        write(state(scene, files, elevation="335"), folder / "atmosphere.nc")

    @cached_property
    def fields(self) -> Good:
        """What makes the file of the air."""
        folder = self._folder("fields")
        shutil.copytree(self.air.folder, folder, dirs_exist_ok=True)
        reanalysis.write_dem(folder / "dem.tif", np.full((60, 60), 335.0), 6.9, 50.7, 0.003)
        (folder / "atmosphere.nc").unlink()
        return Good(
            "fields", folder, "bridge",
            ("state", "@*.hdr", "--fields", "@era5.nc", "@cams.nc", "--elevation", "@dem.tif",
             "-o", "@atmosphere.nc"),
        )  # fmt: skip

    @cached_property
    def model(self) -> Good:
        """A map by a model of one's own."""
        folder = self._folder("model")
        shutil.copytree(self.hyplant.folder, folder, dirs_exist_ok=True)
        shutil.copy(self.root / "hyplant.ckpt", folder / "own.ckpt")
        arguments = ("retrieve", "@*.hdr", "-m", "@own.ckpt", "-o", "@out")
        return Good("model", folder, "sifnet", arguments, "out/*_sif.nc")

    @cached_property
    def masked(self) -> Good:
        """A forecast by a small masked-token model."""
        from atmorep_bridge.core.specs import FieldSpec, Setup, Size
        from atmorep_bridge.core.training import Training, train
        from atmorep_bridge.core.windows import open_region

        folder = self._folder("masked")
        hours = np.datetime64("2020-06-20", "ns") + np.arange(48) * np.timedelta64(1, "h")
        warm = 288 + 4 * np.sin(np.arange(48 * 12 * 16).reshape(48, 12, 16) / 7.3)
        xr.Dataset(
            {"t2m": (("time", "latitude", "longitude"), warm.astype("f4"), {"units": "K"})},
            {"time": hours, "latitude": 52.75 - 0.25 * np.arange(12),
             "longitude": 5 + 0.25 * np.arange(16)},
        ).to_netcdf(folder / "waves.nc", engine="h5netcdf")  # fmt: skip
        spec = FieldSpec("temperature_2m", patch=(2, 4, 4))
        size = Size(width=16, heads=2, encoder_layers=1, decoder_layers=1, members=3)
        region = open_region([folder / "waves.nc"], (spec,))
        setup = Setup((spec,), (8, 8, 8), size=size)
        how = Training(steps=2, steps_per_epoch=2, batch=2)
        train(region, setup, folder / "core.ckpt", config=how)
        arguments = ("nowcast", "@core.ckpt", "@waves.nc", "--last", "2020-06-21T12", "-o",
                     "@forecast.nc")  # fmt: skip
        return Good("masked-token model", folder, "bridge", arguments)

    @cached_property
    def score(self) -> Good:
        """A product against its truth."""
        folder = self._folder("score")
        product = self.map(self.hyplant)
        shutil.copy(product, folder / "line_sif.nc")
        shutil.copy(product, folder / "truth.nc")
        return Good("evaluate", folder, "sifnet", ("evaluate", "@line_sif.nc", "--truth",
                                                   "@truth.nc"))  # fmt: skip

    @cached_property
    def fit(self) -> Good:
        """The settings of a fit."""
        folder = self._folder("fit")
        shutil.copytree(self.hyplant.folder, folder, dirs_exist_ok=True)
        (folder / "c.yaml").write_text("training: {epochs: 0}\n")
        return Good("fit", folder, "sifnet", ("fit", "@*.hdr", "--config", "@c.yaml", "-o", "@out"))


SPOILED: tuple[tuple[str, str, tuple[Spoil, ...], int], ...] = (
    ("hyplant", "*.hdr", (spoil.field, spoil.field, spoil.field, spoil.line, spoil.damage), 75),
    ("hyplant", "*.dat", (spoil.damage,), 12),
    ("hyplant", "site.json", (spoil.field, spoil.field, spoil.damage, spoil.nested), 14),
    ("hyplant", "*.hdr", (spoil.named, spoil.special, spoil.not_utf8), 15),
    ("hyplant", "*.dat", (spoil.special,), 8),
    ("hyplant", "site.json", (spoil.special,), 5),
    ("flown", "*.txt", (spoil.field, spoil.line, spoil.damage, spoil.not_utf8, spoil.special), 24),
    ("desis", "*.xml", (spoil.field, spoil.field, spoil.line, spoil.damage), 55),
    ("desis", "*IMAGE.tif", (spoil.damage,), 22),
    ("desis", "*QUALITY-2.tif", (spoil.damage,), 8),
    ("desis", "*.xml", (spoil.special, spoil.nested, spoil.not_utf8, spoil.named), 12),
    ("desis", "*IMAGE.tif", (spoil.special,), 6),
    ("desis_zip", "*.zip", (spoil.twin, spoil.damage), 26),
    ("flox", "*Incoming*", (spoil.field, spoil.line, spoil.damage, spoil.special), 30),
    ("flox", "*Reflected*", (spoil.field, spoil.damage, spoil.special), 12),
    ("flox", "site.json", (spoil.field, spoil.damage, spoil.nested), 15),
    ("flox_npz", "*.npz", (spoil.damage, spoil.damage, spoil.special, spoil.named), 28),
    ("enmap", "*.XML", (spoil.field, spoil.line, spoil.damage, spoil.nested), 28),
    ("enmap", "*IMAGE.TIF", (spoil.damage, spoil.special), 14),
    ("air", "atmosphere.nc", (spoil.array, spoil.array, spoil.damage, spoil.special), 32),
    ("fields", "era5.nc", (spoil.array, spoil.array, spoil.damage, spoil.special), 24),
    ("fields", "dem.tif", (spoil.damage, spoil.special), 10),
    ("model", "own.ckpt", (spoil.damage, spoil.damage, spoil.special), 20),
    ("masked", "core.ckpt", (spoil.damage, spoil.special), 10),
    ("masked", "waves.nc", (spoil.array, spoil.damage), 12),
    ("score", "*.nc", (spoil.array, spoil.array, spoil.damage, spoil.special), 22),
    ("fit", "c.yaml", (spoil.nested, spoil.not_utf8, spoil.special), 5),
)
"""Of which input, which file, how, and how often."""

SETTINGS = (
    "epochs: -1", "patch: [0, 8]", "patch: [8]", "device: abacus", "precision: 33-true",
    "strategy: luck", f"seed: {2**64 + 1}", "seed: -1", "learning_rate: .nan",
    "learning_rate: .inf", "learning_rate: -1", "devices: 0", "batch: 0", "window: [770, 750]",
    "window: [.nan, .nan]", "weights: {ndvi: .nan}", "architecture: {widths: [0, 0, 0]}",
    "architecture: {features: 0}", "epochs: &a [*a]", "!!python/object/apply:os.system [x]",
)  # fmt: skip
REQUESTS = (
    ("sifnet", "simulate --sensor landsat -o @out"), ("sifnet", "simulate -o @out"),
    ("sifnet", "simulate --sensor hyplant -o @out --lines 0"),
    ("sifnet", "simulate --sensor hyplant -o @out --seed -1"),
    ("sifnet", "simulate --sensor hyplant -o @out --seed 99999999999999999999"),
    ("sifnet", "simulate --sensor enmap -o @out"), ("sifnet", "pretrain --sensor none -o @out"),
    ("sifnet", "pretrain -o @out --steps 0"), ("sifnet", "pretrain -o @out --seed -5"),
    ("sifnet", "pretrain -o @*.hdr/x"), ("sifnet", "build-emulator @*.hdr -o @out"),
    ("sifnet", "build-emulator @out -o @out --states 1"), ("sifnet", "inspect"),
    ("sifnet", "inspect @*.hdr --sensor landsat"), ("sifnet", "inspect /dev/zero"),
    ("sifnet", "inspect " + "x" * 5000), ("sifnet", "inspect caf\udce9.hdr"),
    ("sifnet", "retrieve @*.hdr -o @*.hdr"), ("sifnet", "retrieve @*.hdr -o /proc/nowhere"),
    ("sifnet", "retrieve @*.hdr -o @out --workers 0"), ("sifnet", "retrieve [ -o @out"),
    ("sifnet", "retrieve @*.hdr -o @out --aggregate -1"), ("sifnet", "retrieve **/** -o @out"),
    ("sifnet", "retrieve @*.hdr -o @out --labels @*.hdr"),
    ("sifnet", "retrieve @*.hdr -o @out -m @*.hdr"), ("sifnet", "retrieve @*.hdr -o @out -m ."),
    ("sifnet", "retrieve @*.hdr -o @out --atmosphere @*.dat"),
    ("sifnet", "retrieve @*.hdr -o @out --scheduler tcp://127.0.0.1:1"),
    ("sifnet", "evaluate @*.dat --truth @*.hdr"), ("sifnet", "evaluate . --truth ."),
    ("sifnet", "fit @*.hdr -o @out --precision 33"), ("sifnet", "fit @*.hdr -o @out --devices 0"),
    ("sifnet", "fit @*.hdr -o @*.dat"), ("sifnet", "fit @*.hdr -o @out --model @*.dat"),
    ("bridge", "state @*.hdr --fields none.nc -o @out"),
    ("bridge", "state @*.hdr --fields @*.dat -o @out"),
    ("bridge", "state @*.hdr --fields /dev/zero -o @out"),
    ("bridge", "state @*.hdr --fields @*.dat --elevation nan -o @out"),
    ("bridge", "train @*.dat --field t2m -o @out"), ("bridge", "train . --field t2m -o @out"),
    ("bridge", "train x --field t2m --patch 0,0,0 -o @out"),
    ("bridge", "train x --field t2m --patch a,b -o @out"),
    ("bridge", "train x --field t2m --neighbourhood 1e400,1,1 -o @out"),
    ("bridge", "train x --field q@-1 -o @out"), ("bridge", "train x --field q@nan -o @out"),
    ("bridge", "nowcast @*.hdr @*.dat --last 2020-01-01 -o @out"),
    ("bridge", "nowcast @*.hdr @*.dat --last 31-02-2020 -o @out"),
    ("bridge", "evaluate . . --from NaT"),
)  # fmt: skip


def cases(goods: Goods, seed: int, share: float = 1.0) -> Iterator[Case]:
    """Bad inputs, each in a folder of its own, which is gone when the next is asked for."""
    rng, number = Random(seed), 0
    for attribute, pattern, ways, count in SPOILED:
        good: Good = getattr(goods, attribute)
        for turn in range(max(1, round(count * share))):
            folder = _copied(goods, good, number := number + 1)
            file = rng.choice(sorted(folder.glob(pattern)))
            told, name = ways[turn % len(ways)](file, rng)
            awaited = name in PHYSICS
            yield Case(good, told, _filled(good.arguments, folder), folder, awaited)
            spoil.remove(folder)
    for text in SETTINGS[:: round(1 / share)]:
        folder = _copied(goods, goods.fit, number := number + 1)
        (folder / "c.yaml").write_text(f"training: {{{text}}}\n")
        yield Case(goods.fit, text, _filled(goods.fit.arguments, folder), folder)
        spoil.remove(folder)
    for app, text in REQUESTS[:: round(1 / share)]:
        good = Good(f"{app} {text.split()[0]}", goods.hyplant.folder, app, tuple(text.split(" ")))
        folder = _copied(goods, good, number := number + 1)
        yield Case(good, text[:80], _filled(good.arguments, folder), folder)
        spoil.remove(folder)


def _copied(goods: Goods, good: Good, number: int) -> Path:
    folder = goods.root / "bad" / str(number)
    shutil.copytree(good.folder, folder)
    return folder


def _filled(arguments: tuple[str, ...], folder: Path) -> list[str]:
    """With the files of a folder; a pattern that finds none stays as a name."""
    filled = []
    for argument in arguments:
        if argument.startswith("@"):
            first, *rest = argument[1:].split("/")
            found = sorted(folder.glob(first))
            argument = "/".join([str(found[0] if found else folder / first), *rest])
        filled.append(argument)
    return filled
