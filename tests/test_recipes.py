"""Recipes by name, and the fields of them that a user sets."""

import math

import pytest
import torch
from helpers import TinyBackbone, refused

from ltm_edu.backbones import BACKBONES
from ltm_edu.model import LTM
from ltm_edu.runs.recipes import EMOJI5I, PHOTOS, RECIPES, recipe_for
from ltm_edu.store.errors import InputError


def test_a_dataset_has_its_recipe_and_a_name_goes_before_it():
    assert recipe_for("emoji5i") is EMOJI5I
    assert recipe_for("some/folder") is PHOTOS
    assert recipe_for("emoji5i", "paper") is RECIPES["paper"]
    with pytest.raises(
        InputError, match="no recipe 'none': there are emoji5i, photos, photographs, paper, tuned"
    ):
        recipe_for("emoji5i", "none")


def test_the_papers_recipe_is_the_released_one():
    recipe = RECIPES["paper"]
    model, training = recipe.model_config, recipe.training()
    assert (model.backbone, model.image_size, model.query_scales) == (
        "resnet50",
        320,
        (0.7, 1.0, 1.3),
    )
    assert (model.embedding, model.features, model.widths) == (1000, 2048, (128, 64, 32))
    assert (training.optimizer, training.learning_rate, training.weight_decay) == (
        "adam",
        1e-4,
        1e-6,
    )
    assert (training.batch, training.schedule, training.flips) == (24, "decay", False)
    losses = training.losses
    assert (losses.lambda_m, losses.lambda_a, losses.lambda_r) == (1, 1, 1)
    assert (losses.form, losses.reduction, recipe.novel_images) == ("released", "mean", "drop")


def test_no_recipe_chooses_on_the_test_fold_and_long_ones_choose_on_training_classes():
    assert RECIPES["paper"].training_config.held_out
    assert RECIPES["tuned"].training_config.held_out


@pytest.mark.parametrize("name", RECIPES)
def test_each_setting_lands_where_it_belongs_and_nowhere_else(name):
    recipe = RECIPES[name]
    changed = recipe.changed(
        ["steps=7", "features=9", "widths=4, 2, 2", "rows=fg_bg", "lambda_r=3", "centre=False"]
    )
    assert changed.training_config.steps == 7
    assert changed.model_config.features == 9
    assert changed.model_config.widths == (4, 2, 2)
    assert changed.model_config.rows == "fg_bg"
    assert changed.training_config.losses.lambda_r == 3
    assert changed.training_config.centre is False
    assert (
        changed.training(
            steps=recipe.training_config.steps,
            losses=recipe.training_config.losses,
            centre=recipe.training_config.centre,
        )
        == recipe.training_config
    )
    assert recipe.changed([]) == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_field_of_real_numbers_takes_any_whatever_its_recipe_has(name):
    changed = RECIPES[name].changed(["lambda_r=0.5", "clip=inf", "weight_decay=1"]).training_config
    assert changed.losses.lambda_r == 0.5
    assert (changed.clip, changed.weight_decay) == (math.inf, 1.0)


@pytest.mark.parametrize(
    "field",
    [
        *("learning_rate", "embedding_rate", "weight_decay", "balance", "clip"),
        *("lambda_m", "lambda_a", "lambda_r", "lambda_d", "object_weight", "map_weight"),
    ],
)
def test_no_field_takes_a_number_that_is_none(field):
    refused(lambda: PHOTOS.changed([f"{field}=nan"]), f"{field} ", "nan", "must be")


def test_one_number_is_a_tuple_of_one():
    assert PHOTOS.changed(["query_scales=1.0"]).model_config.query_scales == (1.0,)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("colour=3", "colour=3: no such field; .*batch.*lambda_r.*widths"),
        ("losses=3", "no such field"),
        ("steps=many", "steps=many: expected something like 100"),
        ("steps=1.5", "expected something like 100"),
        ("steps", "expected something like 100"),
        ("centre=1", "expected something like True"),
        ("learning_rate=[1]", "expected something like 0.001"),
        ("widths={}", "expected something like"),
        ("steps=__import__('os')", "expected something like 100"),
        ("precision=float8", "precision 'float8': choose float32 or bfloat16 or float16"),
        ("optimizer=sgd", "optimizer 'sgd': choose adamw or adam"),
        ("reduction=max", "reduction 'max': choose mean or sum"),
        ("steps=0", "it must be at least 1"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(setting, says):
    with pytest.raises(InputError, match=says):
        PHOTOS.changed([setting])


def test_the_recipe_for_use_differs_from_the_papers_where_it_says(monkeypatch):
    monkeypatch.setitem(BACKBONES, "tiny", lambda stages: TinyBackbone())
    recipe = RECIPES["photographs"].changed(["backbone=tiny", "image_size=97", "features=8"])
    config = recipe.model_config
    assert (config.transformation, config.rows, config.residual) == ("self_support", "fg_bg", True)
    output = LTM(config)(torch.rand(1, 3, 97, 97), torch.ones(1, 97, 97), torch.rand(1, 3, 97, 97))
    assert output.M.shape == (1, 2, 97, 97)
    assert config.map_weight > 0
    assert not PHOTOS.model_config.residual
    assert PHOTOS.model_config.map_weight == 0  # the recipe for scores stays the paper's network
