"""The decoder: the released numbers, figure 2 written out again, and its sizes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ltm_edu.upsam import ASPP, Deconv, Residual, Upsam


@pytest.fixture
def released(shared) -> dict[str, np.ndarray]:
    with np.load(shared / "vectors" / "upsample.npz") as file:
        return {k: file[k] for k in file.files}


@pytest.fixture
def small() -> Upsam:
    """Eight channels, in eval mode, with a BatchNorm that is not the identity."""
    net = Upsam(8, widths=(6, 5, 4))
    for name, value in net.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            value.uniform_(-0.5, 0.5)
        elif name.endswith("running_var") or (".bn" in name and name.endswith("weight")):
            value.uniform_(0.5, 2)
    return net.eval()


def test_released_weights_give_the_released_mask(released):
    net = Upsam(8).eval()
    net.load_vectors(released)
    with torch.inference_mode():
        y = net(torch.from_numpy(released["x"]))
    torch.testing.assert_close(y, torch.from_numpy(released["y"]), atol=1e-4, rtol=0)


def test_the_released_network_has_the_same_parameters_and_no_other(released):
    ours = {f"w/{k}" for k in Upsam(8).state_dict() if not k.endswith("batches_tracked")}
    assert ours == {k for k in released if k.startswith("w/")}


def expected_shapes(c: int, w: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of figure 2, written out by hand."""

    def norm(name: str, n: int) -> dict:
        parts = ("weight", "bias", "running_mean", "running_var")
        return {f"{name}.{p}": (n,) for p in parts} | {f"{name}.num_batches_tracked": ()}

    def conv(name: str, a: int, b: int, k: int) -> dict:
        return {f"{name}.weight": (b, a, k, k), f"{name}.bias": (b,)}

    def residual(name: str, n: int) -> dict:
        found: dict = {}
        for i in (1, 2):
            found |= conv(f"{name}.conv{i}", n, n, 3) | norm(f"{name}.bn{i}", n)
        return found

    def up(name: str, a: int, b: int) -> dict:
        weight = {f"{name}.deconv.weight": (a, b, 4, 4), f"{name}.deconv.bias": (b,)}
        return weight | norm(f"{name}.bn", b)

    shapes = residual("res0", c) | up("up1", c, w[0]) | residual("res1", w[0])
    shapes |= up("up2", w[0], w[1]) | residual("res2", w[1])
    shapes |= conv("aspp.pool", w[1], w[1], 1) | conv("aspp.d1", w[1], w[1], 1)
    for d in (2, 4, 6):
        shapes |= conv(f"aspp.d{d}", w[1], w[1], 3)
    shapes |= conv("aspp.out", 5 * w[1], w[1], 1)
    shapes |= up("up3", w[1], w[2]) | residual("res3", w[2])
    shapes |= {"up4.deconv.weight": (w[2], 2, 4, 4), "up4.deconv.bias": (2,)}
    return shapes | norm("up4.bn1", 2) | conv("up4.conv", 2, 2, 1) | norm("up4.bn2", 2)


def test_names_and_shapes_are_those_of_figure_2():
    ours = {k: tuple(v.shape) for k, v in Upsam(8).state_dict().items()}
    assert ours == expected_shapes(8, (128, 64, 32))


def test_the_papers_decoder_has_its_weight_in_the_first_residual():
    with torch.device("meta"):
        net = Upsam(2048)
    first = sum(p.numel() for p in net.res0.parameters())
    # Two 3 x 3 convolutions with bias and two BatchNorms, on 2048 channels.
    assert first == 2 * (2048 * 2048 * 9 + 2048) + 4 * 2048
    assert round(first / 1e6, 1) == 75.5
    total = sum(p.numel() for p in net.parameters())
    embeddings = 1000 * (1024 + 1) + 2048 * (1024 + 1)
    assert round((total + embeddings) / 1e6, 1) == 83.5


def by_hand(net: Upsam, x: Tensor) -> Tensor:
    """Figure 2 in plain functions, from the state alone."""
    s = net.state_dict()

    def norm(name: str, v: Tensor) -> Tensor:
        mean, var = s[f"{name}.running_mean"], s[f"{name}.running_var"]
        v = (v - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        return v * s[f"{name}.weight"][:, None, None] + s[f"{name}.bias"][:, None, None]

    def conv(name: str, v: Tensor, dilation: int = 1) -> Tensor:
        w = s[f"{name}.weight"]
        padding = dilation * (w.shape[-1] // 2)
        return F.conv2d(v, w, s[f"{name}.bias"], padding=padding, dilation=dilation)

    def double(name: str, v: Tensor) -> Tensor:
        """Spread each pixel as a 4 x 4 stamp, two pixels apart, and cut one pixel all round."""
        w, (b, _, height, width) = s[f"{name}.weight"], v.shape
        big = torch.zeros(b, w.shape[1], 2 * height + 2, 2 * width + 2)
        for i in range(height):
            for j in range(width):
                stamp = torch.einsum("bc,cokl->bokl", v[..., i, j], w)
                big[..., 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += stamp
        return big[..., 1:-1, 1:-1] + s[f"{name}.bias"][:, None, None]

    def residual(name: str, v: Tensor) -> Tensor:
        y = norm(f"{name}.bn1", conv(f"{name}.conv1", v)).relu()
        return v + norm(f"{name}.bn2", conv(f"{name}.conv2", y)).relu()

    for i in (0, 1):
        x = residual(f"res{i}", x)
        x = norm(f"up{i + 1}.bn", double(f"up{i + 1}.deconv", x)).relu()
    x = residual("res2", x)
    pooled = conv("aspp.pool", x.mean(dim=(2, 3), keepdim=True)).expand_as(x)
    branches = [pooled, conv("aspp.d1", x)] + [conv(f"aspp.d{d}", x, d) for d in (2, 4, 6)]
    x = conv("aspp.out", torch.cat(branches, dim=1))
    x = norm("up3.bn", double("up3.deconv", x)).relu()
    x = residual("res3", x)
    x = norm("up4.bn1", double("up4.deconv", x))
    return norm("up4.bn2", conv("up4.conv", x))


def test_the_decoder_is_figure_2_step_by_step(small):
    x = torch.randn(2, 8, 3, 4)
    with torch.inference_mode():
        torch.testing.assert_close(small(x), by_hand(small, x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (7, 2)])
def test_the_mask_is_sixteen_times_the_grid(small, grid):
    y = small(torch.randn(3, 8, *grid))
    assert y.shape == (3, 2, 16 * grid[0], 16 * grid[1])


def test_a_residual_without_weights_is_the_identity():
    block = Residual(3).eval()
    for p in block.parameters():
        torch.nn.init.zeros_(p)
    x = torch.randn(1, 3, 4, 4)
    assert torch.equal(block(x), x)


def test_a_deconv_spreads_one_pixel_over_four_by_four():
    block = Deconv(1, 1).eval()
    torch.nn.init.ones_(block.deconv.weight)
    torch.nn.init.zeros_(block.deconv.bias)
    x = torch.zeros(1, 1, 5, 5)
    x[..., 2, 2] = 1
    rows, columns = block(x)[0, 0].nonzero().T
    assert (rows.min(), rows.max()) == (3, 6)
    assert (columns.min(), columns.max()) == (3, 6)


def test_the_pyramid_reaches_2_4_and_6_pixels_and_the_pool_everywhere():
    block = ASPP(1)
    for p in block.parameters():
        torch.nn.init.zeros_(p)
    x = torch.zeros(1, 1, 15, 15)
    x[..., 7, 7] = 1
    torch.nn.init.ones_(block.out.weight)
    for d in (2, 4, 6):
        branch = getattr(block, f"d{d}")
        torch.nn.init.ones_(branch.weight)
        reached = {tuple(p) for p in (block(x)[0, 0].nonzero() - 7).tolist()}
        assert reached == {(i, j) for i in (-d, 0, d) for j in (-d, 0, d)}
        torch.nn.init.zeros_(branch.weight)
    torch.nn.init.ones_(block.pool.weight)
    torch.testing.assert_close(block(x), torch.full((1, 1, 15, 15), 1 / 225))


def test_every_parameter_gets_a_gradient():
    net = Upsam(4, widths=(4, 4, 4))
    net(torch.randn(4, 4, 3, 3))[:, 1].square().sum().backward()
    # A bias before a BatchNorm in train mode is taken out again: its gradient is zero.
    still = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert still == []
    weights = [p.grad.abs().sum() for n, p in net.named_parameters() if n.endswith("weight")]
    assert min(weights) > 0


def as_vectors(net: Upsam) -> dict[str, np.ndarray]:
    state = {k: v for k, v in net.state_dict().items() if not k.endswith("batches_tracked")}
    return {f"w/{k}": v.numpy() for k, v in state.items()} | {"x": np.zeros(3)}


def test_loaded_vectors_make_the_same_decoder(small):
    copy = Upsam(8, widths=(6, 5, 4)).eval()
    x = torch.randn(1, 8, 3, 3)
    assert not torch.allclose(copy(x), small(x))
    copy.load_vectors(as_vectors(small))
    assert torch.equal(copy(x), small(x))


@pytest.mark.parametrize("fault", ["missing", "unknown", "shape"])
def test_vectors_that_do_not_fit_are_refused(small, fault):
    arrays = as_vectors(small)
    if fault == "missing":
        del arrays["w/aspp.out.bias"]
    elif fault == "unknown":
        arrays["w/aspp.d8.weight"] = np.zeros((5, 5, 3, 3), np.float32)
    else:
        arrays["w/up1.deconv.weight"] = np.zeros((8, 7, 4, 4), np.float32)
    with pytest.raises(RuntimeError, match=r"aspp\.out\.bias|aspp\.d8|up1\.deconv\.weight"):
        Upsam(8, widths=(6, 5, 4)).load_vectors(arrays)


def test_the_folded_decoder_gives_the_same_map_and_leaves_the_original_alone(small):
    before = {k: v.clone() for k, v in small.state_dict().items()}
    folded = small.train().folded()
    x = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(folded(x), small.eval()(x), atol=1e-5, rtol=1e-5)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    assert all(torch.equal(v, before[k]) for k, v in small.state_dict().items())
