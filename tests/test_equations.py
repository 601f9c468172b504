"""Equations 1 to 11, each against another way to the same number."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import badly_scaled
from torch import Tensor

from ltm_edu.equations import (
    attended_features,
    attention,
    attention_from_embeddings,
    attention_loss,
    generalized_inverse,
    mask_loss,
    masked_features,
    normalize_attention,
    relationship_loss,
    relationship_loss_from_embeddings,
    relationship_matrix,
    relationship_truth,
    total_loss,
)

CASES = ("soft", "hard", "single_pixel")
CHANNELS = 7


@pytest.fixture(params=CASES)
def vectors(request, shared) -> dict[str, Tensor]:
    with np.load(shared / "vectors" / f"transformation_{request.param}.npz") as file:
        return {k: torch.from_numpy(file[k]) for k in file.files}


def masks(kind: str, rows: int, *grid: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Two masks with `rows` linearly independent rows on a grid, (2, rows, *grid)."""
    g = torch.rand(2, rows, *grid, dtype=dtype)
    if kind == "hard":
        g = (g > 0.6).to(dtype)
        g.flatten(2)[:, :, :rows] = torch.eye(rows, dtype=dtype)
    return g


def embeddings(scale: str, *grid: int, dtype: torch.dtype = torch.float32) -> Tensor:
    if scale == "bad":
        return badly_scaled(2, CHANNELS, *grid, dtype=dtype)
    return torch.randn(2, CHANNELS, *grid, dtype=dtype)


# The released implementation's own numbers


def test_relation_is_the_released_one(vectors):
    R = relationship_matrix(vectors["E_q"], vectors["E_s"])
    torch.testing.assert_close(R, vectors["R"], atol=1e-5, rtol=0)


def test_true_relation_is_the_released_one(vectors):
    R_truth = relationship_truth(vectors["G_q"], vectors["G_s"])
    torch.testing.assert_close(R_truth, vectors["R_truth"], atol=1e-6, rtol=0)


def test_attention_is_the_released_one(vectors):
    R = relationship_matrix(vectors["E_q"], vectors["E_s"])
    A_hat = normalize_attention(attention(R, vectors["G_s"])).view_as(vectors["A_hat"])
    torch.testing.assert_close(A_hat, vectors["A_hat"], atol=1e-4, rtol=0)


def test_attention_without_R_is_the_released_one(vectors):
    A = attention_from_embeddings(vectors["E_q"], vectors["E_s"], vectors["G_s"])
    A_hat = normalize_attention(A).view_as(vectors["A_hat"])
    torch.testing.assert_close(A_hat, vectors["A_hat"], atol=1e-4, rtol=0)


def test_relationship_loss_is_the_released_one(vectors):
    R = relationship_matrix(vectors["E_q"], vectors["E_s"])
    L_r = relationship_loss(R, relationship_truth(vectors["G_q"], vectors["G_s"]))
    torch.testing.assert_close(L_r, vectors["L_r_mean"], atol=1e-5, rtol=0)


def test_relationship_loss_without_R_is_the_released_one(vectors):
    L_r = relationship_loss_from_embeddings(*(vectors[k] for k in ("E_q", "E_s", "G_q", "G_s")))
    torch.testing.assert_close(L_r, vectors["L_r_mean"], atol=1e-5, rtol=0)


def test_attention_loss_is_the_released_one(vectors):
    L_a = attention_loss(vectors["A_hat"], vectors["Y"], form="released")
    torch.testing.assert_close(L_a, vectors["L_a_released"], atol=1e-5, rtol=0)


# Equation 1


def test_masked_features_are_a_product_at_every_pixel():
    F_s, G_s = torch.randn(2, 3, 4, 5), torch.rand(2, 1, 4, 5)
    masked = masked_features(F_s, G_s)
    for b in range(2):
        for i in range(4):
            for j in range(5):
                expected = F_s[b, :, i, j] * G_s[b, 0, i, j]
                torch.testing.assert_close(masked[b, :, i, j], expected)


# Equation 2


@pytest.mark.parametrize("scale", ["plain", "bad"])
def test_relation_is_the_cosine_of_query_row_and_support_column(scale):
    E_q, E_s = embeddings(scale, 6), embeddings(scale, 9)
    R = relationship_matrix(E_q, E_s)
    assert R.shape == (2, 6, 9)
    for b in range(2):
        for i in range(6):
            for j in range(9):
                cosine = F.cosine_similarity(E_q[b, :, i], E_s[b, :, j], dim=0)
                torch.testing.assert_close(R[b, i, j], cosine, atol=1e-6, rtol=0)


def test_maps_are_flattened_row_by_row():
    E_q, E_s = torch.randn(1, 3, 2, 4), torch.randn(1, 3, 5, 2)
    R = relationship_matrix(E_q, E_s)
    cosine = F.cosine_similarity(E_q[0, :, 1, 2], E_s[0, :, 3, 1], dim=0)
    torch.testing.assert_close(R[0, 1 * 4 + 2, 3 * 2 + 1], cosine)


def test_relation_differs_from_the_released_form_by_its_eps_alone():
    E_q, E_s = torch.randn(2, 64, 20), torch.randn(2, 64, 20)
    norms = E_q.norm(dim=1)[:, :, None] * E_s.norm(dim=1)[:, None]
    released = E_q.transpose(1, 2) @ E_s / (norms + 1e-5)
    torch.testing.assert_close(relationship_matrix(E_q, E_s), released, atol=1e-6, rtol=0)


def test_a_vector_without_length_relates_to_nothing():
    E_q, E_s = torch.randn(1, 4, 3), torch.randn(1, 4, 5)
    E_q[..., 1], E_s[..., 2] = 0, 1e-7
    E_q.requires_grad_()
    R = relationship_matrix(E_q, E_s)
    assert (R[0, 1] == 0).all()
    assert (R[0, :, 2] == 0).all()
    assert (R[0, 0, [0, 1, 3, 4]] != 0).all()
    R.sum().backward()
    assert E_q.grad.isfinite().all()


# Equation 3


@pytest.mark.parametrize("rows", [1, 2])
def test_true_relation_is_the_outer_product_of_the_masks(rows):
    G_q, G_s = torch.rand(2, rows, 2, 3), torch.rand(2, rows, 4, 2)
    R_truth = relationship_truth(G_q, G_s)
    assert R_truth.shape == (2, 6, 8)
    for b in range(2):
        g_q, g_s = G_q[b].reshape(rows, -1), G_s[b].reshape(rows, -1)
        expected = sum(torch.outer(g_q[m], g_s[m]) for m in range(rows))
        torch.testing.assert_close(R_truth[b], expected)


# Equations 4 and 5


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_generalized_inverse_is_the_pseudoinverse(kind, rows):
    G_s = masks(kind, rows, 30, dtype=torch.float64)
    torch.testing.assert_close(generalized_inverse(G_s, eps=0), torch.linalg.pinv(G_s))


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_generalized_inverse_meets_penroses_four_conditions(kind, rows):
    G = masks(kind, rows, 30, dtype=torch.float64)
    X = generalized_inverse(G, eps=0)
    torch.testing.assert_close(G @ X @ G, G)
    torch.testing.assert_close(X @ G @ X, X)
    torch.testing.assert_close((G @ X).mT, G @ X)
    torch.testing.assert_close((X @ G).mT, X @ G)


def test_nearly_equal_rows_are_told_apart_in_float32():
    row = torch.rand(1, 1, 50)
    G = torch.cat([row, row * (1 - 1e-3 * torch.rand(1, 1, 50))], dim=1)
    unit = G @ generalized_inverse(G, eps=0)
    torch.testing.assert_close(unit, torch.eye(2)[None], atol=2e-3, rtol=0)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_eps_is_added_to_the_diagonal(rows):
    g = masks("soft", rows, 12, dtype=torch.float64)
    eps = 0.3
    # Ridge regression as plain least squares: G_s^T with sqrt(eps) I under it.
    tall = torch.cat([g.mT, math.sqrt(eps) * torch.eye(rows).double().expand(2, -1, -1)], dim=1)
    target = torch.cat([torch.eye(12).double(), torch.zeros(rows, 12).double()]).expand(2, -1, -1)
    expected = torch.linalg.lstsq(tall, target).solution.mT
    torch.testing.assert_close(generalized_inverse(g, eps), expected)


@pytest.mark.parametrize("eps", [0, 1e-5])
def test_an_empty_row_has_an_inverse_of_zeros_and_leaves_the_others_alone(eps):
    G = masks("soft", 3, 20, dtype=torch.float64)
    G[:, 1] = 0
    others = generalized_inverse(G[:, [0, 2]], eps)
    X = generalized_inverse(G, eps)
    assert (X[..., 1] == 0).all()
    torch.testing.assert_close(X[..., [0, 2]], others)
    torch.testing.assert_close(generalized_inverse(G, eps=0), torch.linalg.pinv(G))


@pytest.mark.parametrize("eps", [0, 1e-5])
def test_an_empty_mask_attends_to_nothing(eps):
    R = torch.rand(1, 6, 8)
    for rows in (1, 2):
        A = attention(R, torch.zeros(1, rows, 8), eps)
        assert (A == 0).all()


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_attention_is_the_least_squares_solution(kind, rows):
    R, G_s = torch.randn(2, 5, 12).double(), masks(kind, rows, 12, dtype=torch.float64)
    # A G_s = R, transposed into the form that lstsq solves.
    expected = torch.linalg.lstsq(G_s.mT, R.mT).solution.mT
    A = attention(R, G_s, eps=0)
    torch.testing.assert_close(A.reshape(expected.shape), expected)


def test_attention_is_the_mean_relation_over_the_object():
    E_q, E_s = torch.randn(1, 5, 6), torch.randn(1, 5, 9)
    g = torch.tensor([0, 1, 1, 0, 0, 1, 0, 1, 0.0])
    A = attention(relationship_matrix(E_q, E_s), g[None, None], eps=0)
    for i in range(6):
        cosines = [
            F.cosine_similarity(E_q[0, :, i], E_s[0, :, j], dim=0) for j in range(9) if g[j] == 1
        ]
        torch.testing.assert_close(A[0, i], sum(cosines) / 4, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_the_inverse_returns_the_true_mask_from_the_true_relation(kind):
    G_q, G_s = masks(kind, 1, 4, 5), masks(kind, 1, 3, 6)
    A = attention(relationship_truth(G_q, G_s), G_s, eps=0)
    torch.testing.assert_close(A, G_q.flatten(1), atol=1e-5, rtol=0)


def test_the_inverse_un_mixes_two_soft_rows_and_the_transpose_does_not():
    G_s = torch.rand(1, 1, 40)
    G_s = torch.cat([G_s, 1 - G_s], dim=1)
    A_true = torch.rand(1, 7, 2)
    R = A_true @ G_s
    torch.testing.assert_close(attention(R, G_s, eps=0), A_true, atol=1e-5, rtol=0)
    by_transpose = R @ G_s.mT / G_s.sum(dim=2)[:, None]
    assert (by_transpose - A_true).abs().max() > 0.1


def test_with_one_shot_and_one_row_the_inverse_changes_nothing_after_min_max():
    R, G_s = torch.randn(2, 30, 30), torch.rand(2, 1, 30)
    with_inverse = normalize_attention(attention(R, G_s))
    without = normalize_attention((R @ G_s.mT).squeeze(2))
    torch.testing.assert_close(with_inverse, without, atol=1e-3, rtol=0)


def test_with_two_rows_the_inverse_changes_the_map():
    R = torch.randn(1, 30, 30)
    g = torch.rand(1, 1, 30)
    G_s = torch.cat([g, 1 - g], dim=1)
    A, by_transpose = attention(R, G_s), R @ G_s.mT
    difference = normalize_attention(A[..., 0]) - normalize_attention(by_transpose[..., 0])
    assert difference.abs().max() > 0.05


def test_masks_of_truth_values_and_integers_count_as_zeros_and_ones():
    G = torch.rand(1, 1, 9) > 0.5
    E = torch.randn(1, 3, 9)
    for same in (G, G.byte(), G.long()):
        assert torch.equal(generalized_inverse(same), generalized_inverse(G.float()))
        assert torch.equal(relationship_truth(same, same), relationship_truth(G.float(), G.float()))
        assert torch.equal(
            attention_from_embeddings(E, E, same), attention_from_embeddings(E, E, G.float())
        )


# The forms that never build R


def gradients(scalar: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(scalar, inputs)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("scale", ["plain", "bad"])
def test_attention_without_R_equals_attention_with_it(scale, kind, rows):
    E_q, E_s = embeddings(scale, 4, 5), embeddings(scale, 3, 6)
    G_s = masks(kind, rows, 3, 6)
    plain = attention(relationship_matrix(E_q, E_s), G_s)
    fast = attention_from_embeddings(E_q, E_s, G_s)
    assert fast.shape == ((2, 20) if rows == 1 else (2, 20, 2))
    torch.testing.assert_close(fast, plain, atol=3e-6, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("scale", ["plain", "bad"])
def test_attention_without_R_has_the_gradients_of_attention_with_it(scale, kind, rows):
    E_q = embeddings(scale, 10, dtype=torch.float64).requires_grad_()
    E_s = embeddings(scale, 12, dtype=torch.float64).requires_grad_()
    G_s = masks(kind, rows, 12, dtype=torch.float64).requires_grad_()
    plain = attention(relationship_matrix(E_q, E_s), G_s)
    weight = torch.randn_like(plain)
    by_R = gradients((plain * weight).sum(), E_q, E_s, G_s)
    fast = attention_from_embeddings(E_q, E_s, G_s)
    for ours, theirs in zip(gradients((fast * weight).sum(), E_q, E_s, G_s), by_R, strict=True):
        # Relative at every column: a long vector's gradient is small, and must still be right.
        torch.testing.assert_close(ours, theirs, atol=0, rtol=1e-7)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("scale", ["plain", "bad"])
def test_relationship_loss_without_R_equals_the_loss_with_it(scale, kind, rows, reduction):
    E_q, E_s = embeddings(scale, 4, 5), embeddings(scale, 3, 6)
    G_q, G_s = masks(kind, rows, 4, 5), masks(kind, rows, 3, 6)
    R, R_truth = relationship_matrix(E_q, E_s), relationship_truth(G_q, G_s)
    plain = relationship_loss(R, R_truth, reduction)
    fast = relationship_loss_from_embeddings(E_q, E_s, G_q, G_s, reduction)
    torch.testing.assert_close(fast, plain, atol=0, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize("scale", ["plain", "bad"])
def test_relationship_loss_without_R_has_the_gradients_of_the_loss_with_it(scale, kind, rows):
    E_q = embeddings(scale, 10, dtype=torch.float64).requires_grad_()
    E_s = embeddings(scale, 12, dtype=torch.float64).requires_grad_()
    G_q = masks(kind, rows, 10, dtype=torch.float64).requires_grad_()
    G_s = masks(kind, rows, 12, dtype=torch.float64).requires_grad_()
    inputs = (E_q, E_s, G_q, G_s)
    plain = relationship_loss(relationship_matrix(E_q, E_s), relationship_truth(G_q, G_s))
    by_R = gradients(plain, *inputs)
    fast = gradients(relationship_loss_from_embeddings(*inputs), *inputs)
    for ours, theirs in zip(fast, by_R, strict=True):
        torch.testing.assert_close(ours, theirs, atol=0, rtol=1e-7)


@pytest.mark.parametrize(("N", "D"), [(900, 64), (225, 256)])
def test_float32_keeps_four_digits_of_the_loss_without_R_at_grid_sizes(N, D):
    E_q, E_s = (badly_scaled(1, D, N).requires_grad_() for _ in range(2))
    G_q, G_s = torch.rand(1, 1, N), torch.rand(1, 1, N)
    plain = relationship_loss(relationship_matrix(E_q, E_s), relationship_truth(G_q, G_s))
    fast = relationship_loss_from_embeddings(E_q, E_s, G_q, G_s)
    torch.testing.assert_close(fast, plain, atol=0, rtol=1e-4)
    by_R, ours = gradients(plain, E_q, E_s), gradients(fast, E_q, E_s)
    for theirs, mine in zip(by_R, ours, strict=True):
        # Column by column: a long vector's gradient is small, and must still be right.
        off = (mine - theirs).norm(dim=1) / theirs.norm(dim=1)
        assert off.max() < 1e-4


def test_float32_loses_digits_without_R_only_where_the_loss_is_nearly_zero():
    def relative_error(noise: float) -> tuple[float, float]:
        g = (torch.arange(225) < 56).float()[None, None]
        on, rest_q, rest_s = torch.eye(64)[:3, None, :, None]
        E_q, E_s = (on * g + rest * (1 - g) for rest in (rest_q, rest_s))
        E_q, E_s = (E + noise * torch.randn(1, 64, 225) / 8 for E in (E_q, E_s))
        R, R_truth = relationship_matrix(E_q.double(), E_s.double()), relationship_truth(g, g)
        exact = relationship_loss(R, R_truth.double()).item()
        return exact, abs(relationship_loss_from_embeddings(E_q, E_s, g, g).item() / exact - 1)

    exact, error = relative_error(0.3)
    assert exact > 1e-3
    assert error < 1e-4
    exact, error = relative_error(0.003)
    assert exact < 1e-5
    assert error > 1e-4  # three large terms cancel; equations.relationship_loss does not suffer


def test_the_fast_forms_agree_with_R_where_vectors_have_no_length():
    E_q, E_s = torch.randn(1, 4, 6), torch.randn(1, 4, 8)
    E_q[..., 2], E_s[..., :3], E_s[..., 4] = 0, 0, 1e-8
    G_q, G_s = torch.rand(1, 1, 6), torch.rand(1, 1, 8)
    R, R_truth = relationship_matrix(E_q, E_s), relationship_truth(G_q, G_s)
    torch.testing.assert_close(attention_from_embeddings(E_q, E_s, G_s), attention(R, G_s))
    torch.testing.assert_close(
        relationship_loss_from_embeddings(E_q, E_s, G_q, G_s), relationship_loss(R, R_truth)
    )


# Equations 6 and 7


def test_min_max_stretches_each_image_by_itself():
    A = torch.randn(3, 1, 4, 5) * torch.tensor([1.0, 10, 0.1])[:, None, None, None] + 2
    A_hat = normalize_attention(A)
    for b in range(3):
        low, high = A[b].min(), A[b].max()
        torch.testing.assert_close(A_hat[b], (A[b] - low) / (high - low + 1e-5))
        assert A_hat[b].min() == 0
        assert A_hat[b].max() == pytest.approx(1, abs=1e-3)


def test_a_constant_map_becomes_zeros_with_finite_gradients():
    A = torch.full((2, 9), 0.7, requires_grad=True)
    A_hat = normalize_attention(A)
    assert (A_hat == 0).all()
    A_hat.sum().backward()
    assert A.grad.isfinite().all()


def test_attended_features_are_a_product_at_every_pixel():
    F_q, A_hat = torch.randn(2, 3, 4, 5), torch.rand(2, 1, 4, 5)
    attended = attended_features(F_q, A_hat)
    for b in range(2):
        for i in range(4):
            for j in range(5):
                expected = F_q[b, :, i, j] * A_hat[b, 0, i, j]
                torch.testing.assert_close(attended[b, :, i, j], expected)


# Equations 8 to 11


def truth_with_void(*shape: int) -> Tensor:
    Y = torch.randint(0, 2, shape)
    return torch.where(torch.rand(shape) < 0.2, 255, Y)


def test_mask_loss_is_binary_cross_entropy_of_the_difference_of_the_logits():
    M, Y = torch.randn(2, 2, 5, 6), truth_with_void(2, 5, 6)
    counted = Y != 255
    logits, labels = (M[:, 1] - M[:, 0])[counted], Y[counted].float()
    for reduction in ("mean", "sum"):
        expected = F.binary_cross_entropy_with_logits(logits, labels, reduction=reduction)
        torch.testing.assert_close(mask_loss(M, Y, reduction), expected)


def test_a_pixel_of_the_object_counts_as_often_as_its_weight_says():
    M, Y = torch.randn(2, 2, 5, 6), truth_with_void(2, 5, 6)
    logits, labels = (M[:, 1] - M[:, 0])[Y != 255], Y[Y != 255].float()
    for reduction in ("mean", "sum"):
        each = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        expected = getattr(each * (1 + 2 * labels), reduction)()
        torch.testing.assert_close(mask_loss(M, Y, reduction, object_weight=3), expected)


def test_printed_attention_loss_is_binary_cross_entropy_of_the_resized_map():
    A_hat, Y = torch.rand(2, 1, 4, 5), truth_with_void(2, 9, 11)
    probability = F.interpolate(A_hat, (9, 11), mode="bilinear", align_corners=True)[:, 0]
    counted = Y != 255
    for reduction in ("mean", "sum"):
        expected = F.binary_cross_entropy(
            probability[counted], Y[counted].float(), reduction=reduction
        )
        torch.testing.assert_close(attention_loss(A_hat, Y, reduction=reduction), expected)


def test_printed_attention_loss_is_clamped_where_the_map_is_surely_wrong():
    A_hat = torch.tensor([[[[0.0, 1.0]]]])
    Y = torch.tensor([[[1, 0]]])
    assert attention_loss(A_hat, Y).item() == pytest.approx(-math.log(1e-6), rel=1e-2)
    assert attention_loss(A_hat, 1 - Y).item() == pytest.approx(0, abs=1e-5)


def test_released_attention_loss_takes_probabilities_for_logits():
    A_hat, Y = torch.rand(1, 1, 4, 5), truth_with_void(1, 4, 5)
    losses = []
    for i in range(4):
        for j in range(5):
            a = A_hat[0, 0, i, j].item()
            chosen = {1: a, 0: 1 - a}.get(Y[0, i, j].item())
            if chosen is not None:
                losses.append(math.log(math.exp(a) + math.exp(1 - a)) - chosen)
    ours = attention_loss(A_hat, Y, form="released").item()
    assert ours == pytest.approx(sum(losses) / len(losses), abs=1e-6)


def test_released_attention_loss_has_a_floor_that_the_printed_one_has_not():
    floor = math.log(1 + math.exp(-1))
    Y = torch.randint(0, 2, (1, 8, 8))
    perfect = Y[:, None].float()
    assert attention_loss(perfect, Y, form="released").item() == pytest.approx(floor, abs=1e-6)
    assert attention_loss(perfect, Y).item() < 1e-5
    for _ in range(20):
        assert attention_loss(torch.rand(1, 1, 8, 8), Y, form="released").item() > floor


def test_relationship_loss_adds_up_every_entry():
    R, R_truth = torch.rand(2, 3, 4), torch.rand(2, 3, 4)
    total = sum(
        (R[b, i, j] - R_truth[b, i, j]) ** 2 for b in range(2) for i in range(3) for j in range(4)
    )
    torch.testing.assert_close(relationship_loss(R, R_truth, "sum"), total)
    torch.testing.assert_close(relationship_loss(R, R_truth), total / 24)


def test_the_printed_sum_is_160000_times_the_mean_at_a_grid_of_20():
    R, R_truth = torch.rand(1, 400, 400), torch.rand(1, 400, 400)
    ratio = relationship_loss(R, R_truth, "sum") / relationship_loss(R, R_truth, "mean")
    assert ratio.item() == pytest.approx(160_000, rel=1e-4)


def test_void_pixels_change_no_loss_and_get_no_gradient():
    M = torch.randn(1, 2, 4, 4, requires_grad=True)
    A_hat = torch.rand(1, 1, 4, 4).requires_grad_()
    Y = torch.randint(0, 2, (1, 4, 4))
    Y[0, 1] = 255
    mask_loss(M, Y).backward()
    attention_loss(A_hat, Y).backward()
    assert (M.grad[..., 1, :] == 0).all()
    assert (A_hat.grad[..., 1, :] == 0).all()
    assert (M.grad[..., 0, :] != 0).all()


def test_a_truth_of_void_alone_costs_nothing():
    M = torch.randn(1, 2, 4, 4, requires_grad=True)
    Y = torch.full((1, 4, 4), 255)
    for reduction in ("mean", "sum"):
        loss = mask_loss(M, Y, reduction)
        assert loss.item() == 0
        assert attention_loss(torch.rand(1, 1, 4, 4), Y, reduction=reduction).item() == 0
    loss.backward()
    assert (M.grad == 0).all()


def test_the_lambdas_weigh_their_own_terms():
    terms = [torch.tensor(v, requires_grad=True) for v in (0.3, 0.5, 0.7)]
    L = total_loss(*terms, lambda_m=2, lambda_a=3, lambda_r=5)
    assert L.item() == pytest.approx(2 * 0.3 + 3 * 0.5 + 5 * 0.7)
    assert [g.item() for g in gradients(L, *terms)] == [2, 3, 5]


# Derivatives


@pytest.mark.parametrize("form", ["printed", "released"])
@pytest.mark.parametrize("rows", [1, 2])
def test_finite_differences_confirm_the_gradient_of_the_whole_chain(rows, form):
    G_s, G_q = (torch.rand(1, rows, 3, 3).double() for _ in range(2))
    Y = torch.randint(0, 2, (1, 6, 6))

    def chain(F_s: Tensor, F_q: Tensor, G: Tensor) -> Tensor:
        E_s = masked_features(F_s, G[:, :1])
        A = attention(relationship_matrix(F_q, E_s), G)
        A_hat = normalize_attention(A if rows == 1 else A[..., 0] - A[..., 1]).view(1, 1, 3, 3)
        # Inside the clamp's range the printed form is smooth; at its ends it is not.
        L_a = attention_loss(0.02 + 0.96 * A_hat, Y, form)
        M = F.interpolate(attended_features(F_q, A_hat)[:, :2], scale_factor=2)
        R_truth = relationship_truth(G_q, G)
        return total_loss(
            mask_loss(M, Y), L_a, relationship_loss(relationship_matrix(F_q, E_s), R_truth)
        )

    F_s, F_q = (torch.randn(1, 3, 3, 3).double().requires_grad_() for _ in range(2))
    G = (0.1 + 0.8 * G_s).requires_grad_()
    assert torch.autograd.gradcheck(chain, (F_s, F_q, G))


@pytest.mark.parametrize("rows", [1, 2])
def test_finite_differences_confirm_the_gradients_of_the_fast_forms(rows):
    E_q, E_s = (torch.randn(1, 3, 6).double().requires_grad_() for _ in range(2))
    G_q, G_s = (torch.rand(1, rows, 6).double().mul(0.8).add(0.1) for _ in range(2))
    G_q, G_s = G_q.requires_grad_(), G_s.requires_grad_()
    assert torch.autograd.gradcheck(attention_from_embeddings, (E_q, E_s, G_s))
    assert torch.autograd.gradcheck(relationship_loss_from_embeddings, (E_q, E_s, G_q, G_s))


# Errors

MAP, MASK = torch.rand(2, 3, 4, 4), torch.rand(2, 1, 4, 4)
COLUMNS, ROW = torch.rand(2, 3, 16), torch.rand(2, 1, 16)
RELATION = torch.rand(2, 16, 16)
TRUTH = torch.ones(2, 8, 8, dtype=torch.long)


def spoilt(x: Tensor, value: float) -> Tensor:
    x = x.clone()
    x.flatten()[-1] = value
    return x


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("named", "call"),
    [
        ("F_s", lambda: masked_features(COLUMNS, MASK)),
        ("G_s", lambda: masked_features(MAP, ROW)),
        ("G_s", lambda: masked_features(MAP, MASK[..., :3])),
        ("G_s", lambda: masked_features(MAP, MASK[:1])),
        ("G_s", lambda: masked_features(MAP, MAP[:, :2])),
        ("G_s", lambda: masked_features(MAP, spoilt(MASK, 1.01))),
        ("G_s", lambda: masked_features(MAP, spoilt(MASK, -0.01))),
        ("G_s", lambda: masked_features(MAP, spoilt(MASK, NAN))),
        ("E_q", lambda: relationship_matrix(MAP[0, 0], MAP)),
        ("E_s", lambda: relationship_matrix(MAP, MAP[0, 0])),
        ("E_q", lambda: relationship_matrix(spoilt(MAP, NAN), MAP)),
        ("E_s", lambda: relationship_matrix(MAP, spoilt(MAP, INF))),
        ("E_s", lambda: relationship_matrix(MAP, MAP[:, :2])),
        ("E_s", lambda: relationship_matrix(MAP, MAP[:1])),
        ("G_q", lambda: relationship_truth(MASK[0, 0], MASK)),
        ("G_s", lambda: relationship_truth(MASK, MASK[0, 0])),
        ("G_s", lambda: relationship_truth(MASK, spoilt(MASK, 255))),
        ("G_q", lambda: relationship_truth(spoilt(MASK, NAN), MASK)),
        ("G_s", lambda: relationship_truth(MASK, MAP)),
        ("G_s", lambda: generalized_inverse(MASK[0, 0])),
        ("G_s", lambda: generalized_inverse(spoilt(ROW, NAN))),
        ("G_s", lambda: generalized_inverse(spoilt(ROW, 2))),
        ("R", lambda: attention(RELATION[0], ROW)),
        ("R", lambda: attention(RELATION[:, :, :9], ROW)),
        ("R", lambda: attention(RELATION[:1], ROW)),
        ("R", lambda: attention(spoilt(RELATION, NAN), ROW)),
        ("G_s", lambda: attention(RELATION, spoilt(ROW, -1))),
        ("E_q", lambda: attention_from_embeddings(spoilt(COLUMNS, NAN), COLUMNS, ROW)),
        ("E_s", lambda: attention_from_embeddings(COLUMNS, COLUMNS[:, :2], ROW)),
        ("G_s", lambda: attention_from_embeddings(COLUMNS, COLUMNS, ROW[..., :9])),
        ("G_s", lambda: attention_from_embeddings(COLUMNS, COLUMNS, ROW[:1])),
        ("G_s", lambda: attention_from_embeddings(COLUMNS, COLUMNS, spoilt(ROW, NAN))),
        ("A", lambda: normalize_attention(torch.rand(5))),
        ("A", lambda: normalize_attention(spoilt(torch.rand(2, 5), NAN))),
        ("F_q", lambda: attended_features(COLUMNS, MASK)),
        ("A_hat", lambda: attended_features(MAP, MASK[..., :3])),
        ("A_hat", lambda: attended_features(MAP, ROW)),
        ("M", lambda: mask_loss(torch.rand(2, 3, 8, 8), TRUTH)),
        ("M", lambda: mask_loss(torch.rand(2, 2, 8), TRUTH)),
        ("Y", lambda: mask_loss(torch.rand(2, 2, 8, 8), TRUTH[:, None])),
        ("Y", lambda: mask_loss(torch.rand(2, 2, 8, 8), TRUTH * 7)),
        ("reduction", lambda: mask_loss(torch.rand(2, 2, 8, 8), TRUTH, "none")),
        ("A_hat", lambda: attention_loss(MAP, TRUTH)),
        ("A_hat", lambda: attention_loss(spoilt(MASK, 1.5), TRUTH)),
        ("A_hat", lambda: attention_loss(spoilt(MASK, NAN), TRUTH)),
        ("Y", lambda: attention_loss(MASK, TRUTH[0])),
        ("Y", lambda: attention_loss(MASK, TRUTH[:1])),
        ("Y", lambda: attention_loss(MASK, TRUTH * 3)),
        ("form", lambda: attention_loss(MASK, TRUTH, "other")),
        ("R_truth", lambda: relationship_loss(RELATION, RELATION[:, :3])),
        ("R", lambda: relationship_loss(RELATION[0], RELATION[0])),
        ("reduction", lambda: relationship_loss(RELATION, RELATION, "none")),
        ("E_q", lambda: relationship_loss_from_embeddings(COLUMNS[0], COLUMNS, ROW, ROW)),
        ("G_q", lambda: relationship_loss_from_embeddings(MAP, MAP, ROW[..., :9], ROW)),
        ("G_s", lambda: relationship_loss_from_embeddings(MAP, MAP, ROW, ROW[..., :9])),
        ("G_s", lambda: relationship_loss_from_embeddings(MAP, MAP, ROW, spoilt(ROW, NAN))),
    ],
)  # fmt: skip
def test_an_error_names_the_argument_and_what_came(named, call):
    with pytest.raises(ValueError, match=rf"\b{named}\b (has|holds|is|\()") as raised:
        call()
    assert "\n" not in str(raised.value)


def test_a_rounding_error_of_a_resize_is_no_value_outside_the_mask():
    assert torch.isfinite(generalized_inverse(spoilt(ROW, 1 + 5e-5))).all()
