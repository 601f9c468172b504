import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import CLASSES, TinyBackbone, tiny_model
from seen import Screen, one_drawing

from ltm_edu import figures, widgets
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.model import LTM, TrainingFreeMap
from ltm_edu.segmenter import predict

SUPPORT, ATTENTION, ANSWER = "support and its mask", "attention Â over the query", "answer"


@pytest.fixture
def question(tiny: VocFolder):
    """A query with two supports of one class and one of another."""
    names = {"disc 1": "val_disc_1", "disc 2": "val_disc_2", "mast 1": "val_mast_1"}
    ids = {title: CLASSES.index(title.split()[0]) + 1 for title in names}
    supports = {
        title: (tiny.image(name), (tiny.mask(name) == ids[title]).astype(np.uint8))
        for title, name in names.items()
    }
    return tiny.image("val_disc_0"), supports


def test_another_support_changes_every_picture(question):
    model = TrainingFreeMap(tiny_model().config, TinyBackbone())
    screen = Screen(widgets.support_picker(model, *question))
    moments = [screen.pictures]
    for title in ("disc 2", "mast 1", "disc 1"):
        screen.menu("support").label = title
        moments.append(screen.pictures)
    for name in (SUPPORT, ATTENTION, ANSWER):
        assert len({pictures[name] for pictures in moments}) == 3
    assert moments[0] == moments[3]  # the first support again, the first answer again


def test_the_answer_is_that_of_predict(question):
    query, supports = question
    model = tiny_model()
    screen = Screen(widgets.support_picker(model, query, supports))
    screen.menu("support").label = "mast 1"
    prediction = predict(model, query, supports["mast 1"])
    np.testing.assert_array_equal(screen.pixels(SUPPORT), figures.tinted(*supports["mast 1"]))
    np.testing.assert_array_equal(screen.pixels(ANSWER), figures.tinted(query, prediction.mask))
    attention = figures.attention_pixels(
        torch.from_numpy(prediction.attention), prediction.mask.shape
    )
    assert abs(screen.pixels(ATTENTION).astype(int) - attention).max() <= 2


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_pictures_pass_the_backbone_once(size, question, request):
    if size == "tiny":
        model = tiny_model()
    else:
        model = LTM.small(request.getfixturevalue("lite0"), image_size=225)
    batches = []
    hook = model.backbone.register_forward_hook(lambda *_: batches.append(1))
    try:
        screen = Screen(widgets.support_picker(model, *question))
        assert len(batches) == 1 + len(question[1])
        for title in ("disc 2", "mast 1", "disc 1"):
            with one_drawing(screen):
                screen.menu("support").label = title
        assert len(batches) == 1 + len(question[1])
    finally:
        hook.remove()


def test_a_mask_with_void_and_a_tensor_as_picture_give_the_same_answer(question):
    query, supports = question
    picture, mask = supports["disc 1"]
    with_void = np.where(mask == 1, 1, 255).astype(np.uint8)
    tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255
    model = tiny_model()
    plain = Screen(widgets.support_picker(model, query, {"one": (picture, mask)}))
    other = Screen(widgets.support_picker(model, query, {"one": (tensor, with_void)}))
    assert plain.pictures == other.pictures


# Every widget -------------------------------------------------------------------------------------


def test_a_screen_names_what_it_cannot_find(question):
    screen = Screen(widgets.support_picker(tiny_model(), *question))
    with pytest.raises(AssertionError, match=r"not one slider 'support' among \[\]"):
        screen.slider("support")
    with pytest.raises(AssertionError, match="no picture 'truth' among"):
        screen.pixels("truth")


def test_the_caption_above_a_picture_is_its_name(question):
    screen = Screen(widgets.support_picker(tiny_model(), *question))
    assert screen.texts == list(screen.pictures) == [SUPPORT, ATTENTION, ANSWER]


def test_the_package_loads_no_widget_library_until_a_widget_is_created():
    code = (
        "import sys, ltm_edu, ltm_edu.widgets; "
        "print(*{'anywidget', 'ipywidgets', 'traitlets'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
