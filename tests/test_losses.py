"""L on a model's output: equations 8 to 11 put together."""

import pytest
import torch
from torch import Tensor

from ltm_edu import losses
from ltm_edu.equations import (
    attention_loss,
    mask_loss,
    relationship_loss,
    relationship_matrix,
    relationship_truth,
)
from ltm_edu.losses import LossWeights, ltm_loss, overlap_loss
from ltm_edu.model import LTMOutput
from ltm_edu.store.errors import InputError


def batch(K: int = 1, m: int = 1) -> tuple[LTMOutput, Tensor, Tensor]:
    """What a model gives on two episodes; the truth; the truth on the grid."""
    out = LTMOutput(
        torch.randn(2, 2, 9, 9, requires_grad=True),
        torch.rand(2, 1, 4, 4).requires_grad_(),
        torch.randn(2, 5, 4, 4, requires_grad=True),
        torch.randn(2, K, 5, 4, 4, requires_grad=True),
        torch.rand(2, K, m, 4, 4),
    )
    Y = torch.randint(0, 2, (2, 9, 9))
    Y[:, 0] = 255
    return out, Y, torch.rand(2, m, 4, 4)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("form", ["printed", "released"])
@pytest.mark.parametrize(("K", "m"), [(1, 1), (3, 1), (2, 2)])
def test_L_is_the_weighted_sum_of_the_three_terms_with_R_of_every_shot(K, m, form, reduction):
    out, Y, G_q = batch(K, m)
    L, terms = ltm_loss(out, Y, G_q, LossWeights(0.5, 2, 3, form, reduction))
    squares = sum(
        relationship_loss(
            relationship_matrix(out.E_q[b : b + 1], out.E_s[b : b + 1, k]),
            relationship_truth(G_q[b : b + 1], out.G_s[b : b + 1, k]),
            "sum",
        )
        for b in range(2)
        for k in range(K)
    )
    L_r = squares if reduction == "sum" else squares / (2 * K * 16 * 16)
    L_m = mask_loss(out.M, Y, reduction)
    L_a = attention_loss(out.A_hat, Y, form, reduction)
    torch.testing.assert_close(L, 0.5 * L_m + 2 * L_a + 3 * L_r)
    torch.testing.assert_close(terms, {"L_m": L_m, "L_a": L_a, "L_r": L_r})


def test_the_weight_of_the_object_is_that_of_L_m_alone():
    out, Y, G_q = batch(1, 1)
    _, plain = ltm_loss(out, Y, G_q, LossWeights())
    _, weighted = ltm_loss(out, Y, G_q, LossWeights(object_weight=3))
    torch.testing.assert_close(weighted.pop("L_m"), mask_loss(out.M, Y, object_weight=3))
    del plain["L_m"]
    torch.testing.assert_close(weighted, plain)


def test_the_overlap_is_the_dice_coefficient_of_each_query():
    """For masks of 0 and 1: twice the common pixels over the sum of both, void left out."""
    Y = torch.zeros(2, 6, 6, dtype=torch.long)
    Y[0, :2, :3], Y[0, 5] = 1, 255  # 6 pixels, and a void row
    Y[1, :5, :5] = 1
    found = torch.zeros_like(Y)
    found[0, 1:, :3] = 1  # 3 of the 6, 9 others, 3 void
    found[1] = 1
    M = 50.0 * torch.stack([1 - found, found], dim=1)
    each = [1 - (2 * 3 + 1) / (6 + 12 + 1), 1 - (2 * 25 + 1) / (25 + 36 + 1)]
    torch.testing.assert_close(overlap_loss(M, Y), torch.tensor(each).mean())


def test_where_neither_shows_the_object_nothing_is_lost():
    M = torch.stack([torch.full((1, 4, 4), 50.0), torch.zeros(1, 4, 4)], dim=1)
    assert overlap_loss(M, torch.zeros(1, 4, 4)) == pytest.approx(0, abs=1e-6)
    assert overlap_loss(M, torch.full((1, 4, 4), 255)) == pytest.approx(0, abs=1e-6)


def test_the_overlap_joins_L_with_its_lambda_and_is_logged():
    out, Y, G_q = batch(1, 1)
    without, terms = ltm_loss(out, Y, G_q, LossWeights())
    assert "L_d" not in terms
    L, terms = ltm_loss(out, Y, G_q, LossWeights(lambda_d=2))
    torch.testing.assert_close(terms["L_d"], overlap_loss(out.M, Y))
    torch.testing.assert_close(L, without + 2 * terms["L_d"])


@pytest.mark.parametrize("weight", [0, -1, float("inf"), float("nan")])
def test_a_weight_that_counts_nothing_is_refused(weight):
    with pytest.raises(InputError, match="object_weight is"):
        LossWeights(object_weight=weight)


def test_each_term_reaches_its_own_part_of_the_network():
    for weights, reached in (
        (LossWeights(1, 0, 0), {"M"}),
        (LossWeights(0, 1, 0), {"A_hat"}),
        (LossWeights(0, 0, 1), {"E_q", "E_s"}),
    ):
        out, Y, G_q = batch()
        ltm_loss(out, Y, G_q, weights)[0].backward()
        moved = {
            name
            for name in ("M", "A_hat", "E_q", "E_s")
            if getattr(out, name).grad is not None and getattr(out, name).grad.any()
        }
        assert moved == reached


def test_a_term_is_reported_before_it_is_weighed_and_carries_no_gradient():
    out, Y, G_q = batch()
    _, once = ltm_loss(out, Y, G_q, LossWeights())
    _, tenfold = ltm_loss(out, Y, G_q, LossWeights(10, 10, 10))
    torch.testing.assert_close(once, tenfold)
    assert not any(v.requires_grad for v in once.values())


def test_L_r_is_left_out_where_its_lambda_is_0():
    out, Y, G_q = batch()
    L, terms = ltm_loss(out, Y, G_q, LossWeights(lambda_r=0))
    assert terms["L_r"].item() == 0
    torch.testing.assert_close(L.detach(), terms["L_m"] + terms["L_a"])


@pytest.mark.parametrize(("D", "by_gram"), [(5, True), (20, False)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_L_r_takes_the_cheaper_form_and_both_are_one_value(D, by_gram, reduction, monkeypatch):
    E_q, E_s = (torch.randn(2, D, 4, n, dtype=torch.float64, requires_grad=True) for n in (4, 5))
    G_q, G_s = torch.rand(2, 1, 4, 4).double(), torch.rand(2, 1, 4, 5).double()
    calls = []
    gram = losses.relationship_loss_from_embeddings
    monkeypatch.setattr(
        losses, "relationship_loss_from_embeddings", lambda *a: calls.append(1) or gram(*a)
    )
    ours = losses.relationship_loss_either_way(E_q, E_s, G_q, G_s, reduction)
    assert bool(calls) == by_gram
    other = gram(E_q, E_s, G_q, G_s, reduction)
    plain = relationship_loss(
        relationship_matrix(E_q, E_s), relationship_truth(G_q, G_s), reduction
    )
    for form in (other, plain):
        torch.testing.assert_close(ours, form)
        for mine, theirs in zip(
            torch.autograd.grad(ours, (E_q, E_s), retain_graph=True),
            torch.autograd.grad(form, (E_q, E_s), retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(mine, theirs)
