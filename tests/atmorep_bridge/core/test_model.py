"""The network: its size, who sees whom, and that nothing leaks."""

import pytest
import torch

from atmorep_bridge.core.losses import quantiles
from atmorep_bridge.core.masks import Kind
from atmorep_bridge.core.model import MaskedTokenModel
from atmorep_bridge.core.specs import SIZES, FieldSpec, Setup, Size, all_coupled
from atmorep_bridge.core.tokens import INFO
from sifnet.errors import SifnetError

SMALL = Size(width=16, heads=2, encoder_layers=2, decoder_layers=2, members=3)
FIELDS = (FieldSpec("eastward_wind", (105, 137), (2, 4, 4)),
          FieldSpec("surface_pressure", (), (1, 2, 2)))  # fmt: skip


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_full_has_the_published_number_of_parameters() -> None:
    """One field of AtmoRep: five levels, 12 x 3 x 6 tokens of 3 x 18 x 18: 118 million."""
    wind = FieldSpec("eastward_wind", (96, 105, 114, 123, 137), (3, 18, 18))
    with torch.device("meta"):
        model = MaskedTokenModel(Setup((wind,), (36, 54, 108), size=SIZES["full"]))
    assert parameters(model) == pytest.approx(118e6, rel=0.01)  # measured 117.8
    with torch.device("meta"):
        tiny = MaskedTokenModel(Setup((FieldSpec("temperature_2m"),)))
    assert parameters(tiny) < 0.5e6


def asked(setup: Setup) -> tuple[dict[str, torch.Tensor], ...]:
    torch.manual_seed(0)
    tokens = {s.name: torch.randn(2, setup.tokens(s), s.values) for s in setup.fields}
    kinds = {s.name: torch.zeros(2, setup.tokens(s), dtype=torch.long) for s in setup.fields}
    info = {s.name: torch.randn(2, setup.tokens(s), INFO) for s in setup.fields}
    for kind in kinds.values():
        kind[:, -2:] = Kind.HIDDEN
    patterns = {n: torch.ones_like(t) for n, t in tokens.items()}
    return tokens, patterns, kinds, info, {n: k != Kind.SEEN for n, k in kinds.items()}


@pytest.mark.parametrize("coupled", [True, False])
def test_fields_see_each_other_only_if_coupled(coupled: bool) -> None:
    setup = Setup(all_coupled(FIELDS) if coupled else FIELDS, (4, 8, 8), size=SMALL)
    torch.manual_seed(1)
    model = MaskedTokenModel(setup).eval()
    tokens, patterns, kinds, info, chosen = asked(setup)
    before = model(tokens, patterns, kinds, info, chosen)["eastward_wind"]
    assert before.shape == (3, 2 * 2, 32)
    tokens["surface_pressure"] = tokens["surface_pressure"] + 1
    after = model(tokens, patterns, kinds, info, chosen)["eastward_wind"]
    assert torch.equal(before, after) is not coupled


def test_members_differ_and_begin_near_the_base() -> None:
    setup = Setup(FIELDS, (4, 8, 8), size=SMALL)
    found = MaskedTokenModel(setup).eval()(*asked(setup))["eastward_wind"]
    assert (found[0] - found[1]).abs().mean() > 1e-3
    off = found - quantiles(SMALL.members, setup.alpha)[:, None, None]
    assert off.abs().mean() < 0.5


def test_the_decoder_looks_at_the_mirrored_layer() -> None:
    """Silencing what the first decoder layer reads of the last encoder layer changes the result."""
    setup = Setup(FIELDS[1:], (4, 8, 8), size=SMALL)
    torch.manual_seed(2)
    model = MaskedTokenModel(setup).eval()
    part = model.parts["surface_pressure"]
    before = model(*asked(setup))["surface_pressure"]
    seen = []
    for block in part.decoder:
        block.register_forward_hook(lambda _, inputs, __: seen.append(inputs[1][0]))
    layers: list[torch.Tensor] = []
    for block in part.encoder:
        block.register_forward_hook(lambda _, __, output: layers.append(output))
    model(*asked(setup))
    assert torch.equal(seen[0], layers[1])
    assert torch.equal(seen[1], layers[0])
    with torch.no_grad():
        part.decoder[0].attention.keys_values[1].weight.zero_()
    assert not torch.equal(before, model(*asked(setup))["surface_pressure"])


def test_every_member_and_token_has_its_own_tail() -> None:
    """Token by token through the last layer, in the order in which tokens are chosen."""
    setup = Setup(FIELDS[1:], (4, 8, 8), size=SMALL)
    torch.manual_seed(3)
    part = MaskedTokenModel(setup).eval().part("surface_pressure")
    x, chosen = torch.randn(2, setup.tokens(FIELDS[1]), SMALL.width), torch.rand(2, 64) < 0.3
    with torch.no_grad():
        part.tails.weight *= 10.0
        found, at = part.leave(x, chosen), 0
        for sample, token in chosen.nonzero().tolist():
            own = part.tails(part.tail_norm(x[sample, token])).view(SMALL.members, 4)
            torch.testing.assert_close(found[:, at], own)
            at += 1
    assert found.shape == (SMALL.members, at, 4)


def test_all_parameters_learn() -> None:
    setup = Setup(all_coupled(FIELDS), (4, 8, 8), size=SMALL)
    model = MaskedTokenModel(setup)
    found = model(*asked(setup))
    sum((f**2).sum() for f in found.values()).backward()  # type: ignore[union-attr]
    silent = [n for n, p in model.named_parameters() if p.grad is None]
    assert silent == []
    for part in model.parts.values():  # every head asks with queries of its own
        for block in [*part.encoder, *part.decoder]:
            assert bool((block.attention.queries.weight.grad.abs().sum(1) > 0).all())


def test_a_field_without_a_chosen_token_still_takes_part() -> None:
    """Every process of DDP must know a gradient of every parameter."""
    setup = Setup(FIELDS, (4, 8, 8), size=SMALL)
    model = MaskedTokenModel(setup)
    tokens, patterns, kinds, info, chosen = asked(setup)
    chosen["surface_pressure"][:] = False
    sum(f.sum() for f in model(tokens, patterns, kinds, info, chosen).values()).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("fields", "neighbourhood", "said"),
    [
        ((FieldSpec("surface_pressure"),) * 2, (24, 24, 24), "every field once"),
        ((), (24, 24, 24), "every field once"),
        ((FieldSpec("surface_pressure", coupled=("aot_550",)),), (24, 24, 24), "coupled"),
        ((FieldSpec("surface_pressure"),), (24, 25, 24), "do not fill"),
    ],
)
def test_impossible_setups_are_refused(
    fields: tuple[FieldSpec, ...], neighbourhood: tuple[int, int, int], said: str
) -> None:
    with pytest.raises(SifnetError, match=said):
        Setup(fields, neighbourhood)


def test_impossible_fields_are_refused() -> None:
    with pytest.raises(SifnetError, match="no name of a field"):
        FieldSpec("cloud cover")
    with pytest.raises(SifnetError, match="cloud_cover: patch is impossible"):
        FieldSpec("cloud_cover", patch=(0, 1, 1))
