"""Two processes of one training, over gloo: equal steps, chance of their own, one that writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import PROJECT
from sifnet.retrieval.model import load
from sifnet.training.resume import weights_told

# Each process tells of every batch that it learns from, and of what it has learned in the end.
SCRIPT = """
import json, os, sys
from dataclasses import replace
from pathlib import Path
import torch
from fakes.emulator import fake_emulator
from fakes.fitted import QUICK
from fakes.scenes import known_scene
from sifnet.files import whole
from sifnet.retrieval.model import Retrieval
from sifnet.training import fit, pretrain, resume

told = Path(sys.argv[2])
seen, writing = {"fit": [], "pretrain": []}, []


def telling(kind, name):
    step = kind.training_step

    def training_step(self, batch, number):
        pixels = batch if name == "fit" else batch[0]
        seen[name].append(float(pixels.radiance.double().sum()))
        return step(self, batch, number)

    kind.training_step = training_step


telling(fit.Fitting, "fit")
telling(pretrain.Pretraining, "pretrain")
save = Retrieval.save
Retrieval.save = lambda self, path: (writing.append(str(path)), save(self, path))
if __name__ == "__main__":
    folder, two = Path(sys.argv[1]), {"devices": 2, "strategy": "ddp"}
    scene = known_scene(fake_emulator()).scene
    config = replace(QUICK, epochs=2, **two)
    model = fit.fit(scene, folder / "fit", config=config, emulator=fake_emulator())
    start = folder / "start.ckpt"
    pretrain.pretrain("hyplant", start, steps=6, emulator=fake_emulator(), **two)
    rank = torch.distributed.get_rank()
    content = {"seen": seen, "weights": resume.weights_told(model.encoder.state_dict()),
               "writing": writing}
    (told / f"{rank}.json").write_text(json.dumps(content))
"""


@pytest.mark.slow
def test_two_processes_fit_and_pretrain_one_model(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(tmp_path)],
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}"},
    )
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    # Two epochs of two steps on the scene; before them five on simulations of it; then six.
    for told in (first, second):
        assert len(told["seen"]["fit"]) == 4
        assert len(told["seen"]["pretrain"]) == 5 + 6
    for name in ("fit", "pretrain"):
        assert not set(first["seen"][name]) & set(second["seen"][name])
    assert first["weights"] == second["weights"]
    # One process wrote each model once; nothing is left beside them.
    assert first["writing"] == [str(tmp_path / "fit" / "model.ckpt"), str(tmp_path / "start.ckpt")]
    assert second["writing"] == []
    assert {p.name for p in (tmp_path / "fit").iterdir()} == {"model.ckpt", "log"}
    assert not (tmp_path / "start.ckpt.training").exists()
    fitted = load(tmp_path / "fit" / "model.ckpt")
    assert weights_told(fitted.encoder.state_dict()) == first["weights"]
    assert load(tmp_path / "start.ckpt").setup.lines == ()
