"""Wrong answers that are right in value on ordinary input, but wrong in cost or at other scales."""

import math

import torch
import torch.nn.functional as F

from ltm_edu.store.pictures import VOID


def iou_in_half_precision(p, t):
    counted = t != VOID
    intersection = (p & (t == 1) & counted).half().sum().double()
    union = ((p | (t == 1)) & counted).half().sum().double()
    return (intersection / union).item() if union > 0 else 1.0


def mask_of_large_values(A, size, t):
    resized = F.interpolate(A, size, mode="bilinear", align_corners=True)[:, 0]
    return torch.where(resized > 1e-3, resized, 0) > t


def object_by_loop(mask, class_id):
    out = torch.zeros_like(mask)
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            value = int(mask[y, x])
            out[y, x] = VOID if value == VOID else int(value == class_id)
    return out


def object_by_lists(mask, class_id):
    rows = [[v if v == VOID else int(v == class_id) for v in row] for row in mask.tolist()]
    return torch.tensor(rows, dtype=torch.uint8)


def novel_in_bytes(fold, n_classes):
    if n_classes == 20:
        return torch.arange(5 * fold + 1, 5 * fold + 6)
    return torch.arange(fold + 1, n_classes + 1, 4).to(torch.uint8).long()


def grid_in_bytes(mask, n_classes):
    counts = torch.bincount(mask[1::32, 1::32].flatten().long(), minlength=256)
    return counts[1 : n_classes + 1].to(torch.uint8) > 2


def supports_in_bytes(order, shows, query, shots):
    return order[shows[order] & (order != query)][:shots].to(torch.uint8).long()


def grid_by_loop(masks, stride):
    B, _, H, W = masks.shape
    half, rows = stride // 2, []
    for i in range(0, H, stride):
        for j in range(0, W, stride):
            window = masks[:, :, max(0, i - half) : i + half + 1, max(0, j - half) : j + half + 1]
            rows.append(window.mean(dim=(2, 3)))
    return torch.stack(rows, dim=2).reshape(B, 1, (H - 1) // stride + 1, (W - 1) // stride + 1)


def masked_with_a_limit(F_s, G_s):
    return F_s.clamp(-100, 100) * G_s


def pool_with_a_large_guard(F_s, G_s):
    return (F_s * G_s).sum((2, 3)) / G_s.sum((2, 3)).clamp_min(0.01)


def map_with_the_product_clamped(E_q, prototype):
    p = prototype[:, :, None, None]
    lengths = torch.linalg.vector_norm(E_q, dim=1) * torch.linalg.vector_norm(p, dim=1)
    return ((E_q * p).sum(1) / lengths.clamp_min(1e-5))[:, None]


def cosine_with_the_product_clamped(a, b):
    return a @ b / (torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b)).clamp_min(1e-5)


def cosine_with_eps_in_the_product(a, b):
    return a @ b / (torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b) + 1e-5)


def relation_with_eps_in_the_squares(E_q, E_s):
    q, s = E_q.flatten(2), E_s.flatten(2)
    q = q / (q.square().sum(1, keepdim=True) + 1e-6).sqrt()
    return q.mT @ (s / (s.square().sum(1, keepdim=True) + 1e-6).sqrt())


def relation_with_the_product_clamped(E_q, E_s):
    q, s = E_q.flatten(2), E_s.flatten(2)
    lengths = q.norm(dim=1)[:, :, None] * s.norm(dim=1)[:, None]
    return q.mT @ s / lengths.clamp_min(1e-5)


def row_of_large_relations(R, y, x, q, s):
    return torch.where(R.abs() > 1e-4, R, 0)[y * q[1] + x].reshape(s)


def truth_of_more_than_a_hundredth(G_q, G_s):
    q, s = (torch.where(G > 0.01, G, 0).flatten(2) for G in (G_q, G_s))
    return q.mT @ s


def inverse_clamped(G_s):
    g = G_s.flatten(2)
    return (g / g.square().sum(2, keepdim=True).clamp_min(1e-5)).mT


def attention_row_by_row(E_q, E_s, G_s):
    q, s = (F.normalize(E.flatten(2), dim=1) for E in (E_q, E_s))
    g = G_s.flatten(2)
    weights = g / torch.where((g * g).sum(2, keepdim=True) > 0, (g * g).sum(2, keepdim=True), 1)
    rows = [(q[:, :, i, None].mT @ s * weights).sum((1, 2)) for i in range(q.shape[2])]
    return torch.stack(rows, dim=1)


def attention_by_one_einsum(E_q, E_s, G_s):
    q, s = (F.normalize(E.flatten(2), dim=1) for E in (E_q, E_s))
    g = G_s.flatten(1)
    squares = g.square().sum(1, keepdim=True)
    weights = g / torch.where(squares > 0, squares, 1)
    return torch.einsum("bdi,bdj,bj->bi", q, s, weights)


def unmix_of_large_relations(R, G_s):
    g = G_s.flatten(2)
    gram = g @ g.mT + 1e-5 * torch.eye(g.shape[1], dtype=g.dtype)
    return torch.where(R.abs() > 1e-4, R, 0) @ torch.linalg.solve(gram, g).mT


def stacked_of_large_relations(R, G_s):
    g = G_s.flatten(2)
    gram = (g * g).sum((1, 2))[:, None].clamp_min(1e-5)
    return torch.einsum("bkij,bkj->bi", torch.where(R.abs() > 1e-4, R, 0), g) / gram


def min_max_of_a_range_above_a_half(A):
    low, high = A.amin(1, keepdim=True), A.amax(1, keepdim=True)
    return (A - low) / (high - low).clamp_min(0.5)


def threshold_of_large_ranges(A, t):
    low, high = A.amin(1), A.amax(1)
    return low + t * torch.where(high - low > 1e-4, high - low, 0)


def attend_with_a_limit(T, A_hat):
    return T.relu().clamp(max=100) * A_hat.unflatten(1, (1, *T.shape[2:]))


def mask_loss_with_a_limit(M, Y):
    d = (M[:, 1] - M[:, 0]).clamp(-1000, 1000)
    each = F.softplus(torch.where(Y == 1, -d, d))
    return each[Y != VOID].sum() / (Y != VOID).sum().clamp_min(1) + 0 * M.sum()


def mask_loss_by_exp(M, Y):
    d = torch.where(Y == 1, M[:, 0] - M[:, 1], M[:, 1] - M[:, 0])
    return ((1 + d.exp()).log() * (Y != VOID)).sum() / (Y != VOID).sum().clamp_min(1)


def attention_loss_with_other_limits(A_hat, Y):
    a = F.interpolate(A_hat, Y.shape[1:], mode="bilinear", align_corners=True)[:, 0]
    a = a.clamp(1e-3, 1 - 1e-3)
    each = -torch.where(Y == 1, a, 1 - a).log() * (Y != VOID)
    return each.sum() / (Y != VOID).sum().clamp_min(1)


def relation_loss_row_by_row(u_q, u_s, g_q, g_s):
    total = 0
    for i in range(u_q.shape[2]):
        R = (u_q[:, :, i, None] * u_s).sum(1)
        total = total + (R - g_q[:, i, None] * g_s).square().sum()
    return total / (g_q.numel() * g_s.shape[1])


def relation_loss_by_one_einsum(u_q, u_s, g_q, g_s):
    relation = torch.einsum("bdi,bdj,bei,bej->", u_q, u_s, u_q, u_s)
    on_truth = torch.einsum("bdi,bdj,bi,bj->", u_q, u_s, g_q, g_s)
    truth = torch.einsum("bi,bj,bi,bj->", g_q, g_s, g_q, g_s)
    return (relation - 2 * on_truth + truth) / (g_q.numel() * g_s.shape[1])


def total_of_short_counts(sums, counts, lambdas):
    means = sums / counts.clamp(1, 10_000)
    return torch.where(lambdas == 0, 0, lambdas * means).sum()


def probabilities_of_short_counts(counts, power):
    weights = torch.where(counts > 0, counts.clamp(max=1e5) ** power, 0)
    return weights / weights.sum()


def clip_of_short_gradients(gradients, limit):
    return gradients * (limit / gradients.norm().clamp(limit, 1000))


def rate_with_a_short_warm_up(step, steps):
    warm = min(max(1, steps // 10), 50)
    falling = (1 + torch.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2
    return torch.where(step < warm, (step + 1) / warm, falling)


def miou_in_16_bits(intersections, unions, classes):
    ious = []
    for c in classes.unique():
        i, u = (x[classes == c].short().sum() for x in (intersections, unions))
        ious.append(torch.where(u > 0, i / u, 1.0))
    return torch.stack(ious).mean()


def fb_in_16_bits(counts):
    tp, fn, fp, tn = counts.short().sum(0)
    correct = torch.stack([tp, tn])
    return torch.where(correct + fn + fp > 0, correct / (correct + fn + fp), 1.0).mean()


def paired_rounded(a, b):
    d = (a - b).round(decimals=6) * ((a - b).abs().max() > 1e-3)
    return torch.stack([d.mean(), d.std(correction=0)])


def bytes_in_32_bits(pictures, copies, channels, sides, stride, number):
    cells = ((sides + stride - 1) // stride) ** 2
    return (pictures * copies * channels * number * cells.sum()).int()


def adam_with_eps_in_the_root(w, g, m, v, t, lr):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    m_hat, v_hat = m / (1 - 0.9 ** (t + 1)), v / (1 - 0.999 ** (t + 1))
    return torch.stack([w - lr * m_hat / (v_hat + 1e-8).sqrt(), m, v])


def folds_rounded(scores):
    of_seeds = scores.mean(0) * (scores.max() > 1e-2)
    return torch.stack([of_seeds.mean(), of_seeds.std(correction=0)])


def mean_row_by_row(E_q, E_s):
    q, s = (F.normalize(E.flatten(2), dim=1) for E in (E_q, E_s))
    rows = [(q[:, :, i, None] * s).sum(1).mean(1) for i in range(q.shape[2])]
    return torch.stack(rows).mean(0)


def mean_by_one_einsum(E_q, E_s):
    q, s = (F.normalize(E.flatten(2), dim=1) for E in (E_q, E_s))
    return torch.einsum("bdi,bdj->bij", q, s).mean((1, 2))


def products_in_32_bits(N_q, N_s, D):
    exact = torch.tensor([N_q * N_s * D, (N_q + N_s) * D * D], dtype=torch.float32)
    return exact.long()


def one_loss(u_q, u_s, g_q, g_s):
    relation = ((u_q @ u_q.mT) * (u_s @ u_s.mT)).sum()
    on_truth = ((u_q @ g_q[..., None]) * (u_s @ g_s[..., None])).sum()
    truth = (g_q.square().sum(1) * g_s.square().sum(1)).sum()
    return (relation - 2 * on_truth + truth) / (g_q.numel() * g_s.shape[1])


def loss_shot_by_shot(u_q, u_s, g_q, g_s):
    losses = [one_loss(u_q, u_s[:, k], g_q, g_s[:, k]) for k in range(u_s.shape[1])]
    return torch.stack(losses).mean()


def loss_of_repeated_queries(u_q, u_s, g_q, g_s):
    K = u_s.shape[1]
    q, g = u_q.repeat_interleave(K, 0), g_q.repeat_interleave(K, 0)
    return one_loss(q, u_s.flatten(0, 1), g, g_s.flatten(0, 1))


MUTANTS = [
    ("0.1", iou_in_half_precision, "Count them exactly"),
    ("0.2", mask_of_large_values, "without rounding"),
    ("1.1", object_by_loop, "It loops over the pixels"),
    ("1.1", object_by_lists, "It loops over the pixels"),
    ("1.2", novel_in_bytes, "must end with 1203"),
    ("1.3", grid_in_bytes, "more than 256 grid pixels"),
    ("1.4", supports_in_bytes, "whole image numbers"),
    ("2.1", grid_by_loop, "It loops over the cells"),
    ("2.2", masked_with_a_limit, "without a limit"),
    ("2.3", pool_with_a_large_guard, "a thousandth of one cell"),
    ("2.4", map_with_the_product_clamped, "limit the product of the lengths"),
    ("3.1", cosine_with_the_product_clamped, "limit the product of the lengths"),
    ("3.1", cosine_with_eps_in_the_product, "added to the product of the lengths"),
    ("3.2", relation_with_eps_in_the_squares, "does not depend on the lengths"),
    ("3.2", relation_with_the_product_clamped, "limit the product of the lengths"),
    ("3.3", row_of_large_relations, "without rounding"),
    ("3.4", truth_of_more_than_a_hundredth, "without rounding"),
    ("4.1", inverse_clamped, "G_s G_s^T is never below 1e-5"),
    ("4.2", attention_row_by_row, "it takes more than 180,000 operations"),
    ("4.2", attention_by_one_einsum, "numbers was computed"),
    ("4.3", unmix_of_large_relations, "without rounding"),
    ("4.4", stacked_of_large_relations, "without rounding"),
    ("5.1", min_max_of_a_range_above_a_half, "The range may be small"),
    ("5.2", threshold_of_large_ranges, "without rounding"),
    ("5.3", attend_with_a_limit, "without a limit"),
    ("6.1", mask_loss_with_a_limit, "large logits"),
    ("6.1", mask_loss_by_exp, "large logits"),
    ("6.2", attention_loss_with_other_limits, "Clamp it to [1e-6, 1 - 1e-6]"),
    ("6.3", relation_loss_row_by_row, "it takes more than 40,000 operations"),
    ("6.3", relation_loss_by_one_einsum, "numbers was computed"),
    ("6.4", total_of_short_counts, "The result must still be exact"),
    ("7.1", probabilities_of_short_counts, "All of them count"),
    ("7.2", clip_of_short_gradients, "However long the gradients are"),
    ("7.3", rate_with_a_short_warm_up, "the first tenth"),
    ("8.1", miou_in_16_bits, "Keep them exact"),
    ("8.2", fb_in_16_bits, "Keep them exact"),
    ("8.3", paired_rounded, "without rounding"),
    ("9.1", bytes_in_32_bits, "32-bit integers"),
    ("9.2", adam_with_eps_in_the_root, "Also with a gradient of 1e-4"),
    ("9.3", folds_rounded, "without rounding"),
    ("10.1", mean_row_by_row, "it takes more than 180,000 operations"),
    ("10.1", mean_by_one_einsum, "numbers was computed"),
    ("10.2", products_in_32_bits, "Use exact integers"),
    ("10.3", loss_shot_by_shot, "it takes more than 100,000 operations"),
    ("10.3", loss_of_repeated_queries, "a tensor of 51,200 numbers was computed"),
]
