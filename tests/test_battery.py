"""One battery for every equation: what each must do with any input, ordinary, extreme or wrong."""

import inspect
import warnings

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ltm_edu import equations
from ltm_edu.equations import (
    attention,
    attention_from_embeddings,
    generalized_inverse,
    normalize_attention,
    relationship_loss,
    relationship_loss_from_embeddings,
    relationship_matrix,
    relationship_truth,
)

B, D, H, W = 2, 5, 3, 4
N = H * W
MASKS = {"G_s", "G_q", "A_hat"}
EXACT = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 1e-2, torch.bfloat16: 6e-2}


def ordinary(dtype: torch.dtype = torch.float64, seed: int = 0) -> dict[str, dict[str, Tensor]]:
    """Arguments for every equation; any shape that its docstring allows."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    def mask(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64).to(dtype)

    Y = torch.tensor([[0, 1, 1, 255]] * H)[None].repeat(B, 1, 1)
    pair = {"E_q": draw(B, D, H, W), "E_s": draw(B, D, H, W)}
    scalars = {name: draw(1)[0].abs() for name in ("L_m", "L_a", "L_r")}
    return {
        "masked_features": {"F_s": draw(B, D, H, W), "G_s": mask(B, 1, H, W)},
        "relationship_matrix": dict(pair),
        "relationship_truth": {"G_q": mask(B, 2, N), "G_s": mask(B, 2, N)},
        "generalized_inverse": {"G_s": mask(B, 2, N)},
        "attention": {"R": draw(B, N, N), "G_s": mask(B, 1, H, W)},
        "attention_from_embeddings": {**pair, "G_s": mask(B, 1, H, W)},
        "normalize_attention": {"A": draw(B, N)},
        "attended_features": {"F_q": draw(B, D, H, W), "A_hat": mask(B, 1, H, W)},
        "mask_loss": {"M": draw(B, 2, H, W), "Y": Y},
        "attention_loss": {"A_hat": mask(B, 1, H, W), "Y": Y},
        "relationship_loss": {"R": draw(B, N, N), "R_truth": mask(B, N, N)},
        "relationship_loss_from_embeddings": {
            **pair,
            "G_q": mask(B, 1, N),
            "G_s": mask(B, 1, N),
        },
        "total_loss": scalars,
    }


EQUATIONS = sorted(ordinary())
ARGUMENTS = [(name, argument) for name, those in ordinary().items() for argument in those]


def call(name: str, arguments: dict) -> Tensor:
    return getattr(equations, name)(**arguments)


def result_or_refusal(name: str, arguments: dict) -> Tensor | str:
    """What an equation returns, or the line with which it refuses; nothing else may happen."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return call(name, arguments)
        except ValueError as error:
            refusal = str(error)
    assert "\n" not in refusal
    return refusal


def test_no_equation_is_forgotten():
    public = {
        name
        for name, function in inspect.getmembers(equations, inspect.isfunction)
        if function.__module__ == equations.__name__ and not name.startswith("_")
    }
    helpers = {"check_shape", "check_in_unit_range", "without_value_checks"}
    assert public - helpers == set(EQUATIONS)


@pytest.mark.parametrize("dtype", EXACT, ids=str)
@pytest.mark.parametrize("name", EQUATIONS)
def test_every_type_of_number_gives_the_same_result_in_its_own_type(name, dtype):
    rounded = ordinary(dtype)[name]
    exact = {k: v.double() if v.is_floating_point() else v for k, v in rounded.items()}
    result, expected = call(name, rounded), call(name, exact)
    assert result.dtype == dtype
    torch.testing.assert_close(
        result.double(), expected, atol=EXACT[dtype], rtol=EXACT[dtype], check_dtype=False
    )


@pytest.mark.parametrize("name", EQUATIONS)
def test_arguments_are_left_alone_and_need_not_lie_in_one_piece(name):
    given = ordinary()[name]
    expected = call(name, given)
    apart = {k: v.mT.contiguous().mT if v.dim() > 1 else v for k, v in given.items()}
    copies = {k: v.clone() for k, v in apart.items()}
    torch.testing.assert_close(call(name, apart), expected)
    assert all(torch.equal(apart[k], copies[k]) for k in copies)


WRONG = {
    "a list": lambda x: x.tolist(),
    "None": lambda x: None,
    "a NumPy array": lambda x: x.numpy(),
    "complex": lambda x: x.to(torch.complex128),
    "sparse": lambda x: x.to_sparse() if x.dim() else None,
    "no pictures": lambda x: x[:0] if x.dim() else None,
    "no pixels": lambda x: x[..., :0] if x.dim() else None,
    "one dimension more": lambda x: x[None],
    "NaN": lambda x: torch.full_like(x, torch.nan) if x.is_floating_point() else None,
    "infinite": lambda x: torch.full_like(x, -torch.inf) if x.is_floating_point() else None,
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_a_wrong_argument_is_refused_by_its_name(name, argument, wrong):
    given = ordinary()[name]
    refusal = result_or_refusal(name, {**given, argument: WRONG[wrong](given[argument])})
    if wrong == "one dimension more" and name in ("normalize_attention", "generalized_inverse"):
        return  # they also take maps
    assert isinstance(refusal, str), refusal
    assert argument in refusal


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_another_type_in_one_argument_is_refused_or_changes_nothing(name, argument):
    given = ordinary(torch.float32)[name]
    expected = call(name, given)
    if not given[argument].is_floating_point():
        return
    found = result_or_refusal(name, {**given, argument: given[argument].double()})
    if isinstance(found, str):
        assert argument in found
    else:
        torch.testing.assert_close(found, expected, check_dtype=False, atol=1e-5, rtol=1e-5)
    if argument not in MASKS:
        whole = result_or_refusal(name, {**given, argument: given[argument].long()})
        assert isinstance(whole, str)
        assert f"{argument} holds int64" in whole


@pytest.mark.parametrize(
    ("name", "argument"), [(n, a) for n, a in ARGUMENTS if a in MASKS and n != "attention_loss"]
)
@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.int64], ids=str)
def test_a_mask_of_truth_values_or_whole_numbers_is_a_mask(name, argument, kind):
    given = ordinary()[name]
    mask = (given[argument] > 0.5).to(kind)
    expected = call(name, {**given, argument: mask.double()})
    found = call(name, {**given, argument: mask})
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("name", "argument"), [(n, a) for n, a in ARGUMENTS if a in MASKS])
@pytest.mark.parametrize("beyond", [-0.01, 1.01, 255.0])
def test_a_mask_outside_its_range_is_refused(name, argument, beyond):
    given = ordinary()[name]
    mask = given[argument].clone()
    mask.view(-1)[3] = beyond
    refusal = result_or_refusal(name, {**given, argument: mask})
    assert isinstance(refusal, str)
    assert f"{argument} has values from" in refusal


@pytest.mark.parametrize("name", ["mask_loss", "attention_loss"])
@pytest.mark.parametrize("label", [0.5, -1, 2, 254, 256, 1e9])
def test_labels_that_do_not_exist_are_refused(name, label):
    given = ordinary()[name]
    Y = given["Y"].double()
    Y[0, 0, 0] = label
    refusal = result_or_refusal(name, {**given, "Y": Y})
    assert isinstance(refusal, str)
    assert "Y holds labels other than 0, 1 and 255" in refusal


WITH_EPS = [n for n in EQUATIONS if "eps" in inspect.signature(getattr(equations, n)).parameters]


@pytest.mark.parametrize("name", WITH_EPS)
@pytest.mark.parametrize("eps", [-1e-5, float("nan"), float("inf"), None])
def test_an_eps_without_sense_is_refused(name, eps):
    refusal = result_or_refusal(name, {**ordinary()[name], "eps": eps})
    assert isinstance(refusal, str)
    assert f"eps is {eps}" in refusal


@pytest.mark.parametrize("name", WITH_EPS)
def test_without_eps_every_result_is_finite(name):
    for case in (ordinary()[name], {k: torch.zeros_like(v) for k, v in ordinary()[name].items()}):
        assert call(name, {**case, "eps": 0}).isfinite().all()


def test_batches_and_rows_that_do_not_fit_are_refused_and_never_broadcast():
    for name, arguments in ordinary().items():
        for argument, value in arguments.items():
            if value.dim() > 1 and len(arguments) > 1:
                refusal = result_or_refusal(name, {**arguments, argument: value[:1]})
                assert isinstance(refusal, str), (name, argument)
    # Two counters of (H, W) that torch would stretch to one another.
    case = ordinary()["mask_loss"]
    assert isinstance(result_or_refusal("mask_loss", {**case, "Y": case["Y"][:, :1]}), str)


# At every scale


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16], ids=str)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4, 1e15, 1e20, 1e30])
def test_a_relation_does_not_depend_on_the_scale(dtype, scale):
    if scale > 1e4 and dtype == torch.float16:
        pytest.skip("half precision ends at 65,504")
    E_q, E_s = (e.to(dtype) for e in ordinary()["relationship_matrix"].values())
    expected = relationship_matrix(E_q.double(), E_s.double())
    exact = {"atol": 5 * EXACT[dtype], "rtol": 0, "check_dtype": False}
    torch.testing.assert_close(relationship_matrix(scale * E_q, E_s).double(), expected, **exact)
    G_s = torch.ones(B, 1, N, dtype=dtype)
    by_R = attention(expected, G_s.double())
    found = attention_from_embeddings(scale * E_q, E_s / 7, G_s).double()
    torch.testing.assert_close(found, by_R, **exact)


def test_columns_of_very_different_lengths_keep_their_directions():
    E = torch.eye(3)[None] * torch.tensor([1e-3, 1.0, 3e25])
    torch.testing.assert_close(relationship_matrix(E, E)[0], torch.eye(3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_a_mask_of_seventy_thousand_pixels_has_an_inverse(dtype):
    inverse = generalized_inverse(torch.ones(1, 1, 70_000, dtype=dtype))
    torch.testing.assert_close(
        inverse.double() * 70_000, torch.ones(1, 70_000, 1).double(), atol=1e-2, rtol=0
    )


def test_equal_rows_share_the_weight_and_empty_rows_have_none():
    row = torch.tensor([1.0, 0, 1, 1])
    G_s = torch.stack([row, row, 0 * row])[None].double()
    inverse = generalized_inverse(G_s, eps=1e-9)[0]
    torch.testing.assert_close(inverse[:, :2], (row / 6)[:, None].repeat(1, 2).double())
    assert (inverse[:, 2] == 0).all()


def test_pixels_of_0_to_255_are_refused_with_the_remedy(lite0):
    from ltm_edu.model import LTM

    model = LTM.small(lite0, image_size=97, features=8, widths=(4, 4, 4)).eval()
    images = torch.randint(0, 256, (1, 3, 97, 97)).float()
    with pytest.raises(ValueError, match=r"query_images has values .* divided by 255"):
        model(images[:, None] / 255, torch.ones(1, 1, 97, 97), images)
    with pytest.raises(ValueError, match="support_images has values"):
        model(images[:, None], torch.ones(1, 1, 97, 97), images / 255)
    with pytest.raises(ValueError, match="support_images has shape"):
        model(images[:, None][:, :0], torch.ones(1, 0, 97, 97), images / 255)  # K = 0


# Properties


SHAPES = st.tuples(*(st.integers(1, n) for n in (3, 6, 9, 9)))  # B, D, N_q, N_s
SOAK = 20_000
"""Examples of each of the five properties in `make soak`."""


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Embeddings at any scale, with zero vectors, and masks with empty, full and equal rows."""
    (b, d, n_q, n_s), rows = draw(SHAPES), draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scales = draw(st.tuples(*[st.sampled_from([1e-2, 1.0, 1e3, 1e10])] * 2))
    E_q, E_s = (
        torch.randn(b, d, n, generator=generator, dtype=torch.float64) * scale
        for n, scale in zip((n_q, n_s), scales, strict=True)
    )
    E_s[..., : draw(st.integers(0, n_s))] *= draw(st.sampled_from([0.0, 1.0]))
    kind = draw(st.sampled_from(["soft", "binary", "empty", "full"]))
    G_q, G_s = (torch.rand(b, rows, n, generator=generator).double() for n in (n_q, n_s))
    if kind == "binary":
        G_q, G_s = (G_q > 0.5).double(), (G_s > 0.5).double()
    elif kind != "soft":
        G_s = torch.full_like(G_s, float(kind == "full"))
    return E_q, E_s, G_q, G_s


def relation_is_a_cosine(E_q: Tensor, E_s: Tensor, G_q: Tensor, G_s: Tensor) -> None:
    R = relationship_matrix(E_q, E_s)
    assert R.abs().max() <= 1 + 1e-9
    torch.testing.assert_close(R.mT, relationship_matrix(E_s, E_q))


def attention_needs_no_relation(E_q: Tensor, E_s: Tensor, G_q: Tensor, G_s: Tensor) -> None:
    by_R = attention(relationship_matrix(E_q, E_s), G_s)
    torch.testing.assert_close(attention_from_embeddings(E_q, E_s, G_s), by_R, atol=1e-7, rtol=1e-7)


def one_row_gives_a_mean(E_q: Tensor, E_s: Tensor, G_q: Tensor, G_s: Tensor) -> None:
    g = (G_s[:, :1] > 0.5).double()
    R = relationship_matrix(E_q, E_s)
    count = g.sum(dim=2).clamp_min(1)
    torch.testing.assert_close(attention(R, g, eps=0), (R * g).sum(dim=2) / count)


def loss_needs_no_relation(E_q: Tensor, E_s: Tensor, G_q: Tensor, G_s: Tensor) -> None:
    by_R = relationship_loss(relationship_matrix(E_q, E_s), relationship_truth(G_q, G_s), "sum")
    found = relationship_loss_from_embeddings(E_q, E_s, G_q, G_s, "sum")
    torch.testing.assert_close(found, by_R, atol=1e-7, rtol=1e-7)


def normalised_maps_fill_their_range(E_q: Tensor, E_s: Tensor, G_q: Tensor, G_s: Tensor) -> None:
    A_hat = normalize_attention(E_q)
    assert A_hat.min() >= 0
    assert A_hat.max() <= 1
    order = E_q.flatten(1).argsort(dim=1)
    assert (A_hat.flatten(1).gather(1, order).diff(dim=1) >= 0).all()


PROPERTIES = (
    relation_is_a_cosine,
    attention_needs_no_relation,
    one_row_gives_a_mean,
    loss_needs_no_relation,
    normalised_maps_fill_their_range,
)
QUIET = {"deadline": None, "database": None, "derandomize": True}


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda f: f.__name__)
def test_a_property_holds(holds):
    settings(max_examples=60, **QUIET)(given(cases())(lambda case: holds(*case)))()


@pytest.mark.soak
@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda f: f.__name__)
def test_a_property_holds_on_many_inputs(holds):
    checks = {"suppress_health_check": list(HealthCheck)}
    examples = settings(max_examples=SOAK, **QUIET, **checks)
    examples(given(cases())(lambda case: holds(*case)))()
