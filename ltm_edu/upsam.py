"""Upsam, the decoder of the paper's figure 2: from attended query features to a mask.

residual -> deconv -> residual -> deconv -> residual -> ASPP -> deconv -> residual -> deconv.
The sequence is printed in the paper; channels and kernel sizes are those of the released code.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Residual(nn.Module):
    """x + (conv 3x3, BN, ReLU, conv 3x3, BN, ReLU)(x); keeps (B, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return x + F.relu(self.bn2(self.conv2(y)), inplace=True)


class Deconv(nn.Module):
    """Transposed conv 4x4 with stride 2, BN, ReLU: twice the height and width."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, h, w) -> (B, C_out, 2h, 2w)."""
        return F.relu(self.bn(self.deconv(x)), inplace=True)


class ASPP(nn.Module):
    """Atrous spatial pyramid: one map seen at several ranges, put back together.

    A global pool, a 1x1 and three 3x3 convolutions with dilation 2, 4 and 6, concatenated and
    mixed by a 1x1. The paper's figure draws the last four; the pool is in the released code.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.Conv2d(channels, channels, 1)
        self.d1 = nn.Conv2d(channels, channels, 1)
        self.d2 = nn.Conv2d(channels, channels, 3, padding=2, dilation=2)
        self.d4 = nn.Conv2d(channels, channels, 3, padding=4, dilation=4)
        self.d6 = nn.Conv2d(channels, channels, 3, padding=6, dilation=6)
        self.out = nn.Conv2d(5 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        pooled = self.pool(x.mean(dim=(2, 3), keepdim=True)).expand_as(x)
        branches = [pooled, self.d1(x), self.d2(x), self.d4(x), self.d6(x)]
        return self.out(torch.cat(branches, dim=1))


class LastDeconv(nn.Module):
    """The last step to two channels: transposed conv, BN, conv 1x1, BN; no ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(channels, 2, 4, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(2)
        self.conv = nn.Conv2d(2, 2, 1)
        self.bn2 = nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 2, 2h, 2w)."""
        return self.bn2(self.conv(self.bn1(self.deconv(x))))


class Upsam(nn.Sequential):
    """The decoder: attended query features to background and foreground logits, 16 times larger.

    Args:
        in_channels: channels of F^'_q (2048 in the paper).
        widths: channels after the first three deconvolutions.

    Shape:
        (B, in_channels, h, w) -> (B, 2, 16h, 16w).

    >>> Upsam(8, widths=(8, 4, 4)).eval()(torch.zeros(1, 8, 5, 5)).shape
    torch.Size([1, 2, 80, 80])
    """

    def __init__(self, in_channels: int, widths: Sequence[int] = (128, 64, 32)) -> None:
        w1, w2, w3 = widths
        super().__init__(
            OrderedDict(
                res0=Residual(in_channels),
                up1=Deconv(in_channels, w1),
                res1=Residual(w1),
                up2=Deconv(w1, w2),
                res2=Residual(w2),
                aspp=ASPP(w2),
                up3=Deconv(w2, w3),
                res3=Residual(w3),
                up4=LastDeconv(w3),
            )
        )

    def folded(self) -> Upsam:
        """A copy for eval mode in which each run of linear layers is one convolution.

        It gives the same map, up to rounding, in little more than half the time.
        """
        copy = deepcopy(self).eval()
        for block in copy.children():
            for conv, bn in _FOLDED.get(type(block), ()):
                layer, norm = getattr(block, conv), getattr(block, bn)
                fused = fuse_conv_bn_eval(layer, norm, isinstance(layer, nn.ConvTranspose2d))
                setattr(block, conv, fused)
                setattr(block, bn, nn.Identity())
        copy.aspp, copy.up4 = _SumOfBranches(copy.aspp), _OneConvolution(copy.up4)
        return copy

    def load_vectors(self, arrays: Mapping[str, object]) -> None:
        """Load weights named `w/<block>.<layer>.<parameter>`, as the conformance vectors are.

        The mapping is the identity: blocks and layers carry the same names here. Buffers that
        only count batches are left alone.

        Args:
            arrays: a mapping such as `numpy.load("upsample.npz")`; other keys are ignored.

        Raises:
            RuntimeError: a weight is missing, unknown or of another shape.
        """
        state = {k[2:]: torch.as_tensor(arrays[k]) for k in arrays if k.startswith("w/")}
        counters = {k: v for k, v in self.state_dict().items() if k.endswith("batches_tracked")}
        self.load_state_dict({**counters, **state})


class _SumOfBranches(nn.Module):
    """An ASPP in eval mode: the last 1x1 convolution is part of each branch, and they are added."""

    @torch.no_grad()
    def __init__(self, aspp: ASPP) -> None:
        super().__init__()
        self.branches = nn.ModuleList([aspp.pool, aspp.d1, aspp.d2, aspp.d4, aspp.d6])
        parts = aspp.out.weight[:, :, 0, 0].chunk(5, dim=1)
        for branch, part in zip(self.branches, parts, strict=True):
            weight = torch.einsum("oc,cikl->oikl", part, branch.weight)
            branch.weight.copy_(weight)
            branch.bias.copy_(part @ branch.bias)
        aspp.pool.bias += aspp.out.bias

    def forward(self, x: Tensor) -> Tensor:
        pool, *others = self.branches
        pooled = pool(x.mean(dim=(2, 3), keepdim=True))
        return sum((branch(x) for branch in others), pooled)


class _OneConvolution(nn.Module):
    """A LastDeconv without BatchNorm as one 3x3 convolution, in channels_last.

    Each of the two maps is computed as four, the even and odd rows and columns of the larger map.

    In each direction, pixels 2 i and 2 i + 1 of the larger map cover input pixel i. Pixel 2 i takes
    input pixel i with element 1 of the 4x4 kernel, and i - 1 with element 3; pixel 2 i + 1 takes i
    with element 2, and i + 1 with element 0.
    """

    @torch.no_grad()
    def __init__(self, last: LastDeconv) -> None:
        super().__init__()
        mix = last.conv.weight[:, :, 0, 0]
        kernel = torch.einsum("oc,icyx->oiyx", mix, last.deconv.weight)
        take = kernel.new_zeros(2, 3, 4)  # even or odd, input pixel i - 1 / i / i + 1, element
        take[0, 0, 3] = take[0, 1, 1] = take[1, 1, 2] = take[1, 2, 0] = 1
        weight = torch.einsum("oiyx,awy,bvx->aboiwv", kernel, take, take).flatten(0, 2)
        bias = mix @ last.deconv.bias + last.conv.bias
        self.conv = nn.Conv2d(weight.shape[1], len(weight), 3, padding=1)
        self.conv.weight.copy_(weight)
        self.conv.bias.copy_(bias.repeat(4))
        self.conv.to(weight.device, memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        B, _, h, w = x.shape
        even_odd = self.conv(x).permute(0, 2, 3, 1).unflatten(3, (2, 2, 2))
        return even_odd.transpose(2, 3).reshape(B, 2 * h, 2 * w, 2).permute(0, 3, 1, 2)


_FOLDED = {
    Residual: (("conv1", "bn1"), ("conv2", "bn2")),
    Deconv: (("deconv", "bn"),),
    LastDeconv: (("deconv", "bn1"), ("conv", "bn2")),
}
