"""The network: the equations in a row, what trains, what the decoder sees, the two recipes."""

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from helpers import TinyBackbone, tiny_model
from torch import Tensor

from ltm_edu.backbones import TimmBackbone
from ltm_edu.equations import (
    attention,
    generalized_inverse,
    normalize_attention,
    relationship_matrix,
)
from ltm_edu.geometry import map_to_image, mask_to_grid
from ltm_edu.losses import LossWeights, ltm_loss
from ltm_edu.model import LTM, PAPER, SMALL, LTMConfig, LTMOutput, TrainingFreeMap
from ltm_edu.store.errors import InputError
from ltm_edu.transformations import GlobalTransformation, LocalTransformation

KINDS = {
    "fg": {"rows": "fg"},
    "fg_bg": {"rows": "fg_bg"},
    "stack": {"shots": "stack"},
    "global": {"transformation": "global"},
}
kinds = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)


def episode(B: int = 2, K: int = 1, side: int = 97) -> tuple[Tensor, Tensor, Tensor]:
    """Support images, their masks, query images."""
    masks = torch.zeros(B, K, side, side)
    for b in range(B):
        for k in range(K):
            top, left = torch.randint(0, side // 2, (2,))
            masks[b, k, top : top + side // 2, left : left + side // 3] = 1
    return torch.rand(B, K, 3, side, side), masks, torch.rand(B, 3, side, side)


def shaken(model: LTM) -> LTM:
    """Move T_e off its start, the identity."""
    torch.nn.init.normal_(model.T_e.weight, std=0.5)
    torch.nn.init.normal_(model.T_e.bias, std=0.5)
    return model.eval()


def test_weights_lie_channels_last_and_the_layout_changes_no_value():
    model, given = shaken(tiny_model()), episode()
    last = [p for p in model.parameters() if p.dim() == 4 and p.shape[2] > 1]
    assert last
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in last)
    before = model(*given).M
    model.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(model(*given).M, before, atol=1e-5, rtol=1e-4)


def test_a_forward_pass_is_the_equations_in_a_row():
    model = shaken(tiny_model())
    images, masks, query = episode(B=1)
    out = model(images, masks, query)

    F_s, F_q = model.backbone(images[:, 0]), model.backbone(query)
    G_s = mask_to_grid(masks, (7, 7))
    E_s, E_q = model.T_e(F_s * G_s), model.T_e(F_q)
    R = relationship_matrix(E_q, E_s)
    A = (R @ generalized_inverse(G_s)).squeeze(2)
    A_hat = (A - A.min()) / (A.max() - A.min() + 1e-5)
    A_hat = A_hat.view(1, 1, 7, 7)
    M = map_to_image(model.upsam(F.relu(model.T_f(F_q)) * A_hat), (97, 97), (7, 7))

    torch.testing.assert_close(out.A_hat, A_hat, atol=1e-5, rtol=0)
    torch.testing.assert_close(out.M, M, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(out.E_q, E_q)
    torch.testing.assert_close(out.E_s[:, 0], E_s)
    torch.testing.assert_close(out.G_s[:, 0], G_s)


@kinds
@pytest.mark.parametrize("K", [1, 3])
def test_shapes_are_those_of_the_notation(options, K):
    out = tiny_model(**options).eval()(*episode(K=K))
    assert out.M.shape == (2, 2, 97, 97)
    assert out.A_hat.shape == (2, 1, 7, 7)
    assert out.E_q.shape == (2, 8, 7, 7)
    assert out.E_s.shape == (2, K, 8, 7, 7)
    assert out.G_s.shape == (2, K, 2 if options.get("rows") == "fg_bg" else 1, 7, 7)


def test_the_query_may_have_another_size_and_shape_than_the_supports():
    images, masks, _ = episode()
    out = tiny_model().eval()(images, masks, torch.rand(2, 3, 64, 120))
    assert out.M.shape == (2, 2, 64, 120)


def test_pictures_without_a_shots_dimension_count_as_one_shot():
    model = tiny_model().eval()
    images, masks, query = episode()
    torch.testing.assert_close(
        model(images[:, 0], masks[:, 0], query).M, model(images, masks, query).M
    )


@kinds
def test_an_episode_does_not_see_the_others_in_its_batch(options):
    model = shaken(tiny_model(**options))
    images, masks, query = episode(B=3, K=2)
    together = model(images, masks, query)
    for b in range(3):
        alone = model(images[b : b + 1], masks[b : b + 1], query[b : b + 1])
        torch.testing.assert_close(together.M[b : b + 1], alone.M, atol=1e-4, rtol=1e-4)


def test_the_decoder_sees_the_attended_features_and_nothing_else():
    model = shaken(tiny_model())
    fed = []
    model.upsam.register_forward_pre_hook(lambda _, given: fed.append(given))
    images, masks, query = episode()
    out = model(images, masks, query)
    ((attended,),) = fed
    expected = F.relu(model.T_f(model.backbone(query))) * out.A_hat
    torch.testing.assert_close(attended, expected)


@kinds
def test_with_an_empty_mask_every_query_looks_the_same(options):
    model = shaken(tiny_model(**options))
    images, masks, query = episode(B=1)
    out = model(images, masks * 0, query)
    assert (out.A_hat == 0).all()
    assert torch.equal(out.M, model(images, masks * 0, 1 - query).M)
    assert not torch.equal(model(images, masks, query).M, model(images, masks, 1 - query).M)


@kinds
@pytest.mark.parametrize("hidden", ["supports", "queries", "both"])
def test_empty_masks_give_finite_gradients_everywhere(options, hidden):
    model = tiny_model(**options)
    images, masks, query = episode(B=2, K=2)
    Y = masks[:, 0].long()
    if hidden != "queries":
        masks = masks * 0
    if hidden != "supports":
        Y = Y * 0
    G_q = model.transformation.mask_rows(mask_to_grid(Y[:, None].float(), (7, 7)))
    loss, _ = ltm_loss(model(images, masks, query), Y, G_q, LossWeights())
    assert loss.isfinite()
    loss.backward()
    trainable = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trainable)


@pytest.mark.parametrize(
    "options", [{"rows": "fg"}, {"rows": "fg_bg"}, {"transformation": "global"}], ids=str
)
def test_the_small_recipe_survives_an_empty_mask(lite0, options):
    model = LTM.small(lite0, image_size=97, **options)
    images, masks, query = episode(B=2)
    masks[1] = 0
    out = model(images, masks, query)
    assert (out.A_hat[1] == 0).all()
    assert out.A_hat[0].max() > 0.9
    G_q = model.transformation.mask_rows(mask_to_grid(masks, (7, 7)))
    ltm_loss(out, masks[:, 0].long(), G_q, LossWeights())[0].backward()
    trained = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert all(g is not None and g.isfinite().all() for g in trained.values())


@kinds
def test_every_part_but_the_backbone_gets_a_gradient(options):
    model = tiny_model(**options)
    images, masks, query = episode(B=3)
    G_q = model.transformation.mask_rows(mask_to_grid(masks, (7, 7)))
    ltm_loss(model(images, masks, query), masks[:, 0].long(), G_q, LossWeights())[0].backward()
    moved = {
        n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None and p.grad.any()
    }
    assert moved == {"T_e", "T_f", "upsam"}
    assert not any(p.requires_grad for p in model.backbone.parameters())


@pytest.mark.parametrize("rows", ["fg", "fg_bg"])
def test_the_supports_background_counts_for_two_rows_and_not_for_one(rows):
    model = shaken(tiny_model(rows=rows))
    F_q, F_s = torch.randn(1, 8, 7, 7), torch.randn(1, 1, 8, 7, 7)
    G_s = torch.zeros(1, 1, 1, 7, 7)
    G_s[..., 2:5, 2:5] = 1
    elsewhere = F_s + torch.randn_like(F_s) * (1 - G_s)
    before = model.forward_features(F_q, F_s, G_s, (97, 97))
    after = model.forward_features(F_q, elsewhere, G_s, (97, 97))
    assert torch.equal(before.M, after.M) == (rows == "fg")


def test_features_handed_in_are_as_good_as_images():
    model = shaken(tiny_model())
    images, masks, query = episode(K=2)
    F_s = model.backbone(images.flatten(0, 1)).unflatten(0, (2, 2))
    G_s = mask_to_grid(masks.flatten(0, 1)[:, None], (7, 7)).unflatten(0, (2, 2))
    for F_q in (model.query_features(query), model.backbone(query)):
        out = model.forward_features(F_q, F_s, G_s, (97, 97))
        torch.testing.assert_close(out.M, model(images, masks, query).M)


def test_the_backbone_sees_the_query_at_every_scale_and_the_support_at_one():
    model = tiny_model(image_size=320, query_scales=(0.7, 1.0, 1.3)).eval()
    model.backbone.seen.clear()
    images, masks, query = episode(side=320)
    model(images, masks, query)
    sides = [shape[-1] for shape in model.backbone.seen]
    assert sides == [320, 224, 320, 416]


def test_maps_of_several_scales_are_averaged_after_T_f():
    model = shaken(tiny_model(image_size=320, query_scales=(0.7, 1.0, 1.3)))
    images, masks, query = episode(B=1, side=320)
    fed = []
    model.upsam.register_forward_pre_hook(lambda _, given: fed.append(given[0]))
    out = model(images, masks, query)
    maps = []
    for side in (224, 320, 416):
        at_scale = F.interpolate(query, (side, side), mode="bilinear")
        maps.append(model.backbone(at_scale))

    def mean_on_grid(found: list[Tensor]) -> Tensor:
        return sum(F.interpolate(m, (20, 20), mode="bilinear") for m in found) / 3

    torch.testing.assert_close(out.E_q, model.T_e(mean_on_grid(maps)), atol=1e-4, rtol=1e-4)
    F_hat = mean_on_grid([F.relu(model.T_f(m)) for m in maps])
    torch.testing.assert_close(fed[0], F_hat * out.A_hat, atol=1e-4, rtol=1e-4)


def test_the_mean_feature_is_taken_out_before_the_mask_is_applied():
    model = shaken(tiny_model())
    images, masks, query = episode()
    mean = torch.linspace(-1, 1, model.backbone.channels)
    model.centre_features(mean)
    out = model(images, masks, query)
    F_q, F_s = model.backbone(query), model.backbone(images.flatten(0, 1))
    around = mean[None, :, None, None]
    torch.testing.assert_close(out.E_q, model.T_e(F_q - around), atol=1e-5, rtol=1e-5)
    expected = model.T_e((F_s - around) * out.G_s.flatten(0, 1))
    torch.testing.assert_close(out.E_s.flatten(0, 1), expected, atol=1e-5, rtol=1e-5)


# Where training starts


def test_an_embedding_as_wide_as_the_features_starts_as_the_training_free_map(lite0):
    for rows in ("fg", "fg_bg"):
        model = LTM.small(lite0, image_size=97, rows=rows).eval()
        free = TrainingFreeMap(model.config, lite0)
        F_q, F_s = torch.rand(1, lite0.channels, 7, 7), torch.rand(1, 1, lite0.channels, 7, 7)
        G_s = torch.rand(1, 1, 1, 7, 7)
        ours, theirs = (m.forward_features(F_q, F_s, G_s, (97, 97)).A_hat for m in (model, free))
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_the_training_free_map_is_cut_at_its_threshold():
    free = TrainingFreeMap(tiny_model().config, TinyBackbone(), threshold=0.3)
    F_q, F_s, G_s = torch.randn(2, 8, 7, 7), torch.randn(2, 1, 8, 7, 7), torch.rand(2, 1, 1, 7, 7)
    out = free.forward_features(F_q, F_s, G_s, (25, 31))
    A = attention(relationship_matrix(F_q, F_s[:, 0]), G_s[:, 0])
    A_hat = normalize_attention(A).view(2, 1, 7, 7)
    resized = F.interpolate(A_hat, (25, 31), mode="bilinear", align_corners=True)[:, 0]
    clear = (resized - 0.3).abs() > 1e-4
    assert torch.equal((out.M[:, 1] > out.M[:, 0])[clear], (resized > 0.3)[clear])
    assert [*free.parameters()] == [*free.backbone.parameters()]


# Recipes and configuration


def test_the_papers_network_has_83_and_a_half_million_trainable_parameters():
    with torch.device("meta"):
        model = LTM.paper(backbone=TimmBackbone("resnet50.tv_in1k", pretrained=False))
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert model.trainable == trainable
    T_e, T_f = 1024 * 1000 + 1000, 1024 * 2048 + 2048
    assert trainable == T_e + T_f + sum(p.numel() for p in model.upsam.parameters())
    assert round(trainable / 1e6, 1) == 83.5


def test_the_papers_network_works_on_a_grid_of_20_by_20():
    with torch.device("meta"):
        model = LTM.paper(backbone=TimmBackbone("resnet50.tv_in1k", pretrained=False))
        assert model.config.image_size == 320
        F_q = model.backbone(torch.rand(1, 3, 320, 320))
        assert F_q.shape == (1, 1024, 20, 20)
        assert model.T_e(F_q).shape == (1, 1000, 20, 20)
        assert model.upsam(model.T_f(F_q)).shape == (1, 2, 320, 320)


def test_recipes_take_any_option():
    small = LTM.small(TinyBackbone(), rows="fg_bg", shots="stack", image_size=225)
    assert small.config == LTMConfig(rows="fg_bg", shots="stack", image_size=225)
    assert isinstance(small.transformation, LocalTransformation)
    assert (small.transformation.rows, small.transformation.shots) == ("fg_bg", "stack")
    other = LTM.small(TinyBackbone(), transformation="global")
    assert isinstance(other.transformation, GlobalTransformation)
    with pytest.raises(TypeError, match="depth"):
        LTM.small(TinyBackbone(), depth=3)


@pytest.mark.parametrize("config", [PAPER, SMALL, LTMConfig(query_scales=(0.7, 1.0, 1.3))])
def test_a_configuration_survives_json(config):
    assert LTMConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config


def test_an_unknown_backbone_or_transformation_is_named():
    with pytest.raises(InputError, match=r"'vgg99' is unknown: choose efficientnet_lite0, resnet"):
        LTM(LTMConfig(backbone="vgg99"))
    with pytest.raises(InputError, match=r"'globall' is unknown: choose local, .*global"):
        LTM(LTMConfig(transformation="globall"), TinyBackbone())


@pytest.mark.parametrize("side", [0, -5, 31])
def test_a_picture_too_small_for_a_grid_is_refused(side):
    with pytest.raises(InputError, match=f"image_size {side}: it must be 32 to 4,096"):
        LTMConfig(image_size=side)


def test_the_trainable_state_leaves_the_backbone_out():
    model = tiny_model()
    names = set(model.trainable_state())
    assert {n.split(".")[0] for n in names} == {"T_e", "T_f", "upsam", "feature_mean"}
    assert {n for n, p in model.named_parameters() if p.requires_grad} <= names


def test_outputs_are_named_after_the_paper():
    assert LTMOutput._fields == ("M", "A_hat", "E_q", "E_s", "G_s")


def test_wrong_shapes_are_named():
    model = tiny_model()
    images, masks, query = episode(K=2)
    for named, spoilt in (
        ("support_images", (images[:, :, :2], masks, query)),
        ("support_images", (images[0, 0], masks, query)),
        ("support_masks", (images, masks[:, :1], query)),
        ("support_masks", (images, masks[..., :90], query)),
        ("query_images", (images, masks, query[:1])),
        ("query_images", (images, masks, query[:, :1])),
        ("query_images", (images, masks, query[0])),
    ):
        with pytest.raises(ValueError, match=f"^{named} has shape .*, expected"):
            model(*spoilt)


# Each picture once


@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rows": "fg_bg"},
        {"shots": "stack"},
        {"transformation": "global"},
        {"query_scales": (0.7, 1.0, 1.3)},
        {"map_weight": 4.0},
        {"map_weight": 4.0, "transformation": "self_support", "query_scales": (0.7, 1.3)},
    ],
    ids=str,
)
def test_embedding_pictures_once_gives_what_the_plain_way_gives(options, K):
    model = shaken(tiny_model(**options))
    model.centre_features(torch.linspace(-1, 1, model.backbone.channels))
    images, masks, query = episode(K=K)
    with torch.no_grad():
        plain = model(images, masks, query)
        F_q, flat = model.query_features(query), images.flatten(0, 1)
        asked = model.embed(F_q, model.backbone(query))
        seen = model.embed(model.query_features(flat), model.backbone(flat))
        grid = plain.A_hat.shape[-2:]
        G_s = mask_to_grid(masks.flatten(0, 1)[:, None], grid).unflatten(0, masks.shape[:2])
        fast = model.for_inference().forward_embedded(asked, seen, G_s, query.shape[-2:])
    for name, expected in plain._asdict().items():
        torch.testing.assert_close(getattr(fast, name), expected, atol=1e-4, rtol=1e-4, msg=name)


def test_the_model_for_inference_shares_its_weights_and_changes_nothing():
    model = shaken(tiny_model())
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fast = model.for_inference()
    assert fast.T_e.weight is model.T_e.weight
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in model.upsam.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


# --- the map as a residual ------------------------------------------------------------------------


def test_with_residual_the_decoder_is_added_to_the_map():
    model = tiny_model(residual=True).eval()
    F_hat, A_hat = torch.rand(2, 8, 7, 7), torch.rand(2, 1, 7, 7)
    plain = tiny_model().eval()
    plain.upsam.load_state_dict(model.upsam.state_dict())
    size = (97, 97)
    added = model.decode(F_hat, A_hat, size) - plain.decode(F_hat, A_hat, size)
    on_image = F.interpolate(A_hat, size, mode="bilinear", align_corners=True)
    torch.testing.assert_close(added[:, 1:], 5 * on_image - 3, atol=1e-5, rtol=0)
    assert added[:, :1].abs().max() == 0


def test_a_silent_decoder_with_residual_is_the_map_cut_at_its_threshold():
    model = tiny_model(residual=True).eval()
    for p in model.upsam.up4.parameters():
        torch.nn.init.zeros_(p)
    query, support = torch.rand(2, 3, 97, 97), torch.rand(2, 3, 97, 97)
    output = model(support, (torch.rand(2, 97, 97) > 0.5).float(), query)
    on_image = F.interpolate(output.A_hat, (97, 97), mode="bilinear", align_corners=True)
    assert torch.equal(output.M[:, 1] > output.M[:, 0], on_image[:, 0] > 0.6)


def test_the_factor_of_the_map_trains_and_is_saved():
    model = tiny_model(residual=True)
    output = model(torch.rand(2, 3, 97, 97), torch.ones(2, 97, 97), torch.rand(2, 3, 97, 97))
    output.M[:, 1].mean().backward()
    assert model.map_factor.grad != 0
    assert model.map_offset.grad != 0
    assert {"map_factor", "map_offset"} <= model.trainable_state().keys()
    assert not {"map_factor", "map_offset"} & tiny_model().trainable_state().keys()


def test_for_inference_gives_the_same_with_residual():
    model = tiny_model(residual=True).eval()
    pictures = torch.rand(1, 3, 97, 97), torch.ones(1, 97, 97), torch.rand(1, 3, 97, 97)
    torch.testing.assert_close(
        model.for_inference()(*pictures).M, model(*pictures).M, atol=1e-4, rtol=0
    )


# --- the vote of the untrained map --------------------------------------------------------------


@pytest.mark.parametrize("K", [1, 2])
@pytest.mark.parametrize("transformation", ["local", "global", "self_support"])
def test_the_untrained_map_has_a_vote_in_the_answer(K, transformation):
    options = {"transformation": transformation, "map_weight": 3.0}
    model = shaken(tiny_model(**options))
    pictures = episode(K=K)
    with torch.no_grad():
        weighted, plain = model(*pictures), model.at_map_weight(0)(*pictures)
        config = replace(model.config, transformation="self_ridge")
        A_0 = TrainingFreeMap(config, model.backbone).eval()(*pictures).A_hat
    on_image = F.interpolate(A_0 - 0.4, plain.M.shape[-2:], mode="bilinear", align_corners=True)
    expected = torch.cat([0 * on_image, 3 * on_image], dim=1)
    torch.testing.assert_close(weighted.M - plain.M, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(weighted.A_hat, plain.A_hat)
    assert model.config.map_weight == 3.0


def test_training_does_not_see_the_vote_of_the_untrained_map():
    with_it, without = (tiny_model(map_weight=w) for w in (4.0, 0.0))
    without.load_state_dict(with_it.state_dict())
    pictures = episode()
    assert torch.equal(with_it.train()(*pictures).M, without.train()(*pictures).M)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_senseless_weight_of_the_untrained_map_is_refused(weight):
    with pytest.raises(InputError, match=r"map_weight .*: it must be 0 to 1000"):
        LTMConfig(map_weight=weight)
