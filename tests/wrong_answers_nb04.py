"""Wrong answers to the exercises of notebook 04 that are not slips; see test_exercises.py."""

import torch

from ltm_edu import equations
from ltm_edu.exercises import EXERCISES


def inverse_in_place(G_s):
    inverse = equations.generalized_inverse(G_s.clone(), eps=0)
    G_s /= 2
    return inverse


def through_R(E_q, E_s, G_s):
    return equations.attention(equations.relationship_matrix(E_q, E_s), G_s)


def through_R_by_broadcasting(E_q, E_s, G_s):
    cosines = torch.cosine_similarity(E_q.flatten(2)[..., None], E_s.flatten(2)[:, :, None], dim=1)
    return equations.attention(cosines, G_s)


def cosine_with_the_unit_prototype(E_q, E_s, G_s):
    u = torch.nn.functional.normalize(E_s.flatten(2), dim=1) @ G_s.flatten(2).mT
    return torch.cosine_similarity(E_q.flatten(2), u, dim=1)


def gradient_stops(E_q, E_s, G_s):
    return equations.attention_from_embeddings(E_q, E_s.detach(), G_s)


def with_zeros_inserted_afterwards(E_q, E_s, G_s):
    u_q, u_s = (torch.nn.functional.normalize(E.flatten(2), dim=1) for E in (E_q, E_s))
    squares = G_s.square().sum(dim=(1, 2, 3)).reshape(-1, 1, 1)
    prototype = torch.where(squares > 0, u_s @ G_s.flatten(2).mT / squares, 0)
    return (u_q.mT @ prototype).squeeze(2)


def stacked_and_with_zeros_inserted_afterwards(R, G_s):
    squares = G_s.square().sum(dim=(1, 2, 3, 4))[:, None]
    A = torch.einsum("bkij,bkj->bi", R, G_s.flatten(2))
    return torch.where(squares > 0, A / squares, 0)


def unmix_with_a_large_eps(R, G_s):
    g = G_s.flatten(2)
    return R @ torch.linalg.solve(g @ g.mT + torch.eye(g.shape[1], dtype=g.dtype), g).mT


def unmix_the_first_episode_for_all(R, G_s):
    return R @ torch.linalg.pinv(G_s[0].flatten(1))


def stacked_as_rows(R, G_s):
    g = G_s.flatten(2)
    return (R.mean(dim=1) @ torch.linalg.pinv(g)).mean(dim=2)


def mean_of_normalised_maps(R, G_s):
    A = equations.attention(R.flatten(0, 1), G_s.flatten(0, 1))
    return equations.normalize_attention(A).unflatten(0, R.shape[:2]).mean(dim=1)


def attention_zeros_for_the_whole_batch(E_q, E_s, G_s):
    if (G_s.sum((1, 2, 3)) == 0).any():
        return torch.zeros(len(E_q), E_q[0, 0].numel())
    return EXERCISES["4.2"].reference(E_q, E_s, G_s)


def stacked_zeros_for_the_whole_batch(R, G_s):
    if (G_s.sum((1, 2, 3, 4)) == 0).any():
        return torch.zeros(len(R), R.shape[2])
    return EXERCISES["4.4"].reference(R, G_s)


MUTANTS = [
    ("4.2", attention_zeros_for_the_whole_batch, "the other mask must have its usual result"),
    ("4.4", stacked_zeros_for_the_whole_batch, "the other episode must have its usual result"),
    ("4.1", inverse_in_place, "in place"),
    ("4.1", lambda G: torch.linalg.pinv(G), "shape (1, 1, 3, 1), expected (1, 3, 1)"),
    ("4.1", lambda G: G.flatten(2).softmax(2).mT, "expected [[[0.8], [0], [0.4]]]"),
    ("4.1", lambda G: equations.generalized_inverse(G).squeeze(2), "shape (1, 3), expected"),
    (
        "4.1",
        lambda G: equations.generalized_inverse(G).float() * 1.01,
        "expected [[[0.8], [0], [0.4]]]",
    ),
    ("4.1", lambda G: equations.generalized_inverse(G, eps=0.1), "expected [[[0.8], [0], [0.4]]]"),
    (
        "4.1",
        lambda G: equations.generalized_inverse(G).numpy(),
        "1e-5 is added to G_s G_s^T",
    ),
    ("4.2", through_R, "numbers was computed"),
    ("4.2", through_R_by_broadcasting, "numbers was computed"),
    ("4.2", cosine_with_the_unit_prototype, "The prototype is scaled to length 1"),
    ("4.2", gradient_stops, "No gradient reaches E_s"),
    ("4.2", lambda q, s, g: equations.attention_from_embeddings(s, q, g), "raised ValueError"),
    ("4.2", lambda q, s, g: -through_R(q, s, g), "expected [["),
    ("4.2", lambda q, s, g: through_R(q, s, g).float().round(), "expected [["),
    (
        "4.2",
        with_zeros_inserted_afterwards,
        "NaN. where after a division",
    ),
    ("4.3", unmix_with_a_large_eps, "expected [["),
    ("4.3", unmix_the_first_episode_for_all, "other values"),
    ("4.3", lambda R, G: equations.attention(R, G).detach(), "No gradient reaches R"),
    ("4.3", lambda R, G: equations.attention(R, G).clamp(0, 1), "other values"),
    ("4.3", lambda R, G: equations.attention(R, G).sum(2), "shape (1, 2), expected (1, 2, 2)"),
    ("4.3", lambda R, G: torch.linalg.solve(G.flatten(2) @ G.flatten(2).mT, R), "expected [[["),
    (
        "4.4",
        stacked_and_with_zeros_inserted_afterwards,
        "NaN. where after a division",
    ),
    ("4.4", stacked_as_rows, "expected [[0."),
    ("4.4", mean_of_normalised_maps, "expected [[0."),
    ("4.4", lambda R, G: equations.attention(R.mean(1), G.mean(1)), "are averaged first"),
    ("4.4", lambda R, G: equations.attention(R.sum(1), G[:, 0]), "expected [[0."),
    ("4.4", lambda R, G: equations.attention(R[:, 0].detach(), G[:, 0]), "Only the first support"),
    ("4.4", lambda R, G: equations.attention(R.flatten(2), G.flatten(2)), "expected (1, 1)"),
]
