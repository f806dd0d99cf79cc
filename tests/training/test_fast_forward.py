"""The training's forward is the transformer's own, to the last digits that half precision keeps."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from diffusers import LTXVideoTransformer3DModel
from torch import Tensor

from training import fast_forward

FRAMES, HEIGHT, WIDTH, TOKENS = 3, 2, 3, 7
SCALE = (0.25, 16, 16)


@pytest.fixture
def model() -> LTXVideoTransformer3DModel:
    torch.manual_seed(0)
    model = LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=24,
        cross_attention_dim=48,
        num_layers=2,
        caption_channels=20,
    )
    with torch.no_grad():
        for parameter in model.parameters():  # also what starts at one or at zero
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


class Case:
    """Two clips: a given first frame beside noise, and prompts of different lengths."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(2, FRAMES * HEIGHT * WIDTH, 8, generator=generator)
        self.text = torch.randn(2, TOKENS, 20, generator=generator)
        self.mask = torch.arange(TOKENS)[None] < torch.tensor([[3], [6]])
        self.timestep = torch.tensor([[0.0, 700.0, 700.0], [310.0, 310.0, 310.0]])

    def slow(self, model: LTXVideoTransformer3DModel) -> Tensor:
        return model(
            hidden_states=self.x,
            encoder_hidden_states=self.text,
            timestep=self.timestep.repeat_interleave(HEIGHT * WIDTH, 1),
            encoder_attention_mask=self.mask.long(),
            num_frames=FRAMES,
            height=HEIGHT,
            width=WIDTH,
            rope_interpolation_scale=SCALE,
            return_dict=False,
        )[0]

    def fast(
        self,
        model: LTXVideoTransformer3DModel,
        block_step: Callable[..., Tensor] = fast_forward.block_forward,
    ) -> Tensor:
        rope = model.rope(self.x[:1], FRAMES, HEIGHT, WIDTH, SCALE)
        return fast_forward.forward(
            model, self.x, self.text, self.timestep, self.mask, rope, block_step
        )


def in_single_precision(
    block: torch.nn.Module, h: Tensor, text: Tensor, temb: Tensor, *tables: Tensor
) -> Tensor:
    return fast_forward.block_forward(block, h, text, temb, *(table.float() for table in tables))


def round_positions(model: LTXVideoTransformer3DModel) -> None:
    """The training keeps the positions in bfloat16; so may the model for once."""
    exact = model.rope.forward

    @functools.wraps(exact)
    def rounded(*args: object, **options: object) -> tuple[Tensor, Tensor]:
        cos, sin = exact(*args, **options)  # type: ignore[arg-type]
        return cos.bfloat16().float(), sin.bfloat16().float()

    model.rope.forward = rounded  # type: ignore[method-assign]


@torch.no_grad()
def test_it_computes_what_the_transformer_computes(model: LTXVideoTransformer3DModel) -> None:
    round_positions(model)
    case = Case()
    expected = case.slow(model)
    assert expected.abs().mean() > 0.1
    made = case.fast(model, in_single_precision)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")  # autocast's norms
@torch.no_grad()
def test_in_bfloat16_it_differs_by_rounding_only(model: LTXVideoTransformer3DModel) -> None:
    case = Case()
    exact = case.slow(model)
    with torch.autocast("cpu", torch.bfloat16):
        theirs, ours = case.slow(model).float(), case.fast(model).float()
    rounding = (theirs - exact).abs().mean()
    assert rounding > 0
    assert (ours - exact).abs().mean() < 2 * rounding


@torch.no_grad()
def test_each_frame_has_a_timestep_of_its_own(model: LTXVideoTransformer3DModel) -> None:
    case = Case()
    before = case.fast(model, in_single_precision)
    case.timestep[0, 0] = 700.0
    after = case.fast(model, in_single_precision)
    assert (after[0] - before[0]).abs().max() > 1e-3
    torch.testing.assert_close(after[1], before[1])


@torch.no_grad()
def test_padding_of_the_prompt_says_nothing(model: LTXVideoTransformer3DModel) -> None:
    case = Case()
    before = case.fast(model, in_single_precision)
    case.text[~case.mask] = 9.0
    torch.testing.assert_close(case.fast(model, in_single_precision), before)


def test_every_weight_learns(model: LTXVideoTransformer3DModel) -> None:
    model.train()
    Case().fast(model, in_single_precision).square().mean().backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not [n for n in still if not n.endswith("attn2.to_k.bias")]  # adds alike to every token
