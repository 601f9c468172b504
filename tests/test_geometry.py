"""Pixels and cells: where a mask lands on the grid, and a map on the image."""

import pytest
import torch
import torch.nn.functional as F

from ltm_edu.geometry import map_to_image, mask_to_grid, resize_logits


@pytest.mark.parametrize(("side", "grid"), [((49, 65), (4, 5)), ((33, 33), (3, 3))])
def test_on_16k_plus_1_pixels_a_cell_is_the_mean_of_the_17_pixels_around_its_centre(side, grid):
    mask = torch.rand(2, 1, *side)
    cells = mask_to_grid(mask, grid)
    assert cells.shape == (2, 1, *grid)
    for b in range(2):
        for i in range(grid[0]):
            for j in range(grid[1]):
                y, x = 16 * i, 16 * j
                window = mask[b, 0, max(0, y - 8) : y + 9, max(0, x - 8) : x + 9]
                torch.testing.assert_close(cells[b, 0, i, j], window.mean())


def test_on_other_sizes_a_mask_is_resized_bilinearly():
    mask = (torch.rand(2, 1, 320, 320) > 0.5).float()
    expected = F.interpolate(mask, (20, 20), mode="bilinear", align_corners=False)
    assert torch.equal(mask_to_grid(mask, (20, 20)), expected)


@pytest.mark.parametrize("side", [320, 321, 97, 100])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_mask_of_one_value_stays_that_value(side, value):
    mask = torch.full((1, 1, side, side), value)
    grid = -(-side // 16)
    cells = mask_to_grid(mask, (grid, grid))
    torch.testing.assert_close(cells, torch.full((1, 1, grid, grid), value))
    assert 0 <= cells.min() <= cells.max() <= 1


def test_on_16k_plus_1_pixels_image_pixel_16i_is_the_middle_of_cell_i():
    grid = (4, 5)
    cells = torch.arange(20.0).view(1, 1, *grid)
    blocks = cells.repeat_interleave(16, 2).repeat_interleave(16, 3).expand(1, 2, -1, -1)
    image = map_to_image(blocks, (49, 65), grid)
    assert image.shape == (1, 2, 49, 65)
    assert torch.equal(image[0, 0, ::16, ::16], cells[0, 0])
    # Eight pixels to either side still belong to the cell, give or take the odd one.
    assert torch.equal(image[0, 1, 16 - 8 : 16 + 8, 32 - 8 : 32 + 8], torch.full((16, 16), 7.0))


def test_on_other_sizes_a_map_is_resized_bilinearly():
    M = torch.randn(1, 2, 80, 80)
    expected = F.interpolate(M, (77, 79), mode="bilinear", align_corners=False)
    assert torch.equal(map_to_image(M, (77, 79), (5, 5)), expected)


@pytest.mark.parametrize("side", [97, 96])
def test_a_mask_that_goes_down_and_up_again_stays_in_place(side):
    mask = torch.zeros(1, 1, side, side)
    mask[..., 16:64, 32:80] = 1
    grid = -(-side // 16)
    cells = mask_to_grid(mask, (grid, grid))
    blocks = cells.repeat_interleave(16, 2).repeat_interleave(16, 3).expand(1, 2, -1, -1)
    back = map_to_image(blocks, (side, side), (grid, grid))[0, 0]
    y = torch.arange(side, dtype=torch.float32)
    row = (back.sum(dim=1) * y).sum() / back.sum()
    column = (back.sum(dim=0) * y).sum() / back.sum()
    assert row.item() == pytest.approx(39.5, abs=1)
    assert column.item() == pytest.approx(55.5, abs=1)


def test_logits_are_stretched_to_the_pictures_own_size():
    M = torch.randn(1, 2, 33, 33)
    expected = F.interpolate(M, (20, 70), mode="bilinear", align_corners=False)
    assert torch.equal(resize_logits(M, (20, 70)), expected)


def test_gradients_pass_both_ways():
    mask = torch.rand(1, 1, 33, 33, requires_grad=True)
    M = torch.randn(1, 2, 48, 48, requires_grad=True)
    mask_to_grid(mask, (3, 3)).sum().backward()
    map_to_image(M, (33, 33), (3, 3)).sum().backward()
    assert (mask.grad > 0).all()
    assert M.grad.sum().item() == 2 * 33 * 33
