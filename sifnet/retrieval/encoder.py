"""From pixels to a state: residual blocks per pixel, then heads for what is shared and what is not.

The atmosphere is read from the mean latent of a patch, because it is smooth; the sensor state
belongs to a detector column of a flight line, because the sensor is the same in a column; the
surface is a pixel's own, given both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sifnet.errors import SifnetError, require_number
from sifnet.physics.fields import Ranges, TensorFields
from sifnet.physics.precision import exact
from sifnet.physics.state import RANGES, Atmosphere, Geometry, SensorState, State
from sifnet.physics.surface import Surface
from sifnet.retrieval.pixels import Pixels

GEOMETRY_FEATURES = 6
MOST = 2**14  # width of a block, and the like


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network: the small published one (0.15 million parameters).

    Attributes:
        features: noise-whitened components of the log spectrum that enter the network.
        widths, repeats, dropout: of the blocks of the pixel backbone.
        head_widths, head_repeats: of the blocks of every head.
    """

    features: int = 24
    widths: tuple[int, ...] = (100, 100, 50)
    repeats: tuple[int, ...] = (3, 3, 3)
    dropout: tuple[float, ...] = (0.1, 0.0, 0.0)
    head_widths: tuple[int, ...] = (100, 50, 50, 50)
    head_repeats: tuple[int, ...] = (3, 1, 1, 1)

    def __post_init__(self) -> None:
        sizes = {"widths": self.widths, "repeats": self.repeats, "head_widths": self.head_widths,
                 "head_repeats": self.head_repeats, "features": (self.features,)}  # fmt: skip
        for name, numbers in sizes.items():
            for number in numbers:
                require_number(f"architecture: {name}", number, 1, MOST)
        for share in self.dropout:
            require_number("architecture: dropout", share, 0, 0.99)
        blocks = (self.widths, self.repeats, self.dropout), (self.head_widths, self.head_repeats)
        for lists in blocks:
            if len({len(some) for some in lists}) > 1 or not lists[0]:
                raise SifnetError(
                    "architecture: the blocks do not fit each other",
                    found=" and ".join(str(list(some)) for some in lists),
                    expected="a width, a number of repeats (and a dropout) for every block",
                    remedy="Give lists of the same length.",
                )


class ResidualBlock(nn.Module):
    """``repeats`` times linear, batch norm, ReLU, added to the input (METHOD: talk's table).

    The first layer changes the width; the input goes around through a linear layer then, else
    unchanged.

    Attributes:
        folded: layers and batch norms as one, where they are kept (``Encoder.folded``).
    """

    folded: list[tuple[Tensor, Tensor]] | None = None

    def __init__(self, width_in: int, width: int, repeats: int, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(repeats):
            layers += [nn.Linear(width if i else width_in, width), nn.BatchNorm1d(width), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Dropout(dropout))
        self.around = nn.Identity() if width_in == width else nn.Linear(width_in, width)

    def forward(self, x: Tensor) -> Tensor:
        """``row, width_in`` to ``row, width``."""
        if self.training:
            return self.around(x) + self.layers(x)
        inner, layers = x, self.folded or [_folded(*pair) for pair in self.normed]
        if self.folded is not None:
            self.folded = layers
        for weight, bias in layers:
            inner = nn.functional.relu_(nn.functional.linear(inner, weight, bias))
        return self.around(x) + inner

    @property
    def normed(self) -> Iterator[tuple[nn.Linear, nn.BatchNorm1d]]:
        """The linear layers, and the batch norms after them."""
        layers = list(self.layers)
        return zip(layers[:-1:3], layers[1::3], strict=True)  # type: ignore[arg-type]


def _folded(linear: nn.Linear, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer and the frozen batch norm after it as one."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None, "without statistics it is no map"
    assert variance is not None
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    return linear.weight * scale[:, None], (linear.bias - mean) * scale + norm.bias


def _blocks(
    width_in: int, widths: tuple[int, ...], repeats: tuple[int, ...], dropout: tuple[float, ...]
) -> nn.Sequential:
    sizes = (width_in, *widths[:-1])
    return nn.Sequential(
        *(ResidualBlock(*sizes_) for sizes_ in zip(sizes, widths, repeats, dropout, strict=True))
    )


class Head(nn.Module):
    """Residual blocks and a linear layer that starts near zero."""

    def __init__(self, width_in: int, outputs: int, architecture: Architecture) -> None:
        super().__init__()
        widths, repeats = architecture.head_widths, architecture.head_repeats
        self.blocks = _blocks(width_in, widths, repeats, (0.0,) * len(widths))
        self.leave = nn.Linear(widths[-1], outputs)
        nn.init.normal_(self.leave.weight, std=1e-2)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``..., width_in`` to ``..., outputs``."""
        outputs = self.leave(self.blocks(x.flatten(0, -2))).unflatten(0, x.shape[:-1])
        return outputs.to(x)


class Features(nn.Module):
    """Log spectrum to its noise-whitened principal components, by frozen statistics.

    Components are the eigenvectors of the covariance of simulated spectra in units of their noise
    (minimum noise fraction, Green et al. 1988), each scaled to unit variance: all that a spectrum
    says above its noise, in directions that are equally easy to learn from.
    """

    mean: Tensor
    projection: Tensor

    def __init__(self, spectrum: int, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(spectrum))
        self.register_buffer("projection", torch.eye(spectrum, features))

    def forward(self, pixels: Pixels) -> Tensor:
        """``patch, line, sample, feature``."""
        with exact():
            return (log_spectrum(pixels) - self.mean) @ self.projection

    @torch.no_grad()
    def freeze(self, pixels: Pixels) -> None:
        """Set the statistics from the usable pixels."""
        x = log_spectrum(pixels)[pixels.usable].double()
        relative = (pixels.noise / pixels.radiance.clamp(min=1e-2))[pixels.usable].double()
        noise = torch.sqrt((relative**2).mean(0)).repeat(x.shape[1] // relative.shape[1])
        mean = x.mean(0)
        covariance = torch.cov(((x - mean) / noise).T)
        variance, vectors = torch.linalg.eigh(covariance)
        count = self.projection.shape[1]
        variance, vectors = variance[-count:].flip(0), vectors[:, -count:].flip(1)
        self.mean.copy_(mean)
        self.projection.copy_(vectors / noise[:, None] / torch.sqrt(variance.clamp(min=1e-3)))


def log_spectrum(pixels: Pixels) -> Float[Tensor, "patch line sample spectrum"]:
    """Log radiance, ``..., spectrum``.

    An expected shape of reflectance is divided out: what is left looks like level ground.
    """
    spectrum = torch.log(pixels.radiance.clamp(min=1e-2))
    if pixels.shape_prior is not None:
        spectrum = spectrum - torch.log(pixels.shape_prior.gain)
    return spectrum


class Encoder(nn.Module):
    """Pixels to State within bounds.

    Attributes:
        ranges: lowest and highest value of every parameter that is sought.
        columns: unbounded sensor state of known flight lines, ``line, column, 2``.
    """

    def __init__(
        self,
        bands: int,
        *,
        features: int | None = None,
        ranges: Ranges = RANGES,
        architecture: Architecture = Architecture(),
    ) -> None:
        super().__init__()
        sought = (*Atmosphere.names(), *Surface.names(), *SensorState.names())
        self.ranges = {name: ranges[name] for name in sought}
        self.architecture = architecture
        a = architecture
        self.features = Features(bands, features or min(a.features, bands))
        width_in = self.features.projection.shape[1] + GEOMETRY_FEATURES
        self.backbone = _blocks(width_in, a.widths, a.repeats, a.dropout)
        seen = a.widths[-1] + GEOMETRY_FEATURES
        air, surface, sensor = (len(p.names()) for p in (Atmosphere, Surface, SensorState))
        self.patch_head = Head(seen + 2 * air, air, a)
        self.column_head = Head(seen, sensor, a)
        self.pixel_head = Head(seen + air + sensor, surface + 1, a)
        self.columns = nn.Parameter(torch.zeros(0, 0, sensor), requires_grad=False)

    def forward(self, pixels: Pixels, sensor: SensorState | None = None) -> State:
        """State of the pixels: atmosphere ``patch, 1, 1``, sensor ``patch, 1, sample``.

        Args:
            sensor: where it is known.
        """
        latent = self.latent(pixels)
        atmosphere = self.atmosphere(latent, pixels)
        sensor = sensor or self.sensor(latent, pixels)
        return State(atmosphere, self.surface(latent, pixels, atmosphere, sensor), sensor)

    def latent(self, pixels: Pixels) -> Float[Tensor, "patch line sample latent"]:
        """``patch, line, sample, latent``; zero where a pixel is not usable."""
        angles = geometry_features(pixels.geometry).expand(*pixels.usable.shape, -1)
        inputs = torch.cat([self.features(pixels), angles], dim=-1)
        return _where(pixels.usable, self.backbone, inputs)

    def atmosphere(self, latent: Tensor, pixels: Pixels) -> Atmosphere:
        """Patch head: ``patch, 1, 1`` from the mean latent, relative to the prior.

        Over terrain, surface_pressure follows the prior's in every pixel.
        """
        mean, sd = pixels.prior.mean.stack(), pixels.prior.sd.stack()
        low, high = self.span(Atmosphere, latent)
        inputs = (
            _mean(latent, pixels.usable, dims=(1, 2)),
            geometry_features(pixels.geometry).mean((1, 2), keepdim=True),
            _scaled(mean, low, high).mean((1, 2), keepdim=True),
            torch.log10((high - low) / sd),  # how narrow the prior is, about 0.5 to 3
        )
        step = self.patch_head(torch.cat(inputs, dim=-1))
        return Atmosphere.unstack(around_prior(step, mean, sd, low, high))

    def sensor(self, latent: Tensor, pixels: Pixels) -> SensorState:
        """Across-track head: ``patch, 1, sample``.

        A fitted flight line has its own value for every column; for others it is estimated from
        the mean latent of the column within the patch.
        """
        unbounded = self.column_estimate(latent, pixels)
        fitted = (pixels.line_id >= 0)[:, None, None, None]
        if self.columns.numel():  # a line of none of them may be wider
            column = pixels.column.clamp(max=self.columns.shape[1] - 1)
            own = self.columns[pixels.line_id.clamp(min=0)[:, None], column][:, None]
            unbounded = torch.where(fitted, own, unbounded)
        return self.bound_sensor(unbounded)

    def bound_sensor(self, unbounded: Tensor) -> SensorState:
        """``..., 2`` to a sensor state ``...`` within bounds."""
        return SensorState.unstack(bounded(unbounded, *self.span(SensorState, unbounded)))

    def column_estimate(self, latent: Tensor, pixels: Pixels) -> Tensor:
        """Unbounded sensor state ``patch, 1, sample, 2`` from the mean latent of a column."""
        mean = _mean(latent, pixels.usable, dims=(1,))
        angles = geometry_features(pixels.geometry).mean(1, keepdim=True)
        return self.column_head(torch.cat([mean, angles], dim=-1))

    def surface(
        self, latent: Tensor, pixels: Pixels, atmosphere: Atmosphere, sensor: SensorState
    ) -> Surface:
        """Pixel head: ``patch, line, sample``, given the atmosphere and the sensor.

        Fluorescence is proportional to radiance at a given filling of the band, so one output is
        multiplied by the level of the radiance.
        """
        shape = pixels.usable.shape
        shared = (
            geometry_features(pixels.geometry),
            _scaled(atmosphere.stack(), *self.span(Atmosphere, latent)),
            _scaled(sensor.stack(), *self.span(SensorState, latent)),
        )
        inputs = torch.cat([latent, *(x.expand(*shape, -1) for x in shared)], dim=-1)
        raw = _where(pixels.usable, self.pixel_head, inputs)
        level = pixels.radiance.mean(-1) / 50.0
        *reflectance, sif, sif_by_level = raw.unbind(-1)
        unbounded = torch.stack([*reflectance, sif + sif_by_level * level], dim=-1)
        return Surface.unstack(bounded(unbounded, *self.span(Surface, latent)))

    @contextmanager
    def folded(self) -> Iterator[None]:
        """While weights stay what they are: frozen batch norms are folded into layers once."""
        blocks = [module for module in self.modules() if isinstance(module, ResidualBlock)]
        for block in blocks:
            block.folded = []
        try:
            yield
        finally:
            for block in blocks:
                block.folded = None

    def span(self, part: type[TensorFields], like: Tensor) -> tuple[Tensor, Tensor]:
        """Lowest and highest values of the fields of a part, each ``field``."""
        limits = like.new_tensor([self.ranges[name] for name in part.names()])
        return limits[:, 0], limits[:, 1]

    @torch.no_grad()
    def add_lines(self, unbounded: Tensor) -> None:
        """Give every fitted flight line its own sensor state, ``line, column, 2``, not learned."""
        self.columns = nn.Parameter(unbounded.clone(), requires_grad=False)


def bounded(
    unbounded: Float[Tensor, "*shape"],
    low: Float[Tensor, "*#shape"],
    high: Float[Tensor, "*#shape"],
) -> Float[Tensor, "*shape"]:
    """low + (high - low) sigmoid(u)."""
    return low + (high - low) * torch.sigmoid(unbounded)


def unbounded(
    value: Float[Tensor, "*shape"], low: Float[Tensor, "*#shape"], high: Float[Tensor, "*#shape"]
) -> Float[Tensor, "*shape"]:
    """The inverse of ``bounded``; values at or beyond a limit become 0.1 % inside it."""
    return torch.logit(((value - low) / (high - low)).clamp(1e-3, 1 - 1e-3))


def around_prior(step: Tensor, mean: Tensor, sd: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Bounded value whose ``step`` counts standard deviations of the prior near its mean.

    bounded(logit(m) + step sd / (range m (1 - m))), m the prior's mean on the unit range.
    """
    m = ((mean - low) / (high - low)).clamp(0.01, 0.99)
    return bounded(torch.logit(m) + step * sd / ((high - low) * m * (1 - m)), low, high)


def geometry_features(geometry: Geometry) -> Float[Tensor, "*batch feature"]:
    """``patch, 1, sample, feature``: air masses, azimuth, share of the air below the sensor."""
    sun = torch.cos(torch.deg2rad(geometry.solar_zenith_angle))
    view = torch.cos(torch.deg2rad(geometry.view_zenith_angle))
    azimuth = torch.cos(torch.deg2rad(geometry.relative_azimuth_angle))
    below = torch.exp(-geometry.sensor_height / 8.0)
    near = torch.exp(-geometry.sensor_height / 1.0)
    features = (2 * sun - 1, 1 / sun - 1.5, 10 * (1 / view - 1), azimuth, 5 * (below - 0.9), near)
    return torch.stack(torch.broadcast_tensors(*features), dim=-1)


def _where(usable: Tensor, network: nn.Module, inputs: Tensor) -> Tensor:
    """Of a network, zero where a pixel is not usable; in the precision of its inputs.

    All pixels go through: to choose some of them, a device would have to wait for their number.
    """
    hidden = ~usable[..., None]
    rows = inputs.masked_fill(hidden, 0.0).flatten(0, -2)
    outputs = network(rows).unflatten(0, usable.shape)
    return outputs.to(inputs).masked_fill(hidden, 0.0)


def _scaled(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """From the range to -1..1."""
    return 2 * (values - low) / (high - low) - 1


def _mean(latent: Tensor, usable: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Mean over usable pixels, axes kept; zero where there are none."""
    weight = usable[..., None].to(latent)
    return (latent * weight).sum(dims, keepdim=True) / weight.sum(dims, keepdim=True).clamp(min=1)
