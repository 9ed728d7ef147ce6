"""A thousand scenes: planned, interrupted, gone on with, done; no scene is mapped twice."""

from pathlib import Path

import h5py
import pytest

from sifnet import __version__
from sifnet.batch import run as batch
from sifnet.batch.run import Job, Outcome
from sifnet.errors import SifnetError
from sifnet.files import sha256, size_and_time
from sifnet.product.beside import beside

SCENES, BEFORE = 1000, 400  # of which so many are mapped before somebody interrupts
BAD = 123


class Toy:
    """In place of a retrieval: a file that says of itself what a product says, and no map."""

    def __init__(self, model: Path) -> None:
        self.model, self.mapped, self.left = model, [], BEFORE

    def __call__(self, job: Job, path: Path, _: object) -> Outcome:
        if int(path.stem.split("_")[0]) == BAD:
            raise SifnetError("damaged", remedy="Download it again.", file=path)
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.mapped.append(path)
        file = job.output / f"{path.stem}_sif.nc"
        with h5py.File(file, "w") as product:
            product.attrs.update(
                sifnet_version=__version__,
                model_sha256=sha256(self.model),
                settings=job.settings(),
                scene_path=str(path.absolute()),
                source_files=str(path.absolute()),
                source_size_and_time=size_and_time(path),
            )
        for other in beside(file, cog=False).values():
            other.parent.mkdir(exist_ok=True)
            other.touch()
        return Outcome(path, "mapped", str(file), file)


def test_a_thousand_scenes_are_interrupted_and_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number in range(SCENES):
        folder = tmp_path / "in" / f"{number % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:04d}_FLUO_radiance.hdr").write_text("ENVI\nbands = 1\n")
    model = tmp_path / "model.ckpt"
    model.write_bytes(b"model")
    toy = Toy(model)
    monkeypatch.setattr(batch, "_mapped", toy)
    monkeypatch.setattr(batch, "_check", lambda job: job.output.mkdir(exist_ok=True))
    job = Job(tmp_path / "out", model)

    def states() -> list[str]:
        return [outcome.state for outcome in batch.run(job, [tmp_path / "in"])]

    with pytest.raises(KeyboardInterrupt):
        states()
    first = set(toy.mapped)
    assert len(first) == BEFORE
    toy.left = SCENES
    again = states()
    assert len(again) == SCENES
    assert again.count("there already") == BEFORE
    assert again.count("mapped") == SCENES - BEFORE - 1
    assert again.count("failed") == 1
    assert len(set(toy.mapped)) == len(toy.mapped) == SCENES - 1
    # What has changed meanwhile, and what failed, is all that is done a third time.
    changed = toy.mapped[7]
    changed.write_text("ENVI\nbands = 2\n")
    toy.mapped.clear()
    assert states().count("there already") == SCENES - 2
    assert toy.mapped == [changed]
