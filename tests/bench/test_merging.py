"""The merges of the proving ground do what their papers say."""

import pytest
import torch

from bench.zoo.merging import KINDS, NEED_BASE, layers_dealt, merge, realised_shares

State = dict[str, torch.Tensor]


def state(seed: int, *, origin: State | None = None, size: float = 1.0) -> State:
    generator = torch.Generator().manual_seed(seed)
    names = ("embed_tokens.weight", *(f"model.layers.{n}.mlp.up_proj.weight" for n in range(4)), "lm_head.weight")
    drawn = {name: size * torch.randn(48, 64, generator=generator) for name in names}
    return drawn if origin is None else {name: origin[name] + tensor for name, tensor in drawn.items()}


@pytest.fixture(scope="module")
def family() -> tuple[State, list[State]]:
    base = state(0)
    return base, [state(seed, origin=base, size=0.1) for seed in (1, 2)]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_one_parent_with_full_weight_comes_back(kind: str, family: tuple[State, list[State]]) -> None:
    base, (parent, other) = family
    if kind == "slerp":
        merged = merge(kind, None, [parent, other], [1.0, 0.0], 0)
    elif kind in {"ties", "dare_linear", "dare_ties"}:
        pytest.skip("trims or drops a part even of one parent")
    else:
        merged = merge(kind, base, [parent], [1.0], 0)
    assert all(torch.allclose(merged[name], parent[name], atol=1e-5) for name in parent)


@pytest.mark.parametrize("kind", ["linear", "task_arithmetic", "dare_linear"])
def test_linear_kinds_hold_their_weights(kind: str, family: tuple[State, list[State]]) -> None:
    base, parents = family
    merged = merge(kind, base, parents, [0.7, 0.3], 5)
    assert realised_shares(merged, base, parents) == pytest.approx([0.7, 0.3], abs=0.03)


def test_slerp_between_strangers_keeps_their_length() -> None:
    one, other = state(1), state(2)
    merged = merge("slerp", None, [one, other], [0.5, 0.5], 0)
    name = "lm_head.weight"
    assert float(merged[name].norm()) == pytest.approx(float(one[name].norm()), rel=0.03)
    assert realised_shares(merged, None, [one, other]) == pytest.approx([0.5**0.5, 0.5**0.5], abs=0.03)


def test_ties_keeps_the_largest_changes_of_the_elected_sign() -> None:
    base = {"w": torch.zeros(1, 10)}
    one = {"w": torch.tensor([[9.0, -8, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]])}
    other = {"w": torch.tensor([[3.0, 6, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]])}
    merged = merge("ties", base, [one, other], [0.5, 0.5], 0)["w"]
    assert merged.tolist() == [[6.0, -8.0, *[0.0] * 8]]


def test_dare_drops_half_and_doubles_the_rest(family: tuple[State, list[State]]) -> None:
    base, (parent, _) = family
    merged = merge("dare_linear", base, [parent], [1.0], 3)
    name = "lm_head.weight"
    change, original = merged[name] - base[name], parent[name] - base[name]
    kept = change != 0
    assert float(kept.float().mean()) == pytest.approx(0.5, abs=0.04)
    assert torch.allclose(change[kept], 2 * original[kept], atol=1e-5)
    again = merge("dare_linear", base, [parent], [1.0], 3)
    assert torch.equal(again[name], merged[name])


def test_model_stock_of_orthogonal_changes_returns_to_the_base(family: tuple[State, list[State]]) -> None:
    base, parents = family
    merged = merge("model_stock", base, parents, [0.5, 0.5], 0)
    name = "lm_head.weight"
    assert float((merged[name] - base[name]).norm()) < 0.1 * float((parents[0][name] - base[name]).norm())


def test_passthrough_deals_layers_in_proportion(family: tuple[State, list[State]]) -> None:
    _, parents = family
    merged = merge("passthrough", None, parents, [0.75, 0.25], 0)
    assert layers_dealt(4, [0.75, 0.25]) == [0, 0, 0, 1]
    for layer, source in enumerate([0, 0, 0, 1]):
        name = f"model.layers.{layer}.mlp.up_proj.weight"
        assert torch.equal(merged[name], parents[source][name])
    assert torch.equal(merged["embed_tokens.weight"], parents[0]["embed_tokens.weight"])
    assert torch.equal(merged["lm_head.weight"], parents[1]["lm_head.weight"])


@pytest.mark.parametrize(
    ("kind", "base", "parents", "weights", "message"),
    [
        ("average", None, 2, [0.5, 0.5], "unknown kind"),
        ("ties", None, 2, [0.5, 0.5], "needs the parents' common base"),
        ("linear", None, 2, [1.0], "one weight per parent"),
        ("slerp", None, 1, [1.0], "two parents"),
    ],
)
def test_refusals(kind: str, base: State | None, parents: int, weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        merge(kind, base, [state(seed) for seed in range(parents)], weights, 0)


def test_models_of_other_shapes_do_not_merge() -> None:
    with pytest.raises(ValueError, match="same names and shapes"):
        merge("linear", None, [state(0), {"w": torch.zeros(2, 2)}], [0.5, 0.5], 0)
    assert {"ties", "model_stock"} <= NEED_BASE <= set(KINDS)
