"""Right answers in many styles: loops, einsum, float32 tables, NumPy, numbers; all must pass."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from ltm_edu import equations
from ltm_edu.store.pictures import VOID

# Notebooks 00 and 01 ----------------------------------------------------------------------------


def iou_in_numpy(predicted, truth):
    p, t = predicted.numpy(), truth.numpy()
    counted = t != VOID
    union = ((p | (t == 1)) & counted).sum()
    return np.float32((p & (t == 1) & counted).sum() / union) if union else np.float32(1)


def iou_as_a_tensor(predicted, truth):
    counted = truth != VOID
    union = ((predicted | (truth == 1)) & counted).sum()
    intersection = (predicted & (truth == 1) & counted).sum()
    return torch.where(union > 0, intersection / union.clamp_min(1), 1.0)


def iou_with_integers(predicted, truth):
    p, t = predicted[truth != VOID], truth[truth != VOID] == 1
    if not (p | t).any():
        return 1
    return (p & t).sum().item() / (p | t).sum().item()


def iou_by_loop(predicted, truth):
    both = either = 0
    for p, t in zip(predicted.flatten(), truth.flatten(), strict=True):
        if t != VOID:
            both += int(p and t == 1)
            either += int(p or t == 1)
    return both / either if either else 1.0


def mask_in_numpy(A_hat, size, threshold):
    resized = F.interpolate(A_hat, size, mode="bilinear", align_corners=True)
    return resized.squeeze(1).numpy() > threshold


def object_in_steps(mask, class_id):
    out = torch.zeros_like(mask)
    out[mask == class_id] = 1
    out[mask == VOID] = VOID
    return out


def object_in_numpy(mask, class_id):
    m = mask.numpy()
    return np.where(m == VOID, VOID, m == class_id).astype(np.uint8)


def novel_by_list(fold, n_classes):
    size = 5 if n_classes == 20 else None
    ids = [c for c in range(1, n_classes + 1) if ((c - 1) // size if size else (c - 1) % 4) == fold]
    return torch.tensor(ids)


def novel_in_numpy(fold, n_classes):
    ids = np.arange(1, n_classes + 1)
    return ids[(ids - 1) // 5 == fold] if n_classes == 20 else ids[(ids - 1) % 4 == fold]


def grid_by_class(mask, n_classes):
    pixels = mask[1::32, 1::32]
    return torch.stack([(pixels == c).sum() > 2 for c in range(1, n_classes + 1)])


def grid_in_numpy(mask, n_classes):
    counts = np.bincount(mask.numpy()[1::32, 1::32].ravel(), minlength=256)
    return counts[1 : n_classes + 1] > 2


def supports_by_loop(order, shows, query, shots):
    found = [i for i in order.tolist() if shows[i] and i != query]
    return torch.tensor(found[:shots], dtype=torch.int32)


# Notebook 02 ------------------------------------------------------------------------------------


def grid_by_unfold(masks, stride):
    def sums(x):
        padded = F.pad(x, [stride // 2] * 4)
        windows = padded.unfold(2, stride + 1, stride).unfold(3, stride + 1, stride)
        return windows.sum(dim=(4, 5))

    return sums(masks) / sums(torch.ones_like(masks))


def masked_by_einsum(F_s, G_s):
    return torch.einsum("bchw,bhw->bchw", F_s, G_s[:, 0])


def pool_by_loop(F_s, G_s):
    rows = []
    for f, g in zip(F_s, G_s, strict=True):
        weight = g.sum()
        rows.append((f * g).sum(dim=(1, 2)) / weight if weight > 0 else 0 * f.sum(dim=(1, 2)))
    return torch.stack(rows)


def pool_with_a_small_guard(F_s, G_s):
    return (F_s * G_s).sum((2, 3)) / G_s.sum((2, 3)).clamp_min(1e-8)


def pool_by_einsum(F_s, G_s):
    weight = G_s.flatten(1).sum(1, keepdim=True)
    total = torch.einsum("bchw,bohw->bc", F_s, G_s)
    return total / (weight + (weight == 0))


def map_by_cosine_similarity(E_q, prototype):
    return F.cosine_similarity(E_q, prototype[:, :, None, None], dim=1)[:, None]


def map_by_normalize(E_q, prototype):
    return torch.einsum("bdhw,bd->bhw", F.normalize(E_q), F.normalize(prototype))[:, None]


# Notebook 03 ------------------------------------------------------------------------------------


def cosine_of_units(a, b):
    return F.normalize(a, dim=0) @ F.normalize(b, dim=0)


def cosine_with_ifs(a, b):
    if not a.any() or not b.any():
        return 0 * (a @ b)
    return a @ b / (a.norm() * b.norm())


def cosine_with_each_length_clamped(a, b):
    return (a / a.norm().clamp_min(1e-5)) @ (b / b.norm().clamp_min(1e-5))


def relation_by_loop(E_q, E_s):
    q, s = E_q.flatten(2), E_s.flatten(2)
    R = torch.zeros(len(q), q.shape[2], s.shape[2])
    for b in range(len(q)):
        for i in range(q.shape[2]):
            for j in range(s.shape[2]):
                R[b, i, j] = cosine_of_units(q[b, :, i], s[b, :, j])
    return R


def relation_by_einsum(E_q, E_s):
    q, s = F.normalize(E_q, dim=1, eps=1e-5), F.normalize(E_s, dim=1, eps=1e-5)
    return torch.einsum("bdhw,bdyx->bhwyx", q, s).flatten(1, 2).flatten(2)


def relation_in_float32(E_q, E_s):
    q, s = (F.normalize(E.float().flatten(2), dim=1) for E in (E_q, E_s))
    return q.transpose(1, 2) @ s


def relation_in_float64(E_q, E_s):
    q, s = (F.normalize(E.double().flatten(2), dim=1) for E in (E_q, E_s))
    return torch.bmm(q.permute(0, 2, 1), s)


def relation_by_cosine_similarity(E_q, E_s):
    return F.cosine_similarity(E_q.flatten(2)[..., None], E_s.flatten(2)[:, :, None], dim=1)


def row_by_indexing(R, y, x, query_grid, support_grid):
    return R.view(*query_grid, *support_grid)[y, x]


def row_by_unflatten(R, y, x, query_grid, support_grid):
    return R.unflatten(0, query_grid).unflatten(2, support_grid)[y, x]


def truth_by_broadcasting(G_q, G_s):
    return G_q.flatten(1)[:, :, None] * G_s.flatten(1)[:, None]


def truth_by_outer(G_q, G_s):
    pairs = zip(G_q, G_s, strict=True)
    return torch.stack([torch.outer(q.flatten(), s.flatten()) for q, s in pairs])


def truth_in_numpy(G_q, G_s):
    return np.einsum("bi,bj->bij", G_q.flatten(1).numpy(), G_s.flatten(1).numpy())


# Notebook 04 ------------------------------------------------------------------------------------


def inverse_by_pinv(G_s):
    return torch.linalg.pinv(G_s.flatten(2))


def inverse_by_loop(G_s):
    columns = []
    for g in G_s.flatten(2):
        squares = (g * g).sum()
        columns.append(g.T / squares if squares > 0 else torch.zeros_like(g.T))
    return torch.stack(columns)


def attention_with_a_helper(E_q, E_s, G_s):
    u_q, u_s = (F.normalize(E.flatten(2), dim=1) for E in (E_q, E_s))
    prototype = u_s @ equations.generalized_inverse(G_s.flatten(2))
    return (u_q.mT @ prototype).squeeze(2)


def attention_by_two_einsums(E_q, E_s, G_s):
    g = G_s.flatten(1)
    squares = g.square().sum(1)[:, None]
    weights = g / (squares + (squares == 0))
    prototype = torch.einsum("bdj,bj->bd", F.normalize(E_s.flatten(2), dim=1), weights)
    return torch.einsum("bdi,bd->bi", F.normalize(E_q.flatten(2), dim=1), prototype)


def attention_by_episode(E_q, E_s, G_s):
    rows = []
    for q, s, g in zip(E_q.flatten(2), E_s.flatten(2), G_s.flatten(1), strict=True):
        q, s = F.normalize(q, dim=0), F.normalize(s, dim=0)
        rows.append(q.T @ (s @ g) / (g @ g).clamp_min(1e-5))
    return torch.stack(rows)


def unmix_by_pinv(R, G_s):
    return R @ torch.linalg.pinv(G_s.flatten(2))


def unmix_by_inverse(R, G_s):
    g = G_s.flatten(2)
    return R @ g.mT @ torch.linalg.inv(g @ g.mT + 1e-5 * torch.eye(g.shape[1]))


def stacked_by_long_matrices(R, G_s):
    long, g = R.transpose(1, 2).flatten(2), G_s.flatten(1)[..., None]
    squares = g.square().sum(1)
    return (long @ g).squeeze(2) / (squares + (squares == 0))


def stacked_by_loop(R, G_s):
    total = sum((R[:, k] @ G_s[:, k].flatten(1)[..., None])[..., 0] for k in range(R.shape[1]))
    return total / G_s.flatten(1).square().sum(1, keepdim=True).clamp_min(1e-5)


# Notebook 05 ------------------------------------------------------------------------------------


def min_max_with_eps(A):
    low, high = A.min(dim=1, keepdim=True).values, A.max(dim=1, keepdim=True).values
    return (A - low) / (high - low + 1e-5)


def min_max_by_loop(A):
    rows = []
    for row in A:
        spread = row.max() - row.min()
        rows.append((row - row.min()) / spread if spread > 0 else row - row.min())
    return torch.stack(rows)


def threshold_by_lerp(A, t):
    return torch.lerp(A.amin(1), A.amax(1), t)


def threshold_by_loop(A, t):
    return torch.stack([(1 - t) * row.min() + t * row.max() for row in A])


def attend_by_einsum(T, A_hat):
    return torch.einsum("bcn,bn->bcn", T.relu().flatten(2), A_hat).reshape(T.shape)


def attend_with_clamp(T, A_hat):
    return T.clamp_min(0) * A_hat.reshape(len(T), 1, *T.shape[2:])


# Notebook 06 ------------------------------------------------------------------------------------


def mask_loss_by_cross_entropy(M, Y):
    total = F.cross_entropy(M, Y.long(), ignore_index=VOID, reduction="sum")
    return total / (Y != VOID).sum().clamp_min(1)


def mask_loss_by_selection(M, Y):
    counted = Y != VOID
    labels = Y[counted].long()
    logs = M.log_softmax(dim=1).permute(0, 2, 3, 1)[counted]
    return -logs[torch.arange(len(labels)), labels].sum() / max(1, len(labels))


def attention_loss_by_bce(A_hat, Y):
    a = F.interpolate(A_hat, Y.shape[-2:], mode="bilinear", align_corners=True).squeeze(1)
    a, counted = a.clamp(1e-6, 1 - 1e-6), Y != VOID
    each = F.binary_cross_entropy(a, (Y == 1).to(a.dtype), reduction="none")
    return (each * counted).sum() / counted.sum().clamp_min(1)


def relation_loss_by_einsum(u_q, u_s, g_q, g_s):
    K_q, K_s = torch.einsum("bci,bdi->bcd", u_q, u_q), torch.einsum("bci,bdi->bcd", u_s, u_s)
    p_q, p_s = torch.einsum("bci,bi->bc", u_q, g_q), torch.einsum("bci,bi->bc", u_s, g_s)
    sizes = g_q.square().sum(1) * g_s.square().sum(1)
    each = (K_q * K_s).sum((1, 2)) - 2 * (p_q * p_s).sum(1) + sizes
    return each.mean() / (u_q.shape[2] * u_s.shape[2])


def relation_loss_by_episode(u_q, u_s, g_q, g_s):
    total = 0
    for q, s, a, b in zip(u_q, u_s, g_q, g_s, strict=True):
        total += torch.trace((q @ q.T) @ (s @ s.T)) - 2 * (q @ a) @ (s @ b) + (a @ a) * (b @ b)
    return total / (g_q.numel() * g_s.shape[1])


def total_by_loop(sums, counts, lambdas):
    loss = 0 * sums[sums.isfinite()].sum()
    for s, n, w in zip(sums, counts, lambdas, strict=True):
        if w != 0 and n != 0:
            loss = loss + w * s / n
    return loss


# Notebooks 07 to 10 -----------------------------------------------------------------------------


def probabilities_in_numpy(counts, power):
    n = counts.numpy()
    weights = np.where(n > 0, n**power, 0)
    return weights / weights.sum()


def clip_by_pytorch(gradients, limit):
    leaf = torch.nn.Parameter(torch.zeros_like(gradients))
    leaf.grad = gradients.clone()
    torch.nn.utils.clip_grad_norm_([leaf], limit)
    return leaf.grad


def clip_with_if(gradients, limit):
    norm = gradients.square().sum().sqrt()
    return gradients * limit / norm if norm > limit else gradients


def rate_by_loop(step, steps):
    warm, rates = max(1, steps // 10), []
    for s in step.tolist():
        done = (s - warm) / max(1, steps - warm)
        rates.append((s + 1) / warm if s < warm else (1 + math.cos(math.pi * done)) / 2)
    return torch.tensor(rates)


def rate_in_numpy(step, steps):
    s, warm = step.numpy(), max(1, steps // 10)
    falling = (1 + np.cos(np.pi * (s - warm) / max(1, steps - warm))) / 2
    return np.where(s < warm, (s + 1) / warm, falling)


def miou_as_a_number(intersections, unions, classes):
    ious = []
    for c in set(classes.tolist()):
        i, u = (x[classes == c].sum().item() for x in (intersections, unions))
        ious.append(i / u if u else 1.0)
    return sum(ious) / len(ious)


def miou_in_numpy(intersections, unions, classes):
    i, u, c = (x.numpy() for x in (intersections, unions, classes))
    return np.mean([i[c == k].sum() / u[c == k].sum() if u[c == k].any() else 1 for k in set(c)])


def fb_as_a_number(counts):
    tp, fn, fp, tn = counts.sum(0).tolist()
    regions = [(tp, tp + fn + fp), (tn, tn + fn + fp)]
    return sum(c / u if u else 1 for c, u in regions) / 2


def paired_by_std(a, b):
    return torch.stack([(a - b).mean(), (a - b).std(correction=0)])


def paired_in_numpy(a, b):
    d = (a - b).numpy()
    return np.array([d.mean(), d.std()])


def bytes_by_ceil(pictures, copies, channels, sides, stride, number):
    return pictures * copies * channels * number * (torch.ceil(sides / stride) ** 2).sum()


def bytes_as_a_number(pictures, copies, channels, sides, stride, number):
    cells = sum(math.ceil(side / stride) ** 2 for side in sides.tolist())
    return pictures * copies * channels * number * cells


def adam_by_lerp(w, g, m, v, t, lr):
    m, v = torch.lerp(m, g, 0.1), torch.lerp(v, g * g, 0.001)
    step = m / (1 - 0.9 ** (t + 1)) / ((v / (1 - 0.999 ** (t + 1))).sqrt() + 1e-8)
    return torch.stack((w - lr * step, m, v))


def folds_in_numpy(scores):
    means = scores.numpy().mean(axis=0)
    return np.array([means.mean(), means.std()])


def folds_by_var(scores):
    means = scores.mean(0)
    return torch.stack([scores.mean(), means.var(correction=0) ** 0.5])


def mean_by_einsum(E_q, E_s):
    q, s = (F.normalize(E.flatten(2), dim=1).mean(2) for E in (E_q, E_s))
    return torch.einsum("bd,bd->b", q, s)


def mean_by_prototype(E_q, E_s):
    q, s = (F.normalize(E.flatten(2), dim=1) for E in (E_q, E_s))
    return (q.mT @ s.mean(2, keepdim=True)).mean((1, 2))


def products_in_numpy(N_q, N_s, D):
    return np.array([N_q * N_s * D, (N_q + N_s) * D**2])


def shots_with_one_query_gram(u_q, u_s, g_q, g_s):
    K_q, K_s = u_q @ u_q.mT, torch.einsum("bkci,bkdi->bcd", u_s, u_s)
    p_q = torch.einsum("bci,bi->bc", u_q, g_q)
    p_s = torch.einsum("bkci,bki->bc", u_s, g_s)
    sizes = g_q.square().sum(1) * g_s.square().sum((1, 2))
    total = (K_q * K_s).sum() - 2 * (p_q * p_s).sum() + sizes.sum()
    return total / (g_q.numel() * g_s.shape[1] * g_s.shape[2])


# Other orders, other precisions, in place on copies, and torch's own functions ----------------


def iou_in_place_on_clones(predicted, truth):
    t, p = truth.clone(), predicted.clone()
    t[truth == VOID], p[truth == VOID] = 0, False
    union = torch.logical_or(p, t.bool()).sum().item()
    return torch.logical_and(p, t.bool()).sum().item() / union if union else 1


def mask_by_grid_sample(A_hat, size, threshold):
    y, x = (torch.linspace(-1, 1, n) for n in size)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    sampled = F.grid_sample(A_hat, grid.expand(len(A_hat), -1, -1, -1), align_corners=True)
    return sampled[:, 0] > threshold


def object_by_table(mask, class_id):
    table = torch.zeros(256, dtype=torch.uint8)
    table[class_id], table[VOID] = 1, VOID
    return table[mask.long()]


def grid_by_unique(mask, n_classes):
    out = torch.zeros(n_classes, dtype=torch.bool)
    for c, count in zip(*mask[1::32, 1::32].unique(return_counts=True), strict=True):
        if 1 <= c <= n_classes:
            out[int(c) - 1] = count > 2
    return out


def supports_without_the_query_in_shows(order, shows, query, shots):
    shows = shows.clone()
    shows[query] = False
    return order[shows[order]][:shots]


def grid_by_two_means(masks, stride):
    def along(m):
        half = stride // 2
        centres = range(0, m.shape[-1], stride)
        return torch.stack([m[..., max(0, c - half) : c + half + 1].mean(-1) for c in centres], -1)

    return along(along(masks).mT).mT


def grid_by_ratio_of_convolutions(masks, stride):
    kernel = torch.ones(1, 1, stride + 1, stride + 1)
    total, count = (
        F.conv2d(x.float(), kernel, stride=stride, padding=stride // 2)
        for x in (masks, torch.ones_like(masks))
    )
    return total / count


def pool_with_weights_first(F_s, G_s):
    total = G_s.sum((2, 3), keepdim=True)
    return (F_s * (G_s / total.masked_fill(total == 0, 1))).flatten(2).sum(-1)


def map_by_grouped_convolution(E_q, prototype):
    kernel = F.normalize(prototype)[..., None, None]
    flat = F.normalize(E_q).flatten(0, 1)[None]
    return F.conv2d(flat, kernel, groups=len(E_q)).transpose(0, 1)


def cosine_by_python_sums(a, b):
    dot, aa, bb = (sum(x * y for x, y in zip(*v, strict=True)) for v in ((a, b), (a, a), (b, b)))
    return dot if aa == 0 or bb == 0 else dot / (aa.sqrt() * bb.sqrt())


def relation_divided_afterwards(E_q, E_s):
    q, s = E_q.flatten(2).mT, E_s.flatten(2)
    lengths = q.norm(dim=2, keepdim=True), s.norm(dim=1, keepdim=True)
    return q @ s / lengths[0].clamp_min(1e-9) / lengths[1].clamp_min(1e-9)


def row_by_one_hot(R, y, x, query_grid, support_grid):
    pixel = torch.zeros(query_grid)
    pixel[y, x] = 1
    return (pixel.reshape(1, -1) @ R).reshape(support_grid)


def inverse_with_nan_to_num(G_s):
    g = G_s.flatten(2)
    return (g.mT / (g @ g.mT)).nan_to_num(0)


def attention_of_masked_embeddings(E_q, E_s, G_s):
    q, s = F.normalize(E_q.flatten(2)), F.normalize((E_s * G_s).flatten(2))
    g = G_s.flatten(2)
    prototype = (s * g).sum(2)
    return torch.einsum("bdi,bd->bi", q, prototype) / g.square().sum(2).clamp_min(1e-8)


def unmix_by_cholesky(R, G_s):
    g = G_s.flatten(2).double()
    gram = g @ g.mT
    gram.diagonal(dim1=1, dim2=2).add_(1e-5)
    return torch.cholesky_solve(g @ R.double().mT, torch.linalg.cholesky(gram)).mT


def stacked_by_weighted_shots(R, G_s):
    g = G_s.flatten(2)
    weight = (g * g).sum(2, keepdim=True)
    A = torch.einsum("bkij,bkj->bki", R, g) / weight.clamp_min(1e-12)
    return (A * weight).sum(1) / weight.sum(1).clamp_min(1e-12)


def min_max_by_sort(A):
    ordered = A.double().sort(dim=1).values
    return (A - ordered[:, :1]) / (ordered[:, -1:] - ordered[:, :1]).clamp(min=1e-8)


def attend_after_the_product(T, A_hat):
    return F.relu(T * A_hat.view(len(T), 1, *T.shape[2:]))


def mask_loss_with_nan_to_num(M, Y):
    return F.cross_entropy(M, Y, ignore_index=VOID).nan_to_num()


def attention_loss_by_logit(A_hat, Y):
    a = F.interpolate(A_hat, Y.shape[1:], mode="bilinear", align_corners=True)[:, 0]
    counted, logits = Y != VOID, torch.logit(a.clamp(1e-6, 1 - 1e-6))
    labels = (Y[counted] == 1).to(a)
    total = F.binary_cross_entropy_with_logits(logits[counted], labels, reduction="sum")
    return total / counted.sum().clamp_min(1)


def relation_loss_with_masks_as_channels(u_q, u_s, g_q, g_s):
    q, s = torch.cat([u_q, g_q[:, None]], 1), torch.cat([u_s, -g_s[:, None]], 1)
    return ((q @ q.mT) * (s @ s.mT)).sum((1, 2)).mean() / (q.shape[2] * s.shape[2])


def total_by_selection(sums, counts, lambdas):
    kept = (lambdas != 0) & (counts > 0)
    return (lambdas[kept] * sums[kept] / counts[kept]).sum()


def probabilities_of_shares(counts, power):
    shares = counts / counts.sum()
    shares = torch.where(shares > 0, shares**power, 0)
    return shares / shares.sum()


def clip_as_pytorch_does(gradients, limit):
    norm = gradients.norm().item()
    return gradients * min(1.0, limit / (norm + 1e-6))


def rate_by_squared_cosine(step, steps):
    s, warm = step.numpy().astype(float), max(1, steps // 10)
    falling = np.cos(np.pi / 2 * (s - warm) / max(1, steps - warm)) ** 2
    return np.where(s < warm, (s + 1) / warm, falling)


def miou_by_index_add(intersections, unions, classes):
    ids, place = classes.unique(return_inverse=True)
    zeros = torch.zeros(len(ids))
    i, u = (zeros.index_add(0, place, x.float()) for x in (intersections, unions))
    return torch.where(u > 0, i / u.clamp_min(1), 1).mean()


def fb_by_complements(counts):
    sums = counts.double().sum(0)
    correct, unions = sums[[0, 3]], sums.sum() - sums[[3, 0]]
    return torch.where(unions == 0, 1, correct / unions.clamp_min(1)).mean()


def paired_by_moments(a, b):
    d = a - b
    return torch.stack([d.mean(), ((d * d).mean() - d.mean() ** 2).clamp_min(0).sqrt()])


def bytes_by_negative_division(pictures, copies, channels, sides, stride, number):
    return (-(-sides // stride)).pow(2).sum() * pictures * copies * channels * number


def adam_by_pytorch(w, g, m, v, t, lr):
    leaf = torch.nn.Parameter(w.clone())
    optimizer = torch.optim.Adam([leaf], lr=lr)
    leaf.grad = g.clone()
    state = {"step": torch.tensor(float(t)), "exp_avg": m.clone(), "exp_avg_sq": v.clone()}
    optimizer.state[leaf] = state
    optimizer.step()
    return torch.stack([leaf.data, state["exp_avg"], state["exp_avg_sq"]])


def folds_by_std_mean(scores):
    spread, mean = torch.std_mean(scores.mean(0), correction=0)
    return torch.stack([mean, spread])


def mean_by_sums(E_q, E_s):
    q, s = (F.normalize(E.flatten(2)).sum(2) for E in (E_q, E_s))
    return (q * s).sum(1) / (E_q[0, 0].numel() * E_s[0, 0].numel())


def products_by_tensors(N_q, N_s, D):
    n = torch.tensor([N_q, N_s])
    return torch.stack([n.prod() * D, n.sum() * D**2])


def shots_by_episode(u_q, u_s, g_q, g_s):
    total = 0
    for q, s, h, g in zip(u_q, torch.cat(u_s.unbind(1), 2), g_q, g_s.flatten(1), strict=True):
        gram = ((q @ q.T) * (s @ s.T)).sum()
        total = total + gram - 2 * (q @ h) @ (s @ g) + (h @ h) * (g @ g)
    return total / (g_q.numel() * g_s[0].numel())


RIGHT = {
    "0.1": [iou_in_numpy, iou_as_a_tensor, iou_with_integers, iou_by_loop, iou_in_place_on_clones],
    "0.2": [mask_in_numpy, mask_by_grid_sample],
    "1.1": [object_in_steps, object_in_numpy, object_by_table],
    "1.2": [novel_by_list, novel_in_numpy],
    "1.3": [grid_by_class, grid_in_numpy, grid_by_unique],
    "1.4": [supports_by_loop, supports_without_the_query_in_shows],
    "2.1": [grid_by_unfold, grid_by_two_means, grid_by_ratio_of_convolutions],
    "2.2": [
        masked_by_einsum,
        lambda F_s, G_s: torch.where(G_s > 0, F_s * G_s, 0),
        lambda F_s, G_s: G_s.expand_as(F_s) * F_s,
    ],
    "2.3": [pool_by_loop, pool_with_a_small_guard, pool_by_einsum, pool_with_weights_first],
    "2.4": [map_by_cosine_similarity, map_by_normalize, map_by_grouped_convolution],
    "3.1": [
        cosine_of_units,
        cosine_with_ifs,
        cosine_with_each_length_clamped,
        lambda a, b: F.cosine_similarity(a, b, dim=0),
        cosine_by_python_sums,
    ],
    "3.2": [
        relation_by_loop,
        relation_by_einsum,
        relation_in_float32,
        relation_in_float64,
        relation_by_cosine_similarity,
        relation_divided_afterwards,
    ],
    "3.3": [row_by_indexing, row_by_unflatten, row_by_one_hot],
    "3.4": [truth_by_broadcasting, truth_by_outer, truth_in_numpy],
    "4.1": [inverse_by_pinv, inverse_by_loop, inverse_with_nan_to_num],
    "4.2": [
        attention_with_a_helper,
        attention_by_two_einsums,
        attention_by_episode,
        attention_of_masked_embeddings,
    ],
    "4.3": [unmix_by_pinv, unmix_by_inverse, unmix_by_cholesky],
    "4.4": [stacked_by_long_matrices, stacked_by_loop, stacked_by_weighted_shots],
    "5.1": [min_max_with_eps, min_max_by_loop, min_max_by_sort],
    "5.2": [threshold_by_lerp, threshold_by_loop],
    "5.3": [attend_by_einsum, attend_with_clamp, attend_after_the_product],
    "6.1": [mask_loss_by_cross_entropy, mask_loss_by_selection, mask_loss_with_nan_to_num],
    "6.2": [attention_loss_by_bce, attention_loss_by_logit],
    "6.3": [
        relation_loss_by_einsum,
        relation_loss_by_episode,
        relation_loss_with_masks_as_channels,
    ],
    "6.4": [total_by_loop, total_by_selection],
    "7.1": [probabilities_in_numpy, probabilities_of_shares],
    "7.2": [clip_by_pytorch, clip_with_if, clip_as_pytorch_does],
    "7.3": [rate_by_loop, rate_in_numpy, rate_by_squared_cosine],
    "8.1": [miou_as_a_number, miou_in_numpy, miou_by_index_add],
    "8.2": [fb_as_a_number, fb_by_complements],
    "8.3": [paired_by_std, paired_in_numpy, paired_by_moments],
    "9.1": [bytes_by_ceil, bytes_as_a_number, bytes_by_negative_division],
    "9.2": [adam_by_lerp, adam_by_pytorch],
    "9.3": [folds_in_numpy, folds_by_var, folds_by_std_mean],
    "10.1": [mean_by_einsum, mean_by_prototype, mean_by_sums],
    "10.2": [
        products_in_numpy,
        lambda *n: torch.tensor(products_in_numpy(*n)),
        products_by_tensors,
    ],
    "10.3": [shots_with_one_query_gram, shots_by_episode],
}
