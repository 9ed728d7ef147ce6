"""Spheres forecast together: one seasonal ridge a sphere and month ahead, and its true errors.

    model = train({"ocean": ["nino34"], "air": ["t50"]}, series, months=6)
    ensembles = forecast(model, series, last="2001-05")

``series`` are monthly variables by name (``fields.variables``). A sphere looks at the others only
if that gains on years that were held back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from lightning_utilities.core.apply_func import apply_to_collection

from atmorep_bridge.spheres import ridge
from atmorep_bridge.spheres.ridge import Array, Choice, Index, Law
from atmorep_bridge.spheres.series import Sphere, Variable, months_of
from sifnet.errors import SifnetError
from sifnet.files import checkpoint, save_checkpoint

KIND = "a model of spheres"
LEAST = 48  # months of a record
Series = Mapping[str, xr.DataArray]


@dataclass(frozen=True)
class Spheres:
    """A trained model.

    Attributes:
        choices, laws: of each sphere, by months ahead from 1.
        errors: of each sphere ``start, lead, state``; starts: their months since 1970.
        skill: rms of these errors over that of damped persistence, by months ahead.
    """

    spheres: dict[str, Sphere]
    choices: dict[str, tuple[Choice, ...]]
    laws: dict[str, tuple[Law, ...]]
    errors: dict[str, Array]
    starts: dict[str, Index]
    skill: dict[str, Array]

    def save(self, path: str | Path) -> None:
        """Write a checkpoint that needs no other file.

        Raises:
            SifnetError: the path cannot be written.
        """
        plain = apply_to_collection(asdict(self), np.ndarray, torch.from_numpy)
        save_checkpoint(path, KIND, {"model": plain})


def load(path: str | Path) -> Spheres:
    """Read what ``Spheres.save`` wrote.

    Raises:
        SifnetError: it is no such file.
    """
    with checkpoint(path, KIND, "atmorep-bridge spheres train") as content:
        c = apply_to_collection(content["model"], torch.Tensor, torch.Tensor.numpy)
        return Spheres(
            {n: Sphere(tuple(Variable(**v) for v in s["variables"]))
             for n, s in c["spheres"].items()},
            {n: tuple(Choice(**v) for v in s) for n, s in c["choices"].items()},
            {n: tuple(Law(**v) for v in s) for n, s in c["laws"].items()},
            c["errors"], c["starts"], c["skill"],
        )  # fmt: skip


def train(
    members: Mapping[str, Sequence[str]],
    series: Series,
    *,
    months: int = 6,
    log: Sequence[str] = (),
    choices: Mapping[str, Sequence[Choice]] | None = None,
    coupling: ridge.Coupling = "chosen",
) -> Spheres:
    """Reduce, choose, fit.

    Args:
        members: names of the variables of each sphere.
        log: variables whose logarithm is forecast: positive ones of a long tail, AOD or rain.
        choices: made before; by default held-back years of the later half of the record decide.
        coupling: with other spheres, see ``ridge.choose``. "What if" needs "always".

    Raises:
        SifnetError: a variable is constant or has gaps, or the record is too short.
    """
    spheres = {
        name: Sphere(tuple(Variable.of(series[v], log=v in log, months=months) for v in variables))
        for name, variables in members.items()
    }
    axis, states = states_of(spheres, series)
    made = Spheres(spheres, {}, {}, {}, {}, {})
    for name, own in states.items():
        others, weight = others_of(states, name), spheres[name].weight
        found, laws, missed, damped = [], [], [], []
        for lead in range(1, months + 1):
            about = (own, others, axis % 12, lead)
            rows = ridge.rows_of(own, ridge.ahead(own, lead))
            if rows.size < LEAST:
                raise SifnetError(
                    f"the record of {name} is too short",
                    found=f"{rows.size} months that are known, and {lead} months later too",
                    expected=f"at least {LEAST}",
                    remedy="Give a longer series, or forecast fewer months.",
                )
            found.append(choices[name][lead - 1] if choices
                         else ridge.choose(*about, weight, coupling))  # fmt: skip
            x, y = ridge.predictors(own, others, found[-1]), ridge.ahead(own, lead)
            laws.append(ridge.fit(x[rows], y[rows], axis[rows] % 12, found[-1], weight))
            missed.append(ridge.held_back(*about, found[-1], weight))
            damped.append(ridge.held_back(*about, ridge.DAMPED, weight))
        errors = np.stack(missed, axis=1)
        rows = np.flatnonzero(np.isfinite(errors).all((1, 2)))
        made.choices[name], made.laws[name] = tuple(found), tuple(laws)
        made.errors[name], made.starts[name] = _centred(errors[rows]), axis[rows]
        squares = (np.nanmean(e**2 @ weight, axis=0) for e in (errors, np.stack(damped, axis=1)))
        made.skill[name] = np.sqrt(np.divide(*squares))
    return made


def _centred(errors: Array) -> Array:
    """Without their mean, but as large: a bias widens an ensemble and does not move it."""
    away = errors - errors.mean(0)
    return away * np.sqrt((errors**2).mean(0) / (away**2).mean(0))


def states_of(spheres: Mapping[str, Sphere], series: Series) -> tuple[Index, dict[str, Array]]:
    """A common axis of months since 1970, and the state of each sphere on it."""
    known = [months_of(series[v.name]) for sphere in spheres.values() for v in sphere.variables]
    axis = np.arange(min(m[0] for m in known if m.size), max(m[-1] for m in known if m.size) + 1)
    return axis, {name: sphere.states(series, axis) for name, sphere in spheres.items()}


def others_of(states: Mapping[str, Array], name: str) -> Array:
    """``..., time, state`` of all other spheres side by side."""
    parts = (other for key, other in states.items() if key != name)
    return np.concatenate([states[name][..., :0], *parts], axis=-1)
