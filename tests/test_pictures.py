"""The one reader of pictures and masks: what people have, as a viewer shows it, or refused."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import refused
from PIL import Image, ImageFilter

from ltm_edu.store.errors import InputError
from ltm_edu.store.marks import object_mask
from ltm_edu.store.pictures import (
    as_picture,
    checked_size,
    palette_png,
    plain_kind,
    read_image,
    read_mask,
)

UPRIGHT = np.zeros((24, 40, 3), np.uint8)
UPRIGHT[:8, :16] = (250, 30, 30)
UPRIGHT[16:, 24:] = (30, 200, 60)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 779767\n"
# How a camera held in each way stores the upright pixels (EXIF 2.3, tag 274).
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[:, ::-1],
}


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[274] = orientation
    return tags


def png(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    """A PNG of rows of bytes, for what Pillow reads but cannot write."""
    size = len(data) // height
    rows = b"".join(b"\0" + data[i * size : (i + 1) * size] for i in range(height))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = [
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


# Turned pictures


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp"])
def test_a_picture_is_read_as_a_viewer_turns_it(tmp_path, orientation, kind):
    path = tmp_path / f"a.{kind}"
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](UPRIGHT)))
    options = {"lossless": True} if kind == "webp" else {}
    stored.save(path, exif=exif(orientation), **options)
    near = 40 if kind == "jpg" else 0
    with Image.open(path) as opened:
        for image in (read_image(path), as_picture(opened)):
            assert image.size == (40, 24)
            off = np.abs(np.array(image).astype(int) - UPRIGHT)[4:-4:8, 4:-4:8]  # off the edges
            assert off.max() <= near
            again = as_picture(image)  # what is upright is not turned again
            assert again.tobytes() == image.tobytes()
    assert checked_size(path) == (40, 24)


@pytest.mark.parametrize("orientation", STORED)
def test_a_mask_is_turned_like_its_picture(tmp_path, orientation):
    ids = (UPRIGHT[..., 0] > 200).astype(np.uint8) * 3
    path = tmp_path / "mask.png"
    Image.fromarray(np.ascontiguousarray(STORED[orientation](ids))).save(
        path, exif=exif(orientation)
    )
    assert np.array_equal(read_mask(path), ids)
    assert np.array_equal(object_mask(path), ids > 0)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(
    "block", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0junk" * 9]
)
def test_a_damaged_exif_block_turns_nothing(tmp_path, block):
    path = tmp_path / "a.jpg"
    Image.fromarray(UPRIGHT).save(path, exif=block)
    assert read_image(path).size == checked_size(path) == (40, 24)


def test_only_what_every_program_reads_alike_is_plain(tmp_path):
    picture, path = Image.fromarray(UPRIGHT), tmp_path / "a"
    for kind, options, expected in (
        ("jpg", {}, "jpg"),
        ("png", {}, "png"),
        ("jpg", {"exif": exif(6)}, None),
        ("png", {"exif": exif(3)}, None),
        ("tif", {}, None),
        ("webp", {}, None),
    ):
        picture.save(path.with_suffix(f".{kind}"), **options)
        assert plain_kind(path.with_suffix(f".{kind}")) == expected
    for mode in ("RGBA", "P", "1", "I;16"):
        picture.convert("L").convert(mode).save(path.with_suffix(".png"))
        assert plain_kind(path.with_suffix(".png")) is None, mode


# More than 8 bits


def grey(size: tuple[int, int] = (30, 20)) -> np.ndarray:
    """Grey values that use most of 8 bits."""
    return np.linspace(12, 240, size[0] * size[1]).reshape(size).round().astype(np.uint8)


@pytest.mark.parametrize(
    ("change", "dtype", "kind"),
    [
        (lambda g: g * 257, np.uint16, "png"),
        (lambda g: g * 257, np.uint16, "tif"),
        (lambda g: g * (4095 / 255), np.uint16, "png"),
        (lambda g: g * (16383 / 255), np.uint16, "png"),
        (lambda g: g, np.uint16, "png"),  # 8 bits in the space of 16
        (lambda g: g * 257, np.int32, "tif"),
        (lambda g: g / 255, np.float32, "tif"),
        (lambda g: g, np.float32, "tif"),
        (lambda g: g * 257, np.float32, "tif"),
    ],
)
def test_values_of_more_than_8_bits_are_scaled(tmp_path, change, dtype, kind):
    values = change(grey().astype(np.float64))
    values = (values if dtype == np.float32 else values.round()).astype(dtype)
    path = tmp_path / f"deep.{kind}"
    Image.fromarray(values).save(path)
    rgb = np.stack([values] * 3, axis=2)
    for image in (read_image(path), as_picture(values), as_picture(rgb)):
        assert np.abs(np.array(image)[..., 0].astype(int) - grey()).max() <= 1


def test_a_16_bit_file_in_big_endian_and_one_in_colour_are_scaled(tmp_path):
    path = tmp_path / "deep.tif"
    data = (grey().astype(">u2") * 257).astype(">u2").tobytes()
    Image.frombytes("I;16B", grey().shape[::-1], data).save(path)
    with Image.open(path) as opened:
        assert opened.mode == "I;16B"
    assert np.array_equal(np.array(read_image(path))[..., 0], grey())
    colour = np.random.randint(0, 256, (20, 30, 3))
    path.write_bytes(png(30, 20, 16, 2, (colour * 257).astype(">u2").tobytes()))
    assert np.array_equal(read_image(path), colour)


@pytest.mark.parametrize(
    "values",
    [
        np.full((4, 4), -1, np.int32),
        np.full((4, 4), 70_000, np.int32),
        np.full((4, 4), np.nan, np.float32),
        np.full((4, 4), np.inf, np.float32),
        np.full((4, 4), -0.5, np.float32),
    ],
)
def test_values_without_a_scale_are_refused(tmp_path, values):
    path = tmp_path / "deep.tif"
    Image.fromarray(values).save(path)
    for call in (lambda: read_image(path), lambda: checked_size(path)):
        refused(call, str(path), "holds values from", "8 or 16 bits")
    refused(lambda: as_picture(values, "the query"), "the query holds values from")


# Transparency, and other kinds of colour


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(tmp_path, mode):
    path = tmp_path / "a.png"
    if mode == "P":
        picture = Image.new("P", (6, 4), 1)
        picture.putpalette([9, 9, 9, 200, 200, 200])
        picture.paste(0, (0, 0, 3, 4))
        picture.save(path, transparency=0)
    else:
        clear, solid = (
            ((9, 9, 9, 0), (200, 200, 200, 255)) if mode == "RGBA" else ((9, 0), (200, 255))
        )
        picture = Image.new(mode, (6, 4), solid)
        picture.paste(clear, (0, 0, 3, 4))
        picture.save(path)
    image = read_image(path)
    assert (image.getpixel((0, 0)), image.getpixel((5, 0))) == ((255,) * 3, (200,) * 3)


def test_an_opaque_alpha_channel_changes_nothing(tmp_path):
    pixels = np.random.randint(0, 256, (9, 7, 3)).astype(np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).convert("RGBA").save(path)
    assert np.array_equal(read_image(path), pixels)


def test_a_cmyk_jpeg_has_its_colours(tmp_path):
    path = tmp_path / "print.jpg"
    Image.new("RGB", (16, 16), (200, 40, 90)).convert("CMYK").save(path, quality=95)
    assert np.abs(np.array(read_image(path)).astype(int) - (200, 40, 90)).max() < 12


def test_the_preview_of_a_phones_jpeg_is_no_second_picture(tmp_path):
    path = tmp_path / "phone.jpg"
    preview = Image.new("RGB", (8, 8))
    Image.new("RGB", (40, 24), "red").save(path, "MPO", save_all=True, append_images=[preview])
    with Image.open(path) as opened:
        assert opened.n_frames == 2
    assert read_image(path).size == checked_size(path) == (40, 24)


# What is refused


@pytest.mark.parametrize("kind", ["gif", "tif", "png", "webp"])
def test_a_file_of_several_pictures_says_so(tmp_path, kind):
    path = tmp_path / f"many.{kind}"
    frames = [Image.new("RGB", (20, 10), c) for c in ("red", "green", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    for call in (read_image, read_mask, object_mask, checked_size):
        refused(lambda f=call: f(path), f"{path} holds 3 pictures", "pages or frames", "its own")


@pytest.mark.parametrize("read", [read_image, read_mask, object_mask, checked_size])
def test_a_file_that_is_no_picture_says_what_to_do(tmp_path, read, monkeypatch):
    path = tmp_path / "a.png"
    refused(lambda: read(path), f"{path} is not there")
    path.write_bytes(POINTER)
    refused(lambda: read(path), str(path), "git-lfs pointer", "git lfs pull")
    path.write_bytes(b"")
    refused(lambda: read(path), str(path), "cannot be read as a picture", "is empty")
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(90))
    refused(lambda: read(path), str(path), "cannot be read as a picture", "JPEG or PNG")
    Image.new("L", (50, 50)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    refused(lambda: read(path), str(path), "cannot be read as a picture", "megapixels")
    path.unlink()
    path.mkdir()
    refused(lambda: read(path), str(path), "is a folder")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp", "gif", "bmp"])
def test_a_damaged_file_is_one_line_or_a_picture(tmp_path, kind):
    rng, whole = np.random.default_rng(0), io.BytesIO()
    options = {} if kind in ("gif", "bmp") else {"exif": exif(6)}
    Image.fromarray(UPRIGHT).save(whole, {"jpg": "jpeg", "tif": "tiff"}.get(kind, kind), **options)
    path, messages = tmp_path / f"a.{kind}", []
    for i in range(60):
        data = bytearray(whole.getvalue())
        if i % 2:
            data = data[: rng.integers(len(data))]
        else:
            data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(data)
        for read in (read_image, object_mask, checked_size):
            try:
                read(path)
            except InputError as error:
                messages.append(str(error))
    assert len(messages) > 10
    assert [m for m in messages if not m.startswith(str(path)) or "\n" in m] == []


# Masks of ids


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "I;16", "I"])
def test_ids_are_read_from_every_kind_of_grey_picture(tmp_path, mode):
    ids = np.array([[0, 1, 80], [255, 3, 3]], np.uint8)
    picture, path = Image.fromarray(ids), tmp_path / "mask.png"
    if mode == "P":
        picture.putpalette([7] * 768)  # colours mean nothing where there are many
    else:
        wide = Image.fromarray(ids.astype(np.int32))
        picture = {"I": wide, "I;16": wide.convert("I;16")}.get(mode) or picture.convert(mode)
    picture.save(path if mode != "I" else path.with_suffix(".tif"))
    assert np.array_equal(read_mask(path if mode != "I" else path.with_suffix(".tif")), ids)


def test_the_white_of_a_bitmap_is_id_1(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[True, False]])).save(path)
    assert read_mask(path).tolist() == [[1, 0]]


def two_colour_palette(first: tuple, second: tuple) -> Image.Image:
    """A mask, the object of index 1 in the middle, with a palette of two colours."""
    picture = Image.new("P", (40, 30))
    picture.putpalette([*first, *second])
    picture.paste(1, (10, 5, 30, 25))
    return picture


WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (220, 20, 20)


@pytest.mark.parametrize("first", [WHITE, RED])
def test_a_palette_that_says_the_opposite_of_its_indices_is_refused(tmp_path, first):
    path = tmp_path / "mask.png"
    two_colour_palette(first, BLACK).save(path)
    for read in (read_mask, object_mask):
        says = str(path), "palette", "opposite", "index 0", "index 1 black", "grey PNG"
        refused(lambda f=read: f(path), *says)
    with Image.open(path) as picture:
        refused(lambda: object_mask(picture, name="support 1's mask"), "support 1's mask has a p")
    assert object_mask(path, class_id=1).sum() == 20 * 20  # whoever names the index knows it


@pytest.mark.parametrize(("first", "second"), [(BLACK, WHITE), (BLACK, RED), (WHITE, RED)])
def test_a_palette_that_agrees_with_its_indices_is_taken(tmp_path, first, second):
    path = tmp_path / "mask.png"
    two_colour_palette(first, second).save(path)
    for read in (read_mask, object_mask):
        assert read(path).sum() == 20 * 20


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.full((4, 4), 300, np.uint16), "holds the value 300"),
        (np.full((4, 4), -1, np.int32), "negative"),
        (np.full((4, 4), 0.5, np.float32), "broken numbers"),
        (np.full((4, 4), np.nan, np.float32), "broken numbers"),
    ],
)
def test_numbers_that_are_no_ids_are_refused(tmp_path, values, says):
    path = tmp_path / "mask.tif"
    Image.fromarray(values).save(path)
    refused(lambda: read_mask(path), str(path), says)


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_a_format_that_blurs_ids_is_refused(tmp_path, kind):
    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8)).save(path, kind)
    for call in (lambda: read_mask(path), lambda: object_mask(path, class_id=1)):
        refused(call, str(path), kind.upper(), "blurs", "PNG")


# The mask of one object


def disc(height: int = 60, width: int = 80) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (y - 28) ** 2 + (x - 40) ** 2 < 18**2


DISC = disc()


def picture_of(colour: tuple, ground: tuple, mode: str) -> Image.Image:
    pixels = np.where(DISC[..., None], np.array(colour), np.array(ground)).astype(np.uint8)
    return Image.fromarray(pixels, mode)


@pytest.mark.parametrize(
    "picture",
    [
        picture_of(WHITE, BLACK, "RGB"),
        picture_of(RED, BLACK, "RGB"),
        picture_of((0, 60, 0), BLACK, "RGB"),
        picture_of((*RED, 255), (*BLACK, 255), "RGBA"),
        picture_of((*BLACK, 255), (*BLACK, 0), "RGBA"),  # painted on a transparent layer
        picture_of((*WHITE, 255), (*BLACK, 0), "RGBA"),
        picture_of((*WHITE, 0), (*BLACK, 0), "RGBA"),
        picture_of((*RED, 255), (*RED, 0), "RGBA"),
        picture_of((255, 255), (0, 255), "LA"),
        picture_of((0, 255), (0, 0), "LA"),
        Image.fromarray(DISC),
        Image.fromarray(DISC.astype(np.uint8) * 200),
        Image.fromarray(DISC.astype(np.uint16) * 65535),
        Image.fromarray(DISC.astype(np.float32)),
        picture_of(WHITE, BLACK, "RGB").convert("CMYK"),
    ],
    ids=lambda p: p.mode,
)
def test_an_object_is_found_in_a_mask_of_two_values_of_any_kind(tmp_path, picture):
    values = np.asarray(picture)
    assert np.array_equal(object_mask(picture), DISC)
    if picture.mode in ("L", "RGB", "RGBA", "1", "F"):
        assert np.array_equal(object_mask(values), DISC)
    path = tmp_path / "mask.tif"
    picture.save(path)
    assert np.array_equal(object_mask(path), DISC)


@pytest.mark.parametrize("value", [1, 7, 128, 255])
def test_any_value_beside_0_is_the_object(value):
    assert np.array_equal(object_mask(DISC.astype(np.uint8) * np.uint8(value)), DISC)


@pytest.mark.parametrize(
    ("colour", "quality", "wrong"),
    [(WHITE, 20, 15), (WHITE, 75, 5), (WHITE, 95, 0), (RED, 75, 60), (RED, 95, 60)],
)
def test_a_mask_saved_as_jpeg_is_cut_in_the_middle(tmp_path, colour, quality, wrong):
    path = tmp_path / "mask.jpg"
    picture_of(colour, BLACK, "RGB").save(path, quality=quality)
    assert (object_mask(path) != DISC).sum() <= wrong


def test_a_jpeg_of_several_shades_is_refused(tmp_path):
    path = tmp_path / "mask.jpg"
    pixels = np.zeros((80, 120), np.uint8)
    pixels[10:70, 10:50], pixels[10:70, 70:110] = 110, 250
    Image.fromarray(pixels).save(path)
    refused(lambda: object_mask(path), str(path), "shades of grey", "white", "PNG")


def test_the_soft_edge_of_a_mask_is_cut_in_the_middle():
    white = picture_of(WHITE, BLACK, "RGB")
    for blurred in (
        white.convert("L").filter(ImageFilter.GaussianBlur(1)),
        white.filter(ImageFilter.BoxBlur(1)),
        white.resize((160, 120), Image.Resampling.BILINEAR).resize((80, 60)),
        picture_of(RED, BLACK, "RGB").filter(ImageFilter.GaussianBlur(1)),
        picture_of((*BLACK, 255), (*BLACK, 0), "RGBA").filter(ImageFilter.GaussianBlur(1)),
    ):
        assert (object_mask(blurred) != DISC).sum() <= 12, blurred.mode
    soft = np.asarray(white.convert("L").filter(ImageFilter.GaussianBlur(1))) / 255
    assert (object_mask(soft) != DISC).sum() <= 12


@pytest.mark.parametrize("rim", [64, 127, 128, 200])
def test_one_grey_value_beside_255_is_refused_with_both_meanings(rim):
    mask = np.where(DISC, 128, 0).astype(np.uint8)
    mask[DISC & np.roll(DISC, 2, 0) & np.roll(DISC, -2, 0)] = 255
    mask[mask == 128] = rim
    says = f"0, {rim} and 255", "edge of the object", "class_id", "white"
    refused(lambda: object_mask(mask, name="the mask"), "the mask holds", *says)
    assert np.array_equal(object_mask(mask, 255), mask == 255)


def test_beside_the_id_of_a_class_255_is_void():
    mask = DISC.astype(np.uint8) * 15
    mask[DISC & ~np.roll(DISC, 3, 0)] = 255
    for kind in (mask, Image.fromarray(mask), Image.open(io.BytesIO(palette_png(mask)))):
        assert np.array_equal(object_mask(kind), mask == 15)
    high = Image.open(io.BytesIO(palette_png(np.where(mask == 15, 80, mask).astype(np.uint8))))
    assert np.array_equal(object_mask(high), mask == 15)  # a palette has ids, not shades


@pytest.mark.parametrize(
    "values", [(3, 5), (1, 2, 3, 255), (50, 100, 200, 250), (1, 2, 3, 4, 5, 6, 7)]
)
def test_several_classes_are_named(values):
    mask = np.zeros((80, 40 * len(values)), np.uint8)
    for i, v in enumerate(values):
        mask[10:70, 40 * i + 5 : 40 * i + 35] = v
    refused(lambda: object_mask(mask), f"classes {values[0]}, {values[1]}", "class_id")
    assert object_mask(mask, values[1]).sum() == 60 * 30


@pytest.mark.parametrize("kind", ["photograph", "two colours", "no black", "cut-out"])
def test_colours_that_do_not_say_what_the_object_is_are_refused(kind):
    pixels = np.random.randint(0, 256, (60, 80, 3)).astype(np.uint8)
    if kind == "two colours":
        pixels[:] = 0
        pixels[5:20], pixels[30:50] = (255, 0, 0), (0, 255, 0)
    elif kind == "no black":
        pixels[:] = WHITE
        pixels[DISC] = RED
    elif kind == "cut-out":
        pixels = np.dstack([pixels, DISC.astype(np.uint8) * 255])
    refused(lambda: object_mask(pixels, name="m"), "m is an RGB", "white", "black", "PNG")


def test_broken_and_negative_numbers_are_refused():
    ramp = np.linspace(0, 1, 60 * 80).reshape(60, 80)
    refused(lambda: object_mask(ramp, name="m"), "m holds broken numbers", "threshold")
    refused(lambda: object_mask(ramp * np.nan, name="m"), "m holds broken numbers")
    refused(lambda: object_mask(-DISC.astype(int), name="m"), "m holds negative numbers")
    refused(lambda: object_mask(np.zeros(5), name="m"), "m came as", "(5,)", "(H, W)")


def test_the_shared_cases_read_as_expected(shared: Path):
    own = shared / "cases/own"
    if not own.is_dir():
        pytest.skip("no cases/own beside the conformance data")
    refused(lambda: object_mask(own / "mask_indexed_white_first.png"), "opposite")
    refused(lambda: object_mask(own / "mask_0_128_255.png"), "0, 128 and 255")
    refused(lambda: read_image(own / "query_182MP.png"), "megapixels")
    plain = np.array(read_image(own / "query_8bit.png")).astype(int)
    for name in ("query_12in16bit.png", "query_16bit.png"):
        assert np.abs(np.array(read_image(own / name)) - plain).max() <= 2
    upright = np.array(read_image(own / "support.jpg")).astype(int)
    for orientation in (3, 6):
        turned = np.array(read_image(own / f"support_exif{orientation}.jpg"))
        assert np.abs(turned - upright).mean() < np.abs(turned[::-1, ::-1] - upright).mean() / 3
