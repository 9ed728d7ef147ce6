"""What a model is made for: fields with their levels and tokens, the neighbourhood, the size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from sifnet.errors import SifnetError, require_number

MOST = 2**12  # hours, rows or columns of a window
MONTH = 730  # hours, which stand for a month of the calendar

SHORT = {
    "u": "eastward_wind", "v": "northward_wind", "w": "vertical_velocity", "t": "temperature",
    "q": "specific_humidity", "ps": "surface_pressure", "tcwv": "water_vapour",
    "t2m": "temperature_2m", "aod550": "aot_550",
}  # fmt: skip
"""Short names of weather services, and ours. Any other field has its own name."""


@dataclass(frozen=True)
class FieldSpec:
    """A field of a model.

    Attributes:
        name: one of the values of ``SHORT``, or of any CF variable, its own or standard_name.
        levels: numbers of model levels or hPa, from the top; none for a field of the surface.
        patch: hours, rows and columns of a token.
        coupled: names of the fields it looks at in every encoder layer.
        normaliser: anomalies are taken from the cycles of the year and of the "hour" of the day,
            or of the year alone ("mean"), at every grid point.
    """

    name: str
    levels: tuple[int, ...] = ()
    patch: tuple[int, int, int] = (3, 6, 6)
    coupled: tuple[str, ...] = ()
    normaliser: Literal["hour", "mean"] = "hour"

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise SifnetError(
                "this is no name of a field",
                found=self.name,
                expected=f"letters, digits and _: {', '.join(SHORT)}, or a CF variable's name",
            )
        for size in self.patch:
            require_number(f"{self.name}: patch", size, 1, MOST)

    @property
    def values(self) -> int:
        """Numbers in a token."""
        return math.prod(self.patch)


@dataclass(frozen=True)
class Size:
    """Widths and depths of the transformer of one field.

    ``full`` is the published one: width 1024, 16 heads, 6 + 6 layers, perceptrons twice as wide,
    16 tails; decoder heads half on the field itself, half on the mirrored encoder layer.
    """

    width: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    members: int
    expansion: int = 2
    dropout: float = 0.0


SIZES = {
    "tiny": Size(width=96, heads=4, encoder_layers=2, decoder_layers=2, members=8, dropout=0.1),
    "base": Size(width=512, heads=8, encoder_layers=6, decoder_layers=6, members=16),
    "full": Size(width=1024, heads=16, encoder_layers=6, decoder_layers=6, members=16),
}


@dataclass(frozen=True)
class Setup:
    """What a model is made for; plain values, so that a checkpoint holds no code.

    Attributes:
        fields: each once; those they are coupled with among them.
        neighbourhood: hours, rows and columns of a window, multiples of every patch.
        hours: between times, MONTH of months. level_kind: of all levels, "model" or "pressure".
        rings: distances of the neighbours, grid points, that the base asks, see ``base``.
        alpha: fair share of the CRPS, which is the loss; the larger, the wider the ensemble. Chosen
            on days not trained on.
        plans: share of each mask plan in training.
    """

    fields: tuple[FieldSpec, ...]
    neighbourhood: tuple[int, int, int] = (24, 24, 24)
    hours: int = 1
    level_kind: str = ""
    size: Size = SIZES["tiny"]
    rings: tuple[int, ...] = (1, 3, 8)
    alpha: float = 0.25
    plans: dict[str, float] = field(
        default_factory=lambda: {
            "causal": 0.4, "gap": 0.2, "coarse": 0.2, "random": 0.1, "block": 0.03,
            "field": 0.03, "noise": 0.04,
        }
    )  # fmt: skip

    def __post_init__(self) -> None:
        for size in self.neighbourhood:
            require_number("neighbourhood", size, 1, MOST)
        for ring in self.rings or (0,):
            require_number("rings", ring, 1, MOST)
        names = self.names
        if len(set(names)) != len(names) or not names:
            raise SifnetError(
                "a model needs every field once", found=", ".join(names) or "no field",
                expected="different fields",
            )  # fmt: skip
        for spec in self.fields:
            missing = [name for name in spec.coupled if name not in names or name == spec.name]
            if missing:
                raise SifnetError(
                    f"{spec.name} is coupled with what the model does not hold",
                    found=", ".join(missing), expected=", ".join(n for n in names if n != spec.name)
                    or "no coupling, there is one field",
                )  # fmt: skip
            if any(n % p for n, p in zip(self.neighbourhood, spec.patch, strict=True)):
                raise SifnetError(
                    f"tokens of {spec.name} do not fill the neighbourhood",
                    found=f"patch {spec.patch} in {self.neighbourhood}",
                    expected="hours, rows and columns that divide those of the neighbourhood",
                )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields, in their order."""
        return tuple(spec.name for spec in self.fields)

    @property
    def longest(self) -> int:
        """Steps in time of the longest token."""
        return max(spec.patch[0] for spec in self.fields)

    @property
    def lead(self) -> int:
        """Steps that a model forecasts at once: two of its longest tokens, as it is trained."""
        return self.longest * max(min(2, self.neighbourhood[0] // self.longest - 1), 1)

    def grid(self, spec: FieldSpec) -> tuple[int, int, int, int]:
        """Levels, and tokens in time, latitude and longitude of a field's window."""
        t, y, x = (n // p for n, p in zip(self.neighbourhood, spec.patch, strict=True))
        return max(len(spec.levels), 1), t, y, x

    def tokens(self, spec: FieldSpec) -> int:
        """Tokens of a field in a window."""
        return math.prod(self.grid(spec))


def all_coupled(fields: Sequence[FieldSpec]) -> tuple[FieldSpec, ...]:
    """The fields, each coupled with all others."""
    names = [spec.name for spec in fields]
    return tuple(replace(s, coupled=tuple(n for n in names if n != s.name)) for s in fields)
