"""Wrong answers to the exercises of notebook 06 that are not slips; see test_exercises.py."""

import torch
import torch.nn.functional as F

from ltm_edu import equations
from ltm_edu.store.pictures import VOID


def by_log_of_softmax(M, Y):
    p = M.softmax(dim=1)
    each = -torch.where(Y == 1, p[:, 1], p[:, 0]).log()
    counted = Y != VOID
    return (each * counted).sum() / counted.sum().clamp_min(1)


def by_sigmoid(M, Y):
    counted = Y != VOID
    each = F.binary_cross_entropy_with_logits(M[:, 1], (Y == 1).to(M.dtype), reduction="none")
    return (each * counted).sum() / counted.sum().clamp_min(1)


def down_to_the_grid(A_hat, Y):
    return equations.attention_loss(A_hat, Y[:, ::2, ::2])


def unclamped(A_hat, Y):
    a = F.interpolate(A_hat, Y.shape[1:], mode="bilinear", align_corners=True)[:, 0]
    return -torch.where(Y == 1, a, 1 - a).log()[Y != VOID].sum() / (Y != VOID).sum().clamp_min(1)


def builds_R(u_q, u_s, g_q, g_s):
    return F.mse_loss(u_q.mT @ u_s, g_q[:, :, None] * g_s[:, None])


def builds_each_R(u_q, u_s, g_q, g_s):
    each = [
        (u_q[b].T @ u_s[b] - torch.outer(g_q[b], g_s[b])).square().mean() for b in range(len(g_q))
    ]
    return torch.stack(each).mean()


def norm_without_square(u_q, u_s, g_q, g_s):
    return equations.relationship_loss_from_embeddings(u_q, u_s, g_q[:, None], g_s[:, None]).sqrt()


def loop_over_terms(sums, counts, lambdas):
    return sum(float(w) * s / n for s, n, w in zip(sums, counts, lambdas, strict=True) if n > 0)


def with_zeros_inserted_afterwards(each, Y):
    counted = Y != VOID
    return torch.where(counted.any(), (each * counted).sum() / counted.sum(), 0)


def mask_loss_hidden(M, Y):
    d = M[:, 1] - M[:, 0]
    return with_zeros_inserted_afterwards(F.softplus(torch.where(Y == 1, -d, d)), Y)


def attention_loss_hidden(A_hat, Y):
    a = F.interpolate(A_hat, Y.shape[1:], mode="bilinear", align_corners=True)[:, 0]
    a = a.clamp(1e-6, 1 - 1e-6)
    return with_zeros_inserted_afterwards(-torch.where(Y == 1, a, 1 - a).log(), Y)


def total_by_where(sums, counts, lambdas):
    return torch.where(lambdas == 0, 0, lambdas * sums / counts.clamp_min(1)).sum()


def total_without_infinite_sums(sums, counts, lambdas):
    return (lambdas * torch.where(sums.isinf(), 0, sums) / counts.clamp_min(1)).sum()


MUTANTS = [
    ("6.4", total_without_infinite_sums, "must make the loss infinite"),
    ("6.1", by_log_of_softmax, "The loss is infinite for large logits"),
    ("6.1", mask_loss_hidden, "NaN. where after a division"),
    ("6.1", by_sigmoid, "Only channel 1 is used"),
    ("6.1", lambda M, Y: F.cross_entropy(M, Y.clamp(max=1)), "255 is counted as object"),
    ("6.1", lambda M, Y: equations.mask_loss(M, Y).item(), "a float, expected a torch.Tensor"),
    ("6.1", lambda M, Y: equations.mask_loss(M, Y).detach(), "No gradient reaches M"),
    ("6.1", lambda M, Y: F.mse_loss(M.softmax(1)[:, 1], (Y == 1).to(M.dtype)), "expected 1.41"),
    ("6.1", lambda M, Y: equations.mask_loss(M, Y)[None], "shape (1,), expected ()"),
    ("6.2", down_to_the_grid, "expected 0.3798"),
    ("6.2", attention_loss_hidden, "NaN. where after a division"),
    ("6.2", unclamped, "Clamp it to [1e-6, 1 - 1e-6]"),
    ("6.2", lambda A, Y: equations.attention_loss(A, Y, form="released"), "the released code"),
    ("6.2", lambda A, Y: equations.attention_loss(A.round(), Y), "expected 0.3798"),
    ("6.2", lambda A, Y: equations.attention_loss(A.detach(), Y), "No gradient reaches A_hat"),
    ("6.2", lambda A, Y: equations.attention_loss(A, Y).float(), "computes it"),
    ("6.3", builds_R, "numbers was computed"),
    ("6.3", builds_each_R, "numbers was computed"),
    ("6.3", norm_without_square, "expected 0.312"),
    ("6.3", lambda u_q, u_s, g_q, g_s: F.mse_loss(u_q.mT @ g_q[..., None], u_s.mT @ g_s[..., None]),
     "0.005, expected 0.312"),
    ("6.3", lambda u_q, u_s, g_q, g_s: equations.relationship_loss_from_embeddings(
        u_q, u_s, 0 * g_q[:, None], g_s[:, None]), "expected 0.312"),
    ("6.4", lambda s, n, w: (w * s / n)[(w != 0) & (n > 0)].sum(),
     "NaN. Keep the divisor above 0"),
    ("6.4", loop_over_terms, "0 times infinity"),
    ("6.4", lambda s, n, w: (s / n) @ w, "A term with lambda 0 must be left out"),
    ("6.4", lambda s, n, w: (w * s / n).nan_to_num(0, posinf=0).sum(), "make the loss infinite"),
    ("6.4", lambda s, n, w: total_by_where(s.detach(), n, w), "No gradient reaches sums"),
    ("6.4", lambda s, n, w: (w * s / n).max(), "4, expected 6.5"),
    ("6.4", lambda s, n, w: ((w * s) / n).sum().item(), "a float, expected a torch.Tensor"),
    ("6.4", lambda s, n, w: equations.total_loss(*s), "44, expected 6.5"),
]  # fmt: skip
