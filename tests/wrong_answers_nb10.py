"""Wrong answers to the exercises of notebook 10 that are not slips; see test_exercises.py."""

import torch
import torch.nn.functional as F

from ltm_edu import equations
from ltm_edu.exercises.nb10 import loss_of_shots


def unit(E):
    return F.normalize(E.flatten(2), dim=1)


def mean_through_broadcasting(E_q, E_s):
    pairs = F.cosine_similarity(E_q.flatten(2)[..., None], E_s.flatten(2)[:, :, None], dim=1)
    return pairs.mean((1, 2))


def mean_in_place(E_q, E_s):
    products = unit(E_q).mean(2) * unit(E_s).mean(2)
    E_q *= 2
    return products.sum(1)


def mean_without_gradient(E_q, E_s):
    return (unit(E_q).mean(2) * unit(E_s).mean(2)).sum(1).detach()


def normalised_over_the_pixels(E_q, E_s):
    q, s = (F.normalize(E.flatten(2), dim=2) for E in (E_q, E_s))
    return (q.mean(2) * s.mean(2)).sum(1)


def shot_by_shot(u_q, u_s, g_q, g_s):
    losses = [
        equations.relationship_loss(
            u_q.mT @ u_s[:, k], equations.relationship_truth(g_q[:, None], g_s[:, k : k + 1])
        )
        for k in range(u_s.shape[1])
    ]
    return torch.stack(losses).mean()


def shots_in_a_loop_summed(u_q, u_s, g_q, g_s):
    return shot_by_shot(u_q, u_s, g_q, g_s) * 1.5


def hard_masks(u_q, u_s, g_q, g_s):
    return shot_by_shot(u_q, u_s, (g_q > 0.5).to(g_q), (g_s > 0.5).to(g_s))


def gradient_stops(u_q, u_s, g_q, g_s):
    return loss_of_shots(u_q, u_s.detach(), g_q, g_s)


MUTANTS = [
    ("10.1", mean_through_broadcasting, "numbers was computed"),
    ("10.1", lambda q, s: equations.relationship_matrix(q, s).mean(), "There is one number"),
    (
        "10.1",
        lambda q, s: equations.relationship_matrix(q, s).flatten(1).mean(1),
        "numbers was computed",
    ),
    ("10.1", mean_in_place, "in place"),
    ("10.1", mean_without_gradient, "No gradient reaches E_q"),
    ("10.1", normalised_over_the_pixels, "expected [0."),
    ("10.1", lambda q, s: unit(q).mean(2) * unit(s).mean(2), "shape (1, 2), expected (1,)"),
    ("10.2", lambda N_q, N_s, D: N_q * N_s * D, "an int, expected a torch.Tensor"),
    ("10.2", lambda N_q, N_s, D: (N_q * N_s * D, (N_q + N_s) * D**2), "a tuple, expected"),
    ("10.2", lambda N_q, N_s, D: torch.tensor([N_q * N_s * D, 2.0 * N_q * D * D]), "dtype float32"),
    (
        "10.2",
        lambda N_q, N_s, D: torch.tensor([N_q * N_s * D, N_q * N_s * D * D]),
        "expected [30, 3",
    ),
    ("10.2", lambda N_q, N_s, D: torch.tensor([N_q * N_s * D**2, (N_q + N_s) * D**2]), "[60, 32]"),
    ("10.3", shot_by_shot, "numbers was computed"),
    ("10.3", shots_in_a_loop_summed, "expected 0."),
    ("10.3", hard_masks, "expected 0.556"),
    ("10.3", gradient_stops, "No gradient reaches u_s"),
    ("10.3", lambda q, s, g_q, g_s: shot_by_shot(q, s, g_q, g_s)[None], "shape (1,), expected ()"),
    ("10.3", lambda q, s, g_q, g_s: shot_by_shot(q, s, g_q, g_s).item(), "a float, expected"),
]
