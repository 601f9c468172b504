"""LTM: frozen backbone, T_e and T_f, a transformation, Upsam. Two recipes: paper and small.

Shapes that all methods share: F_q, features of the query (B, C, h, w), a map for each query scale;
F_s, features of the supports (B, K, C, h, w); G_s, their masks on the grid (B, K, 1, h, w), values
in [0, 1]; size, the (H, W) of M.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, dataclass, fields, replace
from typing import NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .backbones import Backbone, build_backbone
from .equations import attended_features, check_in_unit_range, check_shape, masked_features
from .geometry import map_to_image, mask_to_grid
from .store.errors import InputError
from .transformations import Rows, SelfRidgeTransformation, Shots, build_transformation
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
        E_q: embedding as a query without T_e's bias, (n, D, h, w); None where it equals E_s,
            because the query is used at one scale only.
        U_s: the backbone's own features as a support, (n, C, h, w); None where the network does
            not use them.
        U_q: the same as a query; None where it equals U_s.
    """

    E_s: Tensor
    F_hat: Tensor
    E_q: Tensor | None = None
    U_s: Tensor | None = None
    U_q: Tensor | None = None


_MOST_CHANNELS = 16_384
_SIZES = {
    "image_size": (32, 4096),
    "embedding": (0, _MOST_CHANNELS),
    "features": (1, _MOST_CHANNELS),
}
"""The sizes that a network may have: over them a checkpoint would take gigabytes when opened."""
_UNTRAINED_CUT = 0.4
"""Where `map_weight` counts the map of the backbone's own features as the object."""


@dataclass(frozen=True)
class LTMConfig:
    """Everything needed to build the network again; it travels in every checkpoint.

    Attributes:
        backbone: a registered name ("efficientnet_lite0", "resnet50"), or any model of timm.
        stages: which levels of the backbone to use; () leaves the choice to the backbone.
        image_size: side of the square that pictures are resized to, in pixels.
        embedding: D, channels of T_e; 0 takes as many as the backbone has.
        features: D', channels of T_f.
        widths: Upsam's channels.
        transformation: a name in `transformations.TRANSFORMATIONS`: "local" is the paper's,
            "global" compares with the averaged prototype.
        rows: mask rows, where the transformation leaves a choice ("local" and "self_support" do):
            "fg", the object, or "fg_bg", the object and the background.
        shots: how K supports are joined; see `Transformation`.
        query_scales: sizes of the query relative to image_size whose maps are averaged.
        residual: add A_hat, resized, times a factor and plus an offset that train, to the
            foreground's logit. The decoder then corrects the map instead of replacing it. Not in
            the paper.
        map_weight: when the trained network answers (in eval mode), it adds
            map_weight * (A_0 - 0.4) to the foreground's logit, where A_0 is the self_ridge map of
            the backbone's own features, for which nothing is trained. In training the decoder sees
            its own classes only, and trusts itself too much on others. Not in the paper.
    """

    backbone: str = "efficientnet_lite0"
    stages: tuple[int, ...] = ()
    image_size: int = 321
    embedding: int = 0
    features: int = 128
    widths: tuple[int, int, int] = (32, 16, 16)
    transformation: str = "local"
    rows: Rows = "fg"
    shots: Shots = "mean"
    query_scales: tuple[float, ...] = (1.0,)
    residual: bool = False
    map_weight: float = 0.0

    def __post_init__(self) -> None:
        for part in fields(self):
            value = getattr(self, part.name)
            if type(value) is not type(part.default):
                raise InputError(f"{part.name} {value!r}: expected something like {part.default!r}")
        for name, choices in (("rows", get_args(Rows)), ("shots", get_args(Shots))):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} {getattr(self, name)!r}: choose {' or '.join(choices)}")
        for name, (least, most) in _SIZES.items():
            if not least <= getattr(self, name) <= most:
                raise InputError(f"{name} {getattr(self, name)}: it must be {least} to {most:,}")
        if not all(type(stage) is int and 0 <= stage <= _MOST_CHANNELS for stage in self.stages):
            raise InputError(f"stages {self.stages}: whole numbers, as in 112,320")
        widths = [w for w in self.widths if type(w) is int and 0 < w <= _MOST_CHANNELS]
        if len(self.widths) != 3 or len(widths) != 3:
            raise InputError(
                f"widths {self.widths}: three numbers of channels, each 1 to {_MOST_CHANNELS:,}, "
                "as in 32,16,16"
            )
        if not 0 <= self.map_weight <= 1000:
            raise InputError(f"map_weight {self.map_weight}: it must be 0 to 1000")
        scales = [s for s in self.query_scales if type(s) in (int, float) and 0.1 <= s <= 4]
        if not scales or len(scales) != len(self.query_scales):
            raise InputError(
                f"query_scales {self.query_scales}: numbers between 0.1 and 4, as in 0.7,1,1.3"
            )

    def as_dict(self) -> dict:
        """Plain values, for checkpoints and JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict) -> LTMConfig:
        """The inverse of `as_dict`."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


PAPER = LTMConfig(
    backbone="resnet50", image_size=320, embedding=1000, features=2048, widths=(128, 64, 32)
)
SMALL = LTMConfig()


class FewShotModel(nn.Module):
    """Base class: support images, their masks and a query image in; the query's mask out.

    A subclass computes what depends on one picture in `embed`, and the logits in `decode`.

    Args:
        config: sizes and options.
        backbone: a frozen extractor; the one that `config` names by default.
    """

    def __init__(self, config: LTMConfig, backbone: Backbone | None = None) -> None:
        super().__init__()
        self.config = config
        if backbone is None:
            backbone = build_backbone(config.backbone, config.stages)
        self.backbone = backbone

    def embed(self, F_q: Sequence[Tensor], F_s: Tensor) -> Embedded:
        """What depends on one picture alone: it can be kept for many episodes.

        Args:
            F_q: features of n pictures, one (n, C, h, w) a query scale.
            F_s: features of the same pictures at scale 1, (n, C, h, w).
        """
        raise NotImplementedError

    def decode(self, F_hat: Tensor, A_hat: Tensor, size: Sequence[int]) -> Tensor:
        """Logits (B, 2, H, W) from T_f's features and the attention map."""
        raise NotImplementedError

    def embedding_bias(self) -> Tensor | float:
        """What is added to an embedding after the mask: T_e's bias, (D, 1, 1)."""
        return 0.0

    def forward(
        self, support_images: Tensor, support_masks: Tensor, query_images: Tensor
    ) -> LTMOutput:
        """Segment the query.

        Args:
            support_images: (B, K, 3, H, W), pixels in [0, 1]; (B, 3, H, W) counts as one shot.
            support_masks: (B, K, H, W), values in [0, 1]; (B, H, W) counts as one shot.
            query_images: (B, 3, H, W), pixels in [0, 1].

        Raises:
            ValueError: a shape does not fit the others, or pixels are not in [0, 1]; says which.
        """
        if support_images.dim() == 4:
            support_images, support_masks = support_images[:, None], support_masks[:, None]
        check_shape("support_images", support_images, "B", "K", 3, "H", "W")
        B, K, _, H, W = support_images.shape
        check_shape("support_masks", support_masks, B, K, H, W)
        check_shape("query_images", query_images, B, 3, "H", "W")
        hint = ": pixels of 0 to 255 are to be divided by 255"
        check_in_unit_range(support_images, "support_images", hint)
        check_in_unit_range(query_images, "query_images", hint)
        F_s = self.backbone(support_images.flatten(0, 1))
        masks = support_masks.flatten(0, 1)[:, None].float()
        G_s = mask_to_grid(masks, F_s.shape[-2:], self.backbone.stride)
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
        """The same from features; F_q may be one map without a list around it."""
        maps = [F_q] if isinstance(F_q, Tensor) else F_q
        query = self.embed(maps, _mean_on_grid(maps, F_s.shape[-2:]))
        support = F_s.flatten(0, 1)
        return self.forward_embedded(query, self.embed([support], support), G_s, size)

    def forward_embedded(
        self, query: Embedded, support: Embedded, G_s: Tensor, size: Sequence[int]
    ) -> LTMOutput:
        """The same from what `embed` returned; T_e is linear, so the mask may follow it.

        `query` holds the B queries, `support` the B * K supports, the K of an episode in a row.
        """
        bias = self.embedding_bias()
        E_s = self._masked(support.E_s, G_s) + bias  # T_e(G F) = G T_e(F), without the bias
        E_q = (query.E_s if query.E_q is None else query.E_q) + bias
        untrained = None
        if query.U_s is not None and support.U_s is not None:
            U_s = support.U_s.unflatten(0, G_s.shape[:2])
            untrained = query.U_s if query.U_q is None else query.U_q, U_s
        E_s = E_s.unflatten(0, G_s.shape[:2])
        return self._attend(E_q, E_s, query.F_hat, G_s, size, untrained)

    def _masked(self, F_s: Tensor, G_s: Tensor) -> Tensor:
        """Features of B * K supports, masked (equation 1) if the transformation asks for it."""
        return masked_features(F_s, G_s.flatten(0, 1)) if self.transformation.masks_support else F_s

    def _attend(
        self,
        E_q: Tensor,
        E_s: Tensor,
        F_hat: Tensor,
        G_s: Tensor,
        size: Sequence[int],
        untrained: tuple[Tensor, Tensor] | None = None,
    ) -> LTMOutput:
        """From embeddings and features to the mask; `untrained`: the backbone's own as E_q, E_s."""
        # Under autocast convolutions are computed in half precision, the equations never.
        with torch.autocast(E_q.device.type, enabled=False):
            A_hat = self.transformation(E_q, E_s, G_s)
            A_0 = None if untrained is None else self.untrained_transformation(*untrained, G_s)
        M = self.decode(F_hat, A_hat, size)
        if A_0 is not None:
            added = self.config.map_weight * _on_image(A_0 - _UNTRAINED_CUT, size)
            M = torch.cat([M[:, :1], M[:, 1:] + added], dim=1)
        rows = self.transformation.mask_rows(G_s.flatten(0, 1)).unflatten(0, G_s.shape[:2])
        return LTMOutput(M, A_hat, E_q, E_s, rows)

    def at_query_scales(self, scales: Sequence[float]) -> FewShotModel:
        """A model that shares these weights and uses its query at other scales."""
        return self._configured(query_scales=tuple(scales))

    def at_map_weight(self, weight: float) -> FewShotModel:
        """A model that shares these weights, with another weight for A_0; see `LTMConfig`."""
        return self._configured(map_weight=float(weight))

    def _configured(self, **options: object) -> FewShotModel:
        other = copy(self)
        other.config = replace(self.config, **options)
        return other

    def for_inference(self) -> FewShotModel:
        """A model in eval mode that gives the same results, faster where that is possible."""
        return self.eval()


class LTM(FewShotModel):
    """The paper's network. The backbone is frozen, and all else trains.

    Build one with `LTM.paper()`, `LTM.small()` or from a checkpoint (`ltm_edu.load_checkpoint`).
    """

    def __init__(self, config: LTMConfig, backbone: Backbone | None = None) -> None:
        super().__init__(config, backbone)
        C = self.backbone.channels
        self.T_e = nn.Conv2d(C, config.embedding or C, 1)
        self.T_f = nn.Conv2d(C, config.features, 1)
        self.transformation = build_transformation(config)
        self.untrained_transformation = SelfRidgeTransformation(shots=config.shots)
        self.upsam = Upsam(config.features, config.widths)
        if config.residual:  # at the start, a map over .6 adds to the object
            self.map_factor = nn.Parameter(torch.tensor(5.0))
            self.map_offset = nn.Parameter(torch.tensor(-3.0))
        self.register_buffer("feature_mean", torch.zeros(C, 1, 1))
        if config.embedding in (0, C):
            # The embedding starts as the features themselves, so training starts from the
            # training-free map instead of from noise.
            nn.init.dirac_(self.T_e.weight)
            nn.init.zeros_(self.T_e.bias)
        # On two CPU cores this layout trains Upsam almost twice as fast; the values are the same.
        self.to(memory_format=torch.channels_last)

    @classmethod
    def paper(cls, backbone: Backbone | None = None, **options: object) -> LTM:
        """The paper's network: ResNet-50 to layer3, 320 px, T_e 1000, T_f 2048; 83.5 M trainable.

        The options are any fields of `LTMConfig`, such as `query_scales=(0.7, 1.0, 1.3)`, with
        which the released code trains and tests.
        """
        return cls(replace(PAPER, **options), backbone)

    @classmethod
    def small(cls, backbone: Backbone | None = None, **options: object) -> LTM:
        """The laptop's network: EfficientNet-Lite0 at stride 16 and a narrow Upsam.

        The options are any fields of `LTMConfig`, such as `rows="fg_bg"` or `image_size=225`.
        """
        return cls(replace(SMALL, **options), backbone)

    def forward_features(
        self, F_q: Tensor | Sequence[Tensor], F_s: Tensor, G_s: Tensor, size: Sequence[int]
    ) -> LTMOutput:
        """In the paper's order, equation 1 before T_e; everything that trains calls this."""
        maps = [m - self.feature_mean for m in ([F_q] if isinstance(F_q, Tensor) else F_q)]
        grid = F_s.shape[-2:]
        centred_q = _mean_on_grid(maps, grid)
        E_q = self.T_e(centred_q).float()
        centred = self._masked(F_s.flatten(0, 1) - self.feature_mean, G_s)
        E_s = self.T_e(centred).float().unflatten(0, F_s.shape[:2])
        F_hat = _mean_on_grid([F.relu(self.T_f(m)) for m in maps], grid)
        untrained = None
        if self._uses_untrained():
            untrained = centred_q.float() + self.feature_mean, F_s.float()
        return self._attend(E_q, E_s, F_hat, G_s, size, untrained)

    def _uses_untrained(self) -> bool:
        return self.config.map_weight > 0 and not self.training

    def embed(self, F_q: Sequence[Tensor], F_s: Tensor) -> Embedded:
        """See `FewShotModel.embed`."""
        maps, grid = [m - self.feature_mean for m in F_q], F_s.shape[-2:]
        F_hat = _mean_on_grid([F.relu(self.T_f(m)) for m in maps], grid)
        E_s = F.conv2d(F_s - self.feature_mean, self.T_e.weight).float()
        U_s = F_s.float() if self._uses_untrained() else None
        if len(maps) == 1:
            return Embedded(E_s, F_hat, U_s=U_s)
        centred = _mean_on_grid(maps, grid)
        U_q = None if U_s is None else centred.float() + self.feature_mean
        return Embedded(E_s, F_hat, F.conv2d(centred, self.T_e.weight).float(), U_s, U_q)

    def embedding_bias(self) -> Tensor:
        """T_e's bias, (D, 1, 1)."""
        return self.T_e.bias[:, None, None]

    def decode(self, F_hat: Tensor, A_hat: Tensor, size: Sequence[int]) -> Tensor:
        """Equation 7 and Upsam; with `residual` the map as well."""
        M = self.upsam(attended_features(F_hat, A_hat)).float()
        M = map_to_image(M, size, A_hat.shape[-2:])
        if not self.config.residual:
            return M
        object_logit = M[:, 1:] + self.map_factor * _on_image(A_hat, size) + self.map_offset
        return torch.cat([M[:, :1], object_logit], dim=1)

    def for_inference(self) -> LTM:
        """A model in eval mode that shares these weights, except for a decoder that is faster."""
        fast = copy(self)
        fast._modules = {**self._modules, "upsam": self.upsam.folded()}
        return fast.eval()

    @torch.no_grad()
    def centre_features(self, mean: Tensor) -> None:
        """Set the mean feature vector (C,) that is subtracted from features before T_e and T_f."""
        self.feature_mean.copy_(mean[:, None, None])

    @property
    def trainable(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def trainable_state(self) -> dict[str, Tensor]:
        """The state without the frozen backbone: what a checkpoint keeps."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("backbone.")}


class TrainingFreeMap(FewShotModel):
    """The attention map of the frozen features themselves, cut at a threshold: nothing is trained.

    The floor that a trained model must clear. T_e is the identity; the map is compared with the
    threshold after it is resized to the image.

    Args:
        config: backbone, picture size and rows; what concerns training is ignored.
        backbone: as in `FewShotModel`.
        threshold: A_hat above it is foreground. The defaults, .6 for one mask row and .7 for two,
            did best on episodes of 361 development photographs, all 80 classes; the scores of
            the map on those photographs are therefore a little too high.
    """

    def __init__(
        self, config: LTMConfig, backbone: Backbone | None = None, threshold: float | None = None
    ) -> None:
        super().__init__(config, backbone)
        self.transformation = build_transformation(config)
        self.threshold = {"fg": 0.6, "fg_bg": 0.7}[config.rows] if threshold is None else threshold

    def embed(self, F_q: Sequence[Tensor], F_s: Tensor) -> Embedded:
        """See `FewShotModel.embed`; there is no T_f."""
        E_q = None if len(F_q) == 1 else _mean_on_grid(F_q, F_s.shape[-2:]).float()
        return Embedded(F_s.float(), F_s[:, :0], E_q)

    def decode(self, F_hat: Tensor, A_hat: Tensor, size: Sequence[int]) -> Tensor:
        """Logits whose second channel is positive where the map is over the threshold."""
        on_image = _on_image(A_hat, size)
        return torch.cat([self.threshold - on_image, on_image - self.threshold], dim=1)


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


def _on_image(A_hat: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(A_hat, tuple(size), mode="bilinear", align_corners=True)


def _mean_on_grid(maps: Sequence[Tensor], grid: Sequence[int]) -> Tensor:
    if len(maps) == 1 and maps[0].shape[-2:] == torch.Size(grid):
        return maps[0]
    on_grid = [F.interpolate(m, tuple(grid), mode="bilinear", align_corners=False) for m in maps]
    return torch.stack(on_grid).mean(dim=0)
