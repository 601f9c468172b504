"""Every transformation, each against its definition written out pixel by pixel."""

import subprocess
import sys
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from helpers import badly_scaled
from torch import Tensor, nn

from ltm_edu.equations import (
    attention,
    attention_from_embeddings,
    normalize_attention,
    relationship_matrix,
)
from ltm_edu.transformations import (
    GlobalTransformation,
    LocalTransformation,
    MaximumTransformation,
    PartsTransformation,
    ReverseTransformation,
    RidgeTransformation,
    SelfRidgeTransformation,
    SelfSupportTransformation,
    Shots,
    SoftmaxTransformation,
    TopTransformation,
)

KINDS = {
    "fg, mean": LocalTransformation("fg", "mean"),
    "fg, stack": LocalTransformation("fg", "stack"),
    "fg_bg, mean": LocalTransformation("fg_bg", "mean"),
    "fg_bg, stack": LocalTransformation("fg_bg", "stack"),
    "fg, renormalized": LocalTransformation("fg", "renormalized"),
    "self_support, renormalized": SelfSupportTransformation("fg_bg", "renormalized"),
    "global": GlobalTransformation(),
    "maximum": MaximumTransformation(),
    "top_k": TopTransformation(),
    "softmax": SoftmaxTransformation(),
    "parts": PartsTransformation(parts=2),
    "ridge": RidgeTransformation(),
    "reverse": ReverseTransformation(),
    "reverse, stack": ReverseTransformation(shots="stack"),
    "self_support, one row": SelfSupportTransformation("fg"),
    "self_support, two rows": SelfSupportTransformation("fg_bg"),
    "self_ridge": SelfRidgeTransformation(),
}


@pytest.fixture(params=KINDS)
def module(request) -> nn.Module:
    return KINDS[request.param]


def episode(B: int = 2, K: int = 1, D: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """E_q, E_s and G_s on grids of different shapes."""
    return torch.randn(B, D, 4, 5), torch.randn(B, K, D, 3, 6), torch.rand(B, K, 1, 3, 6)


def by_loops(E_q: Tensor, E_s: Tensor, G_s: Tensor, rows: str) -> Tensor:
    """The mean over shots of equations 2, 5 and 6 as printed, R and all."""
    maps = []
    for b in range(E_q.shape[0]):
        of_shots = []
        for k in range(E_s.shape[1]):
            G = G_s[b : b + 1, k]
            R = relationship_matrix(E_q[b : b + 1], E_s[b : b + 1, k])
            if rows == "fg":
                A = attention(R, G)
            else:
                both = attention(R, torch.cat([G, 1 - G], dim=1))
                A = both[..., 0] - both[..., 1]
            of_shots.append(normalize_attention(A).reshape(1, *E_q.shape[-2:]))
        maps.append(sum(of_shots) / len(of_shots))
    return torch.stack(maps)


@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("rows", ["fg", "fg_bg"])
@pytest.mark.parametrize("scale", ["plain", "bad"])
def test_local_map_is_the_mean_over_shots_of_the_printed_equations(rows, K, scale):
    E_q, E_s, G_s = episode(K=K)
    if scale == "bad":
        E_q = badly_scaled(*E_q.shape)
        E_s = torch.stack([badly_scaled(2, 6, 3, 6) for _ in range(K)], dim=1)
    A_hat = LocalTransformation(rows)(E_q, E_s, G_s)
    torch.testing.assert_close(A_hat, by_loops(E_q, E_s, G_s, rows), atol=2e-5, rtol=0)


@pytest.mark.parametrize("rows", ["fg", "fg_bg"])
def test_with_one_shot_all_ways_to_join_shots_are_the_same(rows):
    E_q, E_s, G_s = episode()
    maps = [LocalTransformation(rows, shots)(E_q, E_s, G_s) for shots in get_args(Shots)]
    for other in maps[1:]:
        torch.testing.assert_close(other, maps[0])


def test_maps_that_do_not_agree_are_joined_to_a_map_from_0_to_1():
    E_q, E_s, G_s = episode(K=4)
    mean = LocalTransformation(shots="mean")(E_q, E_s, G_s)
    ours = LocalTransformation(shots="renormalized")(E_q, E_s, G_s)
    assert (mean.flatten(1).amax(dim=1) < 0.95).all()
    low, high = (f(mean, dim=(1, 2, 3), keepdim=True) for f in (torch.amin, torch.amax))
    torch.testing.assert_close(ours, (mean - low) / (high - low), atol=1e-4, rtol=0)


def test_the_query_supports_itself_from_the_joined_map():
    E_q, E_s, G_s = episode(K=4)
    mean, ours = (
        SelfSupportTransformation(shots=shots)(E_q, E_s, G_s) for shots in ("mean", "renormalized")
    )
    assert (ours - mean).abs().max() > 0.05
    torch.testing.assert_close(
        ours.flatten(1).amax(dim=1), torch.ones(len(ours)), atol=0.05, rtol=0
    )


def test_stacked_shots_average_over_the_pixels_of_all_supports():
    E_q, E_s, G_s = episode(B=1, K=3)
    G_s = (G_s > 0.7).float()
    on = [(k, i, j) for k, i, j in torch.cartesian_prod(*map(torch.arange, (3, 3, 6))).tolist()]
    on = [(k, i, j) for k, i, j in on if G_s[0, k, 0, i, j] == 1]
    A = torch.stack(
        [F.cosine_similarity(E_q[0], E_s[0, k, :, i, j, None, None], dim=0) for k, i, j in on]
    )
    expected = normalize_attention(A.mean(dim=0)[None, None])
    ours = LocalTransformation(shots="stack")(E_q, E_s, G_s)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    by_mean = LocalTransformation(shots="mean")(E_q, E_s, G_s)
    assert (ours - by_mean).abs().max() > 0.01


def test_a_hard_mask_of_two_rows_sets_the_object_against_the_background():
    E_q, E_s, G_s = episode(B=1)
    g = G_s[0, 0, 0] > 0.5
    cosine = F.cosine_similarity(E_q[0, :, :, :, None], E_s[0, 0].flatten(1)[:, None, None], dim=0)
    difference = cosine[..., g.flatten()].mean(-1) - cosine[..., ~g.flatten()].mean(-1)
    ours = LocalTransformation("fg_bg")(E_q, E_s, g[None, None, None].float())
    expected = normalize_attention(difference[None, None])
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


def test_from_the_difference_of_two_soft_rows_the_inverse_cancels():
    E_q, E_s, G_s = (x.double() for x in episode(B=1))
    g = G_s[0, 0, 0].flatten()
    assert ((g > 0.1) & (g < 0.9)).any()
    cosine = F.cosine_similarity(
        E_q[0].flatten(1)[:, :, None], E_s[0, 0].flatten(1)[:, None], dim=0
    )
    means = [(cosine * w).sum(-1) / w.sum() for w in (g, 1 - g)]
    ours = LocalTransformation("fg_bg")(E_q, E_s, G_s).flatten()
    torch.testing.assert_close(
        ours, normalize_attention((means[0] - means[1])[None])[0], atol=1e-4, rtol=0
    )
    # Each column by itself is another map than the mean: there the inverse does its work.
    rows = torch.cat([G_s[:, 0], 1 - G_s[:, 0]], dim=1)
    column = normalize_attention(attention_from_embeddings(E_q, E_s[:, 0], rows)[..., 0])[0]
    assert (column - normalize_attention(means[0][None])[0]).abs().max() > 0.01


def test_global_map_is_a_cosine_with_the_mask_weighted_mean():
    E_q, E_s, G_s = episode(B=2, K=2)
    A_hat = GlobalTransformation()(E_q, E_s, G_s)
    for b in range(2):
        maps = []
        for k in range(2):
            weighted = torch.zeros(6)
            for i in range(3):
                for j in range(6):
                    weighted += G_s[b, k, 0, i, j] * E_s[b, k, :, i, j]
            prototype = (weighted / G_s[b, k].sum())[:, None, None]
            maps.append(normalize_attention(F.cosine_similarity(E_q[b], prototype, dim=0)[None]))
        torch.testing.assert_close(A_hat[b], torch.stack(maps).mean(0), atol=2e-5, rtol=0)


def test_on_unit_vectors_global_and_local_give_one_map():
    E_q, E_s, G_s = episode()
    unit = F.normalize(E_s, dim=2)
    local, pooled = LocalTransformation()(E_q, unit, G_s), GlobalTransformation()(E_q, unit, G_s)
    torch.testing.assert_close(local, pooled, atol=1e-3, rtol=0)


def test_local_ignores_how_long_support_vectors_are_and_global_does_not():
    E_q, E_s, G_s = episode()
    longer = E_s * torch.rand(2, 1, 1, 3, 6).mul(3).exp()
    local, pooled = LocalTransformation(), GlobalTransformation()
    torch.testing.assert_close(local(E_q, longer, G_s), local(E_q, E_s, G_s), atol=1e-5, rtol=0)
    assert (pooled(E_q, longer, G_s) - pooled(E_q, E_s, G_s)).abs().max() > 0.02


def test_a_map_lies_between_0_and_1_on_the_querys_grid(module):
    A_hat = module(*episode(K=3))
    assert A_hat.shape == (2, 1, 4, 5)
    assert A_hat.min() >= 0
    assert A_hat.max() <= 1


def test_an_episode_does_not_see_the_others_in_its_batch(module):
    E_q, E_s, G_s = episode(B=3, K=2)
    together = module(E_q, E_s, G_s)
    for b in range(3):
        alone = module(E_q[b : b + 1], E_s[b : b + 1], G_s[b : b + 1])
        torch.testing.assert_close(together[b : b + 1], alone, atol=1e-5, rtol=0)


def test_the_order_of_the_supports_does_not_matter(module):
    E_q, E_s, G_s = episode(K=3)
    order = [2, 0, 1]
    shuffled = module(E_q, E_s[:, order], G_s[:, order])
    torch.testing.assert_close(shuffled, module(E_q, E_s, G_s), atol=1e-5, rtol=0)


def test_a_support_belongs_to_its_mask(module):
    E_q, E_s, G_s = episode(K=3)
    swapped = module(E_q, E_s, G_s[:, [2, 0, 1]])
    assert (swapped - module(E_q, E_s, G_s)).abs().max() > 0.01


def test_an_empty_mask_gives_a_map_of_zeros_and_finite_gradients(module):
    E_q, E_s, G_s = (x.requires_grad_() for x in episode(K=2))
    A_hat = module(E_q, E_s, G_s * 0)
    assert (A_hat == 0).all()
    A_hat.sum().backward()
    for x in (E_q, E_s, G_s):
        assert x.grad is None or x.grad.isfinite().all()


def test_a_full_mask_gives_a_finite_map_and_finite_gradients(module):
    E_q, E_s, G_s = episode()
    E_q.requires_grad_()
    A_hat = module(E_q, E_s, torch.ones_like(G_s))
    assert A_hat.isfinite().all()
    if not isinstance(module, SoftmaxTransformation):  # all weight falls on the object, everywhere
        assert A_hat.max() > 0.99
    A_hat.sum().backward()
    assert E_q.grad.isfinite().all()


def test_an_image_of_one_colour_gives_a_map_of_zeros(module):
    E_q, E_s, G_s = episode()
    E_q = E_q[..., :1, :1].expand_as(E_q)
    torch.testing.assert_close(module(E_q, E_s, G_s), torch.zeros(2, 1, 4, 5), atol=0.05, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_finite_differences_confirm_the_gradient(kind):
    E_q = torch.randn(1, 3, 2, 3).double().requires_grad_()
    E_s = torch.randn(1, 2, 3, 2, 2).double().requires_grad_()
    G_s = torch.rand(1, 2, 1, 2, 2).double().mul(0.8).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(KINDS[kind], (E_q, E_s, G_s))


def test_only_one_row_lets_the_support_be_masked_first():
    assert LocalTransformation("fg").masks_support
    assert GlobalTransformation().masks_support
    assert not LocalTransformation("fg_bg").masks_support


def test_mask_rows_are_the_object_and_its_complement():
    G = torch.rand(2, 1, 3, 4)
    assert torch.equal(LocalTransformation("fg").mask_rows(G), G)
    assert torch.equal(GlobalTransformation().mask_rows(G), G)
    rows = LocalTransformation("fg_bg").mask_rows(G)
    assert torch.equal(rows[:, :1], G)
    assert torch.equal(rows.sum(dim=1, keepdim=True), torch.ones_like(G))


def test_only_softmax_matching_has_something_to_train(module):
    trained = {name: p.numel() for name, p in module.named_parameters()}
    assert trained == ({"log_temperature": 1} if isinstance(module, SoftmaxTransformation) else {})
    assert module.state_dict().keys() == trained.keys()


def test_wrong_shapes_are_named(module):
    E_q, E_s, G_s = episode()
    for named, spoilt in (
        ("E_q", (E_q[0], E_s, G_s)),
        ("E_s", (E_q, E_s[:, 0], G_s)),
        ("E_s", (E_q, E_s[:, :, :4], G_s)),
        ("E_s", (E_q, E_s[:1], G_s)),
        ("G_s", (E_q, E_s, G_s[:, 0])),
        ("G_s", (E_q, E_s, G_s[..., :4])),
        ("G_s", (E_q, E_s, G_s.expand(2, 1, 2, 3, 6))),
    ):
        with pytest.raises(ValueError, match=f"^{named} has shape .*, expected"):
            module(*spoilt)


@pytest.mark.parametrize(("named", "options"), [("rows", ("bg",)), ("shots", ("fg", "max"))])
def test_unknown_options_are_named(named, options):
    with pytest.raises(ValueError, match=f"^{named} is .*, expected"):
        LocalTransformation(*options)


def test_the_printout_shows_the_options():
    assert repr(LocalTransformation("fg_bg", "stack")) == (
        "LocalTransformation(rows='fg_bg', shots='stack')"
    )


# --- the league, each against its definition ------------------------------------------------------


def one_episode() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """E_q (D, N_q), E_s (D, N_s), a hard mask (N_s) with object and background, and R."""
    E_q, E_s = torch.randn(5, 12), torch.randn(5, 14)
    g = torch.tensor([1.0, 0.0] * 7)
    return E_q, E_s, g, relationship_matrix(E_q[None], E_s[None])[0]


def relate(module: nn.Module, E_q: Tensor, E_s: Tensor, g: Tensor) -> Tensor:
    return module.relate(E_q[None], E_s[None], g[None, None])[0]


def test_maximum_is_the_largest_cosine_with_the_object():
    E_q, E_s, g, R = one_episode()
    A = [max(R[i, j] for j in range(14) if g[j]) for i in range(12)]
    torch.testing.assert_close(relate(MaximumTransformation(), E_q, E_s, g), torch.stack(A))


def test_top_k_is_the_mean_of_the_best_matches_of_object_minus_background():
    E_q, E_s, g, R = one_episode()
    A = []
    for i in range(12):
        best = [sorted(R[i, j].item() for j in range(14) if g[j] == v)[-3:] for v in (1, 0)]
        A.append(sum(best[0]) / 3 - sum(best[1]) / 3)  # 0.4 of 7 pixels: 3
    module = TopTransformation(share=0.4)
    torch.testing.assert_close(relate(module, E_q, E_s, g), torch.tensor(A), atol=1e-5, rtol=0)


def test_softmax_matching_is_the_objects_part_of_the_weights():
    E_q, E_s, g, R = one_episode()
    weights = torch.exp(R / 0.1)
    A = (weights * g).sum(dim=1) / weights.sum(dim=1)
    torch.testing.assert_close(relate(SoftmaxTransformation(0.1), E_q, E_s, g), A)


def test_the_temperature_of_softmax_matching_learns():
    module = SoftmaxTransformation()
    module(*episode()).square().mean().backward()
    assert module.log_temperature.grad.abs() > 0


def test_ridge_is_the_regression_from_features_to_the_mask():
    E_q, E_s, g, _ = one_episode()
    u_q, u_s = F.normalize(E_q, dim=0).double(), F.normalize(E_s, dim=0).double()
    w = torch.linalg.inv(u_s @ u_s.T + 2 * torch.eye(5).double()) @ u_s @ g.double()
    A = relate(RidgeTransformation(ridge=2.0), E_q, E_s, g)
    torch.testing.assert_close(A.double(), u_q.T @ w, atol=1e-5, rtol=0)


def test_ridge_works_in_the_main_thread_after_it_worked_in_others():
    """An LU decomposition hung here: evaluation with one thread in each, then training with two."""
    program = """
import torch
from ltm_edu.runs.threads import in_parallel
from ltm_edu.transformations import RidgeTransformation
torch.set_num_threads(2)
ridge, E, G = RidgeTransformation(), torch.rand(8, 64, 21, 21), torch.rand(8, 1, 1, 21, 21)
list(in_parallel(lambda i: ridge(E[:4], E[:4, None], G[:4]), range(8)))
assert ridge(E, E[:, None], G).isfinite().all()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_with_a_large_lambda_ridge_is_the_papers_mean_up_to_a_factor():
    E_q, E_s, g, _ = one_episode()
    ridge = normalize_attention(relate(RidgeTransformation(1e6), E_q, E_s, g)[None] * 1e6)
    mean = normalize_attention(relate(LocalTransformation(), E_q, E_s, g)[None])
    torch.testing.assert_close(ridge, mean, atol=1e-3, rtol=0)


def test_reverse_matching_counts_the_votes_of_object_and_background():
    E_q, E_s, g, R = one_episode()
    votes = torch.exp(R / 0.1) / torch.exp(R / 0.1).sum(dim=0)
    A = votes[:, g == 1].mean(dim=1) - votes[:, g == 0].mean(dim=1)
    torch.testing.assert_close(relate(ReverseTransformation(0.1), E_q, E_s, g), A)


def test_parts_keep_two_kinds_of_object_apart_where_the_mean_mixes_them():
    a, b, c = torch.eye(3)
    E_s = torch.stack([a, a, a, a, b, c, c, c], dim=1)  # a large part, a small one, background
    g = torch.tensor([1.0, 1, 1, 1, 1, 0, 0, 0])
    E_q = torch.stack([a, b, c], dim=1)
    parts = relate(PartsTransformation(parts=2), E_q, E_s, g)
    torch.testing.assert_close(parts, torch.tensor([1.0, 1, -1]), atol=1e-4, rtol=0)
    mean = relate(LocalTransformation("fg_bg"), E_q, E_s, g)
    torch.testing.assert_close(mean, torch.tensor([0.8, 0.2, -1]), atol=1e-4, rtol=0)


def test_with_one_part_each_parts_are_the_two_rows_of_the_paper():
    E_q, E_s, g, _ = one_episode()
    one = relate(PartsTransformation(parts=1), E_q, E_s, g)
    torch.testing.assert_close(one, relate(LocalTransformation("fg_bg"), E_q, E_s, g))


@pytest.mark.parametrize("K", [1, 3])
def test_self_support_applies_the_equations_once_more_to_the_query(K):
    E_q, E_s, G_s = episode(K=K)
    first = LocalTransformation("fg_bg")(E_q, E_s, G_s)
    expected = []
    for b in range(2):
        sure, other = first[b, 0] >= 0.7, first[b, 0] <= 0.3
        R = relationship_matrix(E_q[b : b + 1], E_q[b : b + 1])[0]
        A = R[:, sure.flatten()].mean(dim=1) - R[:, other.flatten()].mean(dim=1)
        expected.append((first[b] + normalize_attention(A[None]).reshape(1, 4, 5)) / 2)
    A_hat = SelfSupportTransformation("fg_bg", surely=0.7)(E_q, E_s, G_s)
    torch.testing.assert_close(A_hat, torch.stack(expected), atol=1e-4, rtol=0)


@pytest.mark.parametrize("K", [1, 3])
def test_self_ridge_is_one_regression_on_the_supports_and_the_querys_confident_pixels(K):
    E_q, E_s, G_s = episode(K=K)
    expected = []
    for b in range(2):
        found = RidgeTransformation(2.0)(E_q[b : b + 1], E_s[b : b + 1], G_s[b : b + 1])[0, 0]
        u_q = F.normalize(E_q[b].flatten(1), dim=0)
        for _ in range(2):
            kept = [j for j in range(20) if not 0.3 < found.flatten()[j] < 0.7]
            own = (found.flatten()[kept] >= 0.7).float()
            u = torch.cat(
                [F.normalize(E.flatten(1), dim=0) for E in E_s[b]] + [u_q[:, kept]], dim=1
            )
            g = torch.cat([G_s[b].flatten(), own])
            w = torch.linalg.inv(u @ u.T + 2 * torch.eye(6)) @ u @ g
            found = normalize_attention((u_q.T @ w)[None]).reshape(4, 5)
        expected.append(found[None])
    A_hat = SelfRidgeTransformation(2.0, surely=0.7, rounds=2)(E_q, E_s, G_s)
    torch.testing.assert_close(A_hat, torch.stack(expected), atol=1e-3, rtol=0)
