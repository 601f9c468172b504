"""LTM: frozen backbone, T_e and T_f, a transformation, Upsam. Two recipes: paper and small."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backbones import STAGES, Backbone, EfficientNetLite0, ResNet50
from .equations import attended_features, masked_features
from .geometry import map_to_image, mask_to_grid
from .store.errors import InputError
from .transformations import GlobalTransformation, LocalTransformation, Rows, Shots
from .upsam import Upsam


class LTMOutput(NamedTuple):
    """What a forward pass gives.

    Attributes:
        M: logits, (B, 2, H, W), channels background and foreground, at the query's size.
        A_hat: normalised attention map, (B, 1, h, w), in [0, 1].
        E_q: query embedding, (B, D, h, w).
        E_s: support embedding, (B, K, D, h, w).
        G_s: support masks on the grid, one row a mask row, (B, K, m, h, w), in [0, 1].
    """

    M: Tensor
    A_hat: Tensor
    E_q: Tensor
    E_s: Tensor
    G_s: Tensor


class Embedded(NamedTuple):
    """All that the network computes from one picture alone, for n pictures.

    Attributes:
        E_s: embedding as a support, without T_e's bias and before the mask, (n, D, h, w).
        F_hat: T_f's features as a query, (n, D', h, w).
        E_q: embedding as a query without T_e's bias, (n, D, h, w); None where it is E_s, for the
            query is seen at one scale only.
    """

    E_s: Tensor
    F_hat: Tensor
    E_q: Tensor | None = None


@dataclass(frozen=True)
class LTMConfig:
    """Everything needed to build the network again; it travels in every checkpoint.

    Attributes:
        backbone: "efficientnet_lite0" or "resnet50".
        stages: depths of EfficientNet-Lite0 to use.
        image_size: side of the square that pictures are resized to.
        embedding: D, channels of T_e.
        features: D', channels of T_f.
        widths: Upsam's channels.
        transformation: "local" (the paper) or "global" (averaged prototype).
        rows: mask rows of the local transformation.
        shots: how K supports join.
        query_scales: sizes of the query relative to image_size whose maps are averaged.
    """

    backbone: Literal["efficientnet_lite0", "resnet50"] = "efficientnet_lite0"
    stages: tuple[int, ...] = (112, 320)
    image_size: int = 321
    embedding: int = 432
    features: int = 128
    widths: tuple[int, int, int] = (32, 16, 16)
    transformation: Literal["local", "global"] = "local"
    rows: Rows = "fg"
    shots: Shots = "mean"
    query_scales: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.image_size < 32:
            raise InputError(f"image size {self.image_size}: it must be at least 32 pixels")
        for name, known in (
            ("backbone", ("efficientnet_lite0", "resnet50")),
            ("transformation", ("local", "global")),
            ("rows", ("fg", "fg_bg")),
            ("shots", ("mean", "stack")),
        ):
            if getattr(self, name) not in known:
                raise InputError(f"{name} {getattr(self, name)!r}: it is {' or '.join(known)}")
        for name in ("embedding", "features"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}: it must be at least 1")
        if len(self.widths) != 3 or min(self.widths) < 1:
            raise InputError(f"widths {self.widths}: three numbers of channels, as in 32,16,16")
        if not self.query_scales or not all(0.1 <= s <= 4 for s in self.query_scales):
            raise InputError(
                f"query_scales {self.query_scales}: numbers between 0.1 and 4, as in 0.7,1,1.3"
            )
        if self.backbone == "efficientnet_lite0" and set(self.stages) not in STAGES:
            raise InputError(f"stages {self.stages}: it is 112 or 320, or 112,320")

    def as_dict(self) -> dict:
        """Plain values, for checkpoints and JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict) -> LTMConfig:
        """The inverse of `as_dict`."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


PAPER = LTMConfig(
    backbone="resnet50",
    stages=(),
    image_size=320,
    embedding=1000,
    features=2048,
    widths=(128, 64, 32),
)
SMALL = LTMConfig()


class LTM(nn.Module):
    """Support images, their masks and a query image in; the query's mask out.

    Build one with `LTM.paper()`, `LTM.small()` or from a checkpoint (`ltm_edu.load_checkpoint`).
    The backbone is frozen and stays in eval mode; T_e, T_f and Upsam train.

    Args:
        config: sizes and options.
        backbone: a frozen extractor that fits `config`; `build_backbone(config)` by default.
    """

    def __init__(self, config: LTMConfig, backbone: Backbone | None = None) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone if backbone is not None else build_backbone(config)
        C = self.backbone.channels
        self.T_e = nn.Conv2d(C, config.embedding, 1)
        self.T_f = nn.Conv2d(C, config.features, 1)
        self.transformation = (
            LocalTransformation(config.rows, config.shots)
            if config.transformation == "local"
            else GlobalTransformation()
        )
        self.upsam = Upsam(config.features, config.widths)
        self.register_buffer("feature_mean", torch.zeros(C, 1, 1))
        if config.embedding == C:
            # The embedding starts as the features themselves, so training starts from the
            # training-free map instead of from noise.
            nn.init.dirac_(self.T_e.weight)
            nn.init.zeros_(self.T_e.bias)
        # On two CPU cores this layout trains Upsam almost twice as fast; the values are the same.
        self.to(memory_format=torch.channels_last)

    @classmethod
    def paper(
        cls,
        query_scales: Sequence[float] = (1.0,),
        backbone: Backbone | None = None,
        **options: object,
    ) -> LTM:
        """The paper's network: ResNet-50 to layer3, 320 px, T_e 1000, T_f 2048; 83.5 M trainable.

        Args:
            query_scales: (0.7, 1.0, 1.3) is what the released code trains and tests with.
            backbone: a frozen extractor to use instead of a newly loaded one.
            options: any field of `LTMConfig`.
        """
        return cls(replace(PAPER, query_scales=tuple(query_scales), **options), backbone)

    @classmethod
    def small(cls, backbone: Backbone | None = None, **options: object) -> LTM:
        """The laptop's network: EfficientNet-Lite0 at stride 16 and a narrow Upsam.

        Args:
            backbone: a frozen extractor to use instead of a newly loaded one.
            options: any field of `LTMConfig`, such as `rows="fg_bg"` or `image_size=225`.
        """
        return cls(replace(SMALL, **options), backbone)

    def forward(
        self, support_images: Tensor, support_masks: Tensor, query_images: Tensor
    ) -> LTMOutput:
        """Segment the query.

        Args:
            support_images: (B, K, 3, H, W), pixels in [0, 1]; (B, 3, H, W) counts as one shot.
            support_masks: (B, K, H, W), values in [0, 1]; (B, H, W) counts as one shot.
            query_images: (B, 3, H, W), pixels in [0, 1].

        Raises:
            ValueError: a shape does not fit the others; says which.
        """
        if support_images.dim() == 4:
            support_images, support_masks = support_images[:, None], support_masks[:, None]
        B, K = support_images.shape[:2]
        if support_images.dim() != 5 or support_images.shape[2] != 3:
            raise ValueError(
                f"support_images has shape {tuple(support_images.shape)}, expected (B, K, 3, H, W)"
            )
        expected = (B, K, *support_images.shape[3:])
        if support_masks.shape != expected:
            raise ValueError(
                f"support_masks has shape {tuple(support_masks.shape)}, expected {expected}"
            )
        if query_images.dim() != 4 or query_images.shape[:2] != (B, 3):
            raise ValueError(
                f"query_images has shape {tuple(query_images.shape)}, expected ({B}, 3, H, W)"
            )
        F_s = self.backbone(support_images.flatten(0, 1))
        G_s = mask_to_grid(
            support_masks.flatten(0, 1)[:, None].float(), F_s.shape[-2:], self.backbone.stride
        )
        return self.forward_features(
            self.query_features(query_images),
            F_s.unflatten(0, (B, K)),
            G_s.unflatten(0, (B, K)),
            query_images.shape[-2:],
        )

    def query_features(self, images: Tensor) -> list[Tensor]:
        """Backbone features of the query, a map for each of `config.query_scales`."""
        return features_at_scales(self.backbone, images, self.config.query_scales)

    def forward_features(
        self, F_q: Tensor | Sequence[Tensor], F_s: Tensor, G_s: Tensor, size: Sequence[int]
    ) -> LTMOutput:
        """The same from features: what a cache calls, and everything that trains.

        Args:
            F_q: query features (B, C, h, w), or a list of them, one a query scale.
            F_s: support features, (B, K, C, h, w).
            G_s: support masks on the grid, (B, K, 1, h, w), in [0, 1].
            size: (H, W) that M is brought to.
        """
        maps = [m - self.feature_mean for m in ([F_q] if isinstance(F_q, Tensor) else F_q)]
        grid = F_s.shape[-2:]
        query = _mean_on_grid(maps, grid)
        E_q = self.T_e(query).float()
        seen = F_s.flatten(0, 1) - self.feature_mean
        if self.transformation.masks_support:
            seen = masked_features(seen, G_s.flatten(0, 1))
        E_s = self.T_e(seen).float().unflatten(0, F_s.shape[:2])
        F_hat = _mean_on_grid([F.relu(self.T_f(m)) for m in maps], grid)
        return self._attend(E_q, E_s, F_hat, G_s, size)

    def embed(self, F_q: Sequence[Tensor], F_s: Tensor) -> Embedded:
        """What can be kept of pictures that are asked about many times.

        Args:
            F_q: their features, one (n, C, h, w) a query scale.
            F_s: their features at scale 1, (n, C, h, w).
        """
        maps, grid = [m - self.feature_mean for m in F_q], F_s.shape[-2:]
        F_hat = _mean_on_grid([F.relu(self.T_f(m)) for m in maps], grid)
        E_s = F.conv2d(F_s - self.feature_mean, self.T_e.weight).float()
        if len(maps) == 1:
            return Embedded(E_s, F_hat)
        return Embedded(E_s, F_hat, F.conv2d(_mean_on_grid(maps, grid), self.T_e.weight).float())

    def forward_embedded(
        self, query: Embedded, support: Embedded, G_s: Tensor, size: Sequence[int]
    ) -> LTMOutput:
        """`forward_features` from `embed`: equal up to rounding, for T_e is linear.

        Args:
            query: of the B queries.
            support: of the B * K supports, an episode's K together.
            G_s: support masks on the grid, (B, K, 1, h, w), in [0, 1].
            size: (H, W) that M is brought to.
        """
        seen, flat = support.E_s, G_s.flatten(0, 1)
        if self.transformation.masks_support:
            seen = masked_features(seen, flat)  # T_e(G F) = G T_e(F), but for the bias
        bias = self.T_e.bias[:, None, None]
        E_s = (seen + bias).unflatten(0, G_s.shape[:2])
        E_q = (query.E_s if query.E_q is None else query.E_q) + bias
        return self._attend(E_q, E_s, query.F_hat, G_s, size)

    def _attend(
        self, E_q: Tensor, E_s: Tensor, F_hat: Tensor, G_s: Tensor, size: Sequence[int]
    ) -> LTMOutput:
        """From embeddings and features to the mask: equations 2 to 7 and Upsam."""
        # Under autocast convolutions are computed in half precision, the equations never.
        with torch.autocast(E_q.device.type, enabled=False):
            A_hat = self.transformation(E_q, E_s, G_s)
        M = self.upsam(attended_features(F_hat, A_hat)).float()
        rows = self.transformation.mask_rows(G_s.flatten(0, 1)).unflatten(0, G_s.shape[:2])
        return LTMOutput(map_to_image(M, size, E_s.shape[-2:]), A_hat, E_q, E_s, rows)

    def at_query_scales(self, scales: Sequence[float]) -> LTM:
        """A model that shares these weights and sees its query at other scales."""
        other = copy(self)
        other.config = replace(self.config, query_scales=tuple(scales))
        return other

    def for_inference(self) -> LTM:
        """A model in eval mode that shares these weights, but for a decoder that is faster."""
        fast = copy(self)
        fast._modules = {**self._modules, "upsam": self.upsam.folded()}
        return fast.eval()

    @torch.no_grad()
    def centre_features(self, mean: Tensor) -> None:
        """Set the mean feature vector (C,) that is taken from all features before T_e and T_f."""
        self.feature_mean.copy_(mean[:, None, None])

    def trainable_state(self) -> dict[str, Tensor]:
        """The state without the frozen backbone: what a checkpoint keeps."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("backbone.")}


class TrainingFreeMap(nn.Module):
    """The attention map of the frozen features themselves, cut at a threshold: nothing is trained.

    The floor that a trained model must clear. T_e is the identity; the map is compared with the
    threshold after it is resized to the image.

    Args:
        config: backbone, picture size and rows; what concerns training is ignored.
        backbone: a frozen extractor that fits `config`.
        threshold: A_hat above it is foreground. The defaults, .6 for one mask row and .7 for two,
            did best on episodes of 361 development photographs, all 80 classes; emoji5i's were
            not looked at. On those photographs they flatter the map a little.
    """

    def __init__(
        self, config: LTMConfig, backbone: Backbone | None = None, threshold: float | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone if backbone is not None else build_backbone(config)
        self.transformation = LocalTransformation(config.rows, config.shots)
        self.threshold = {"fg": 0.6, "fg_bg": 0.7}[config.rows] if threshold is None else threshold

    def query_features(self, images: Tensor) -> list[Tensor]:
        """As `LTM.query_features`."""
        return features_at_scales(self.backbone, images, self.config.query_scales)

    def forward_features(
        self, F_q: Tensor | Sequence[Tensor], F_s: Tensor, G_s: Tensor, size: Sequence[int]
    ) -> LTMOutput:
        """As `LTM.forward_features`; M is positive in its second channel above the threshold."""
        E_q = _mean_on_grid([F_q] if isinstance(F_q, Tensor) else list(F_q), F_s.shape[-2:])
        return self._cut(E_q.float(), F_s.float(), G_s, size)

    def embed(self, F_q: Sequence[Tensor], F_s: Tensor) -> Embedded:
        """As `LTM.embed`; there is no T_f."""
        E_q = None if len(F_q) == 1 else _mean_on_grid(F_q, F_s.shape[-2:]).float()
        return Embedded(F_s.float(), F_s[:, :0], E_q)

    def forward_embedded(
        self, query: Embedded, support: Embedded, G_s: Tensor, size: Sequence[int]
    ) -> LTMOutput:
        """As `LTM.forward_embedded`."""
        E_q = query.E_s if query.E_q is None else query.E_q
        return self._cut(E_q, support.E_s.unflatten(0, G_s.shape[:2]), G_s, size)

    def for_inference(self) -> TrainingFreeMap:
        """Itself: there is nothing to fold."""
        return self.eval()

    def _cut(self, E_q: Tensor, F_s: Tensor, G_s: Tensor, size: Sequence[int]) -> LTMOutput:
        A_hat = self.transformation(E_q, F_s, G_s)
        on_image = F.interpolate(A_hat, tuple(size), mode="bilinear", align_corners=True)
        M = torch.cat([self.threshold - on_image, on_image - self.threshold], dim=1)
        return LTMOutput(M, A_hat, E_q, F_s, G_s)


def build_backbone(config: LTMConfig) -> Backbone:
    """The frozen extractor that a configuration names, with its ImageNet weights."""
    if config.backbone == "efficientnet_lite0":
        return EfficientNetLite0.pretrained(config.stages)
    if config.backbone == "resnet50":
        return ResNet50.pretrained()
    raise InputError(f"backbone {config.backbone!r}: choose efficientnet_lite0 or resnet50")


def features_at_scales(backbone: Backbone, images: Tensor, scales: Sequence[float]) -> list[Tensor]:
    """Backbone features (n, C, h, w) of images (n, 3, H, W) resized by each scale."""
    maps = []
    for scale in scales:
        at_scale = images
        if scale != 1:
            size = [max(backbone.stride, round(s * scale)) for s in images.shape[-2:]]
            at_scale = F.interpolate(images, size, mode="bilinear", align_corners=False)
        maps.append(backbone(at_scale))
    return maps


def _mean_on_grid(maps: Sequence[Tensor], grid: Sequence[int]) -> Tensor:
    if len(maps) == 1 and maps[0].shape[-2:] == torch.Size(grid):
        return maps[0]
    on_grid = [F.interpolate(m, tuple(grid), mode="bilinear", align_corners=False) for m in maps]
    return torch.stack(on_grid).mean(dim=0)
