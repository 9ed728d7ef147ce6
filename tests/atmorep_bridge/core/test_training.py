"""Samples by number, learning, resuming, checkpoints that run no code, and many processes."""

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from atmorep_bridge.core.filling import from_visible
from atmorep_bridge.core.grids import Place
from atmorep_bridge.core.losses import crps, quantiles
from atmorep_bridge.core.masks import Kind
from atmorep_bridge.core.samples import Consecutive, Samples
from atmorep_bridge.core.specs import FieldSpec, Setup
from atmorep_bridge.core.statistics import fit
from atmorep_bridge.core.tokens import ByField, on_points, to_tokens
from atmorep_bridge.core.training import (
    PARTS,
    VALIDATED,
    Core,
    Fitting,
    Training,
    _asked,
    load,
    train,
)
from atmorep_bridge.core.windows import Region
from sifnet.errors import SifnetError
from sifnet.files import CHECKPOINT_FORMAT

T2M = (FieldSpec("temperature_2m", patch=(2, 4, 4)),)
QUICK = Training(steps=2, steps_per_epoch=1, batch=2)


def samples(region: Region, setup: Setup, seed: int = 0, superposed: float = 0.5) -> Samples:
    return Samples(region, setup, fit(region, setup), seed, superposed)


def test_a_sample_is_its_number(region: Region, setup: Setup) -> None:
    one, same, other = (samples(region, setup, seed) for seed in (1, 1, 2))
    for part in ("input", "error", "truth", "kinds", "info", "pattern"):
        a, b = (s[7][part]["temperature_2m"] for s in (one, same))
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(one[7]["truth"]["temperature_2m"], other[7]["truth"]["temperature_2m"])
    assert len(one) == 89


def test_samples_do_not_depend_on_workers_or_processes(
    region: Region, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = samples(region, setup)
    alone = list(Consecutive(data, 4, 3))
    assert alone == list(range(12))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    shared = []
    for rank in range(2):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        shared.append(list(Consecutive(data, 2, 3)))
    for step in range(3):
        together = {n for own in shared for n in own[2 * step : 2 * step + 2]}
        assert together == set(alone[4 * step : 4 * step + 4])
    monkeypatch.undo()
    sampler = Consecutive(data, 4, 3)
    sampler.set_epoch(2)
    assert next(iter(sampler)) == 24
    loaders = [DataLoader(data, batch_size=4, sampler=Consecutive(data, 4, 1), num_workers=n)
               for n in (0, 1)]  # fmt: skip
    first, worked = (next(iter(loader))["truth"]["temperature_2m"] for loader in loaders)
    assert torch.equal(first, worked)


@pytest.mark.parametrize("plan", ["coarse", "noise", "causal"])
def test_what_is_given_suits_its_kind(region: Region, setup: Setup, plan: str) -> None:
    """What is seen is as it is; what is not is other, and how much is expected of it."""
    sample = samples(region, replace(setup, plans={plan: 1.0}))[0]
    given, truth, error, kind = (
        sample[part]["temperature_2m"] for part in ("input", "truth", "error", "kinds")
    )
    other = on_points(kind.view(1, *setup.grid(T2M[0])) != Kind.SEEN, T2M[0].patch)[0]
    assert other.any()
    assert torch.equal(given[~other], truth[~other])
    assert not torch.isclose(given[other], truth[other]).all()
    assert float((given - truth)[other].abs().mean()) < 2 * float(error[other].mean())


@pytest.mark.slow
def test_superposed_days_keep_their_variance(region: Region, setup: Setup) -> None:
    """Against the same windows alone; cos^2 + sin^2 is 1 and 1 + sin^2 is one and a half."""
    variance = {}
    for share in (0.0, 1.0):
        data = samples(region, setup, superposed=share)
        drawn = torch.stack([data[i]["truth"]["temperature_2m"] for i in range(80)])
        variance[share] = float((drawn**2).nanmean())
    assert variance[1.0] == pytest.approx(variance[0.0], rel=0.15)


def test_a_step_under_bfloat16_is_nearly_that_in_full(region: Region, setup: Setup) -> None:
    """As --precision bf16-mixed takes it, of all plans; the base is not in half precision."""
    data = samples(region, setup)
    batch = next(iter(DataLoader(data, batch_size=8, sampler=range(8))))
    fitting, losses = Fitting(Core(setup, data.statistics)).eval(), []
    for half in (False, True):
        fitting.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = fitting.training_step(batch, 0)
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in fitting.parameters() if p.grad is not None)
        losses.append(float(loss.detach()))
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_training_learns_what_drifts(region: Region, setup: Setup, tmp_path: Path) -> None:
    """Waves from which an error is to be taken that has none of their regularity."""
    config = Training(steps=60, steps_per_epoch=10, batch=8, learning_rate=1e-2, superposed=0.0)
    only = replace(setup, plans={"noise": 1.0})
    train(region, only, tmp_path / "m.ckpt", config=config)
    losses = logged(tmp_path / "m.training", "loss")
    assert losses[-1] < 0.98 * losses[0]  # it begins calibrated


@pytest.mark.slow
def test_where_the_network_is_no_better_the_base_is_kept(
    region: Region, setup: Setup, tmp_path: Path
) -> None:
    """Steps so long that they do harm: what is said is the base, members fixed quantiles of it."""
    config = Training(steps=4, steps_per_epoch=2, batch=2, learning_rate=10.0)
    core = train(region, setup, tmp_path / "m.ckpt", config=config)
    tails = core.model.part("temperature_2m").tails
    assert not tails.weight.any()
    expected = quantiles(setup.size.members, setup.alpha)
    torch.testing.assert_close(tails.bias.view(setup.size.members, -1)[:, 0], expected)


def logged(folder: Path, name: str) -> list[float]:
    with (folder / "log" / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


def test_the_best_epoch_on_days_held_back_is_kept(
    region: Region, setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its loss, made again from what is kept, is the least in the log; in other weights than the
    last, which are an average. No window of the last fifth is learnt from."""
    seen: set[np.datetime64] = set()
    learn = Fitting.training_step

    def ruined(self: Fitting, batch: object, number: int) -> torch.Tensor:
        if self.current_epoch == 2:  # what is learnt here does harm
            self.trainer.optimizers[0].param_groups[0]["lr"] = 1.0
        return learn(self, batch, number)  # type: ignore[arg-type]

    original = Samples._anomalies

    def told(self: Samples, start: int, place: Place) -> ByField:
        if self.superposed:
            seen.update(self.region.times[start : start + self.setup.neighbourhood[0]])
        return original(self, start, place)

    monkeypatch.setattr(Fitting, "training_step", ruined)
    monkeypatch.setattr(Samples, "_anomalies", told)
    config = Training(steps=30, steps_per_epoch=10, batch=4, learning_rate=1e-2)
    core = train(region, setup, tmp_path / "m.ckpt", config=config)
    base, *losses = logged(tmp_path / "m.training", "held_loss")
    assert len(losses) == 3
    assert base > min(losses)
    assert losses[2] > min(losses)
    first = int(0.8 * region.times.size)
    assert max(seen) < region.times[first]
    held = Samples(region.part(first, region.times.size), setup, core.statistics, 0)
    batches = DataLoader(held, batch_size=4, sampler=range(4 * VALIDATED))
    with torch.inference_mode():
        again = np.mean([float(Fitting(core).eval().loss_of(batch)) for batch in batches])
    assert again == pytest.approx(min(losses), rel=1e-4)


def test_a_series_too_short_to_hold_days_back_is_learnt_whole(
    region: Region, setup: Setup, tmp_path: Path
) -> None:
    train(region.part(0, 24), setup, tmp_path / "m.ckpt", config=QUICK)
    assert (tmp_path / "m.ckpt").exists()
    assert "held_loss" not in (tmp_path / "m.training" / "log" / "metrics.csv").read_text()


def test_same_seed_same_weights_and_no_code_in_checkpoints(
    region: Region, setup: Setup, tmp_path: Path
) -> None:
    found = [train(region, setup, tmp_path / f"{i}.ckpt", config=replace(QUICK, seed=seed))
             for i, seed in enumerate((3, 3, 4))]  # fmt: skip
    first, same, other = (core.model.parts["temperature_2m"].tails.weight for core in found)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.load(tmp_path / "0.ckpt", weights_only=True)["format"] == CHECKPOINT_FORMAT
    again = load(tmp_path / "0.ckpt")
    assert again.setup == setup
    assert torch.equal(again.model.parts["temperature_2m"].tails.weight, first)
    assert sorted(p.name for p in tmp_path.glob("0*")) == ["0.ckpt", "0.training"]
    assert [p.name for p in (tmp_path / "0.training").iterdir()] == ["log"]


def test_interrupted_training_goes_on_and_ends_the_same(
    region: Region, setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(QUICK, steps=3)
    whole = train(region, setup, tmp_path / "whole.ckpt", config=config)

    def stop(self: Fitting) -> None:
        if self.current_epoch == 2:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(Fitting, "on_train_epoch_start", stop)
        with pytest.raises(RuntimeError, match="power cut"):
            train(region, setup, tmp_path / "m.ckpt", config=config)
    assert not (tmp_path / "m.ckpt").exists()
    epochs: list[int] = []
    monkeypatch.setattr(Fitting, "on_train_epoch_start", lambda self: epochs.append(
        self.current_epoch))  # fmt: skip
    again = train(region, setup, tmp_path / "m.ckpt", config=config)
    assert epochs == [2]
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[key]), key


def test_of_other_data_or_settings_nothing_goes_on(
    region: Region, setup: Setup, tmp_path: Path
) -> None:
    core = Core(setup, fit(region, setup), QUICK)
    part, _ = region.split(region.times[60], 8)
    other = Core(setup, core.statistics, replace(QUICK, seed=5))
    other.load_state_dict(core.state_dict())
    for asked in (
        _asked(tmp_path, core, region), _asked(tmp_path, core, part), _asked(tmp_path, other, part)
    ):  # fmt: skip
        torch.save({"chance": {}}, tmp_path / "last.ckpt")
        assert asked.interrupted() is None
        torch.save({"chance": {}}, tmp_path / "last.ckpt")
        assert asked.interrupted() == tmp_path / "last.ckpt"


def test_a_residual_is_in_units_of_the_error(region: Region, setup: Setup) -> None:
    """A network that says 1 everywhere adds the error to what tokens are filled with."""
    data = samples(region, replace(setup, plans={"causal": 1.0}))
    batch = next(iter(DataLoader(data, batch_size=2, sampler=[0, 1])))
    core = Core(setup, data.statistics).eval()
    tails = core.model.part("temperature_2m").tails
    with torch.no_grad():
        tails.weight.zero_()
        tails.bias.fill_(1.0)
    (kinds,), (given,), (error,) = (batch[p].values() for p in ("kinds", "input", "error"))
    chosen = kinds != Kind.SEEN
    filled, expected = (to_tokens(v, T2M[0].patch)[chosen] for v in (given, error))
    said, scale = core(*(batch[p] for p in PARTS))["temperature_2m"]
    torch.testing.assert_close(scale, expected)
    for member in said:
        torch.testing.assert_close(member, filled + expected, atol=1e-5, rtol=1e-4)


def test_missing_values_are_no_targets(region: Region, setup: Setup) -> None:
    data = samples(region, replace(setup, plans={"causal": 1.0}), superposed=0.0)
    batch = next(iter(DataLoader(data, batch_size=2, sampler=[0, 1])))
    fitting = Fitting(Core(setup, data.statistics)).eval()
    batch["truth"]["temperature_2m"][:, :, :, 2:4, 1] = torch.nan
    loss = fitting.training_step(batch, 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in fitting.parameters() if p.grad is not None)


@pytest.mark.parametrize("plan", ["causal", "gap", "random", "block", "field"])
def test_hidden_values_change_nothing_that_is_said(
    region: Region, setup: Setup, plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what tokens are filled with nor its error; those that are seen do."""
    data = samples(region, replace(setup, plans={plan: 1.0}), superposed=0.0)
    asked = []

    def told(*args):  # type: ignore[no-untyped-def]
        asked.append(args)
        return from_visible(*args)

    monkeypatch.setattr("atmorep_bridge.core.samples.from_visible", told)
    (kinds,) = data[0]["kinds"].values()
    hidden = on_points(kinds.view(1, *setup.grid(T2M[0])) == Kind.HIDDEN, T2M[0].patch)
    (statistics, wide, visible, place, more) = asked[0]
    (seen,) = visible.values()
    north, south, west, east = more
    inner = seen[..., north : seen.shape[-2] - south, west : seen.shape[-1] - east]
    assert torch.equal(inner, ~hidden)
    if plan in ("causal", "gap"):
        assert not seen[:, :, hidden[0, 0].any((1, 2))].any()  # nor are they around the window
    one, two, other = (
        [part["temperature_2m"] for part in from_visible(
            statistics, {n: torch.where(seen, v + a, v + b) for n, v in wide.items()}, visible,
            place, more)] for a, b in ((0, 0), (0, 5), (1, 0))
    )  # fmt: skip
    assert all(torch.equal(x, y) for x, y in zip(one, two, strict=True))
    assert not torch.allclose(one[0][hidden], other[0][hidden])


def test_the_loss_is_the_mean_over_values_that_are_known(region: Region, setup: Setup) -> None:
    """A truth that is not there is left out: it is neither hit nor missed. Places count by their
    spread; the few rows of the region cover nearly the same area."""
    data = samples(region, replace(setup, plans={"causal": 1.0}), superposed=0.0)
    batch = next(iter(DataLoader(data, batch_size=1, sampler=[0])))
    fitting = Fitting(Core(setup, data.statistics)).eval()
    batch["truth"]["temperature_2m"][:, :, :, 2:7, 1:5] = torch.nan
    members, error = fitting.core(*(batch[part] for part in PARTS))["temperature_2m"]
    chosen = batch["kinds"]["temperature_2m"] != Kind.SEEN
    truth = to_tokens(batch["truth"]["temperature_2m"], T2M[0].patch)[chosen]
    known = torch.isfinite(truth)
    assert 0.1 < float(known.float().mean()) < 0.9
    each = crps((members / error)[:, known], (truth / error)[known], setup.alpha)
    pattern = batch["pattern"]["temperature_2m"].expand_as(batch["truth"]["temperature_2m"])
    spread = to_tokens(pattern, T2M[0].patch)[chosen][known]
    loss = fitting.training_step(batch, 0)
    torch.testing.assert_close(loss, (each * spread).sum() / spread.sum(), rtol=0.01, atol=0)


def test_unreadable_checkpoints_are_refused(tmp_path: Path, trained: Path) -> None:
    (tmp_path / "text.ckpt").write_text("no model")
    with pytest.raises(SifnetError, match="not a readable model"):
        load(tmp_path / "text.ckpt")
    with pytest.raises(SifnetError, match="not a readable model"):
        load(tmp_path / "absent.ckpt")
    content = torch.load(trained, weights_only=True) | {"format": 99}
    torch.save(content, tmp_path / "later.ckpt")
    with pytest.raises(SifnetError, match="format 99"):
        load(tmp_path / "later.ckpt")


def test_unwritable_outputs_and_impossible_settings_are_refused(
    region: Region, setup: Setup, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SifnetError, match="output cannot be written"):
        train(region, setup, tmp_path / "file" / "m.ckpt", config=QUICK)
    with pytest.raises(SifnetError, match="steps is impossible"):
        Training(steps=0)


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_with_the_doubled_batch(
    waves: Path, tmp_path: Path
) -> None:
    """DDP over gloo, by the command line, dropout and all else as shipped but for its chance."""
    script = tmp_path / "train.py"
    script.write_text(
        "import sys\n"
        "from dataclasses import replace\n"
        "from atmorep_bridge.core import specs\n"
        "specs.SIZES['tiny'] = replace(specs.SIZES['tiny'], dropout=0.0)\n"
        "from atmorep_bridge.cli import main\n"
        "if __name__ == '__main__':\n    main()\n"
    )
    common = ["train", str(waves), "--field", "t2m", "--neighbourhood", "8,8,8", "--patch", "2,4,4",
              "--steps", "6", "--seed", "1"]  # fmt: skip
    two_processes = ["--batch", "4", "--devices", "2", "--strategy", "ddp"]
    for name, options in (("one", ["--batch", "8"]), ("two", two_processes)):
        command = [sys.executable, str(script), *common, *options, "-o", str(tmp_path / name)]
        subprocess.run(command, check=True, timeout=300)
    one, two = (torch.load(tmp_path / n, weights_only=True)["model"] for n in ("one", "two"))
    worst = max(float((one[key] - two[key]).abs().max()) for key in one)
    assert worst < 1e-5
    assert np.isfinite(worst)
