"""The upsampler and the decoder that draws: their losses, and the pairs they learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training import adversarial, judges, train_upsampler
from training.cache_latents import ClipDataset
from training.crops import to_tensor
from training.fast_forward import to_tokens
from training.student_latents import FILE, FIRST_STOPS, finish, from_tokens
from training.train_student import STEPS, sigma_grid


def test_a_discriminator_learns_to_see_blur() -> None:
    torch.manual_seed(0)
    net = adversarial.PatchDiscriminator(8)
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, betas=(0.5, 0.9))

    def pair() -> tuple[torch.Tensor, torch.Tensor]:
        sharp = (torch.rand(2, 3, 4, 8, 8) > 0.5).float().repeat_interleave(4, 3)
        sharp = sharp.repeat_interleave(4, 4) * 2 - 1
        return sharp, torch.nn.functional.avg_pool3d(sharp, (1, 5, 5), 1, (0, 2, 2))

    for _ in range(40):
        real, made = pair()
        loss = adversarial.discriminator_loss(net(real), net(made))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    real, made = pair()
    scores = net(real)
    assert scores.shape == (2, 1, 4, 8, 8)
    assert scores.mean() > net(made).mean() + 0.5


def test_a_balanced_gradient_has_the_length_of_the_other_in_its_window() -> None:
    torch.manual_seed(0)
    reference, gradient = torch.randn(1, 3, 4, 8, 8), torch.zeros(1, 3, 4, 8, 8)
    gradient[..., :4] = torch.randn(1, 3, 4, 8, 4) * 1e-3
    made = adversarial.balance_gradient(gradient, reference)
    torch.testing.assert_close(made.norm(), reference[..., :4].norm())
    assert torch.cosine_similarity(made.flatten(), gradient.flatten(), dim=0) > 0.9999
    assert not adversarial.balance_gradient(torch.zeros_like(reference), reference).any()


def test_features_see_a_blur_and_no_difference_in_the_same(
    films: dict[str, list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And their judge is not the evaluation's: it has a file of its own, and is trained once."""
    monkeypatch.setattr(judges, "WEIGHTS_FILE", tmp_path / "scorers.pt")
    monkeypatch.setattr(judges, "CLIPS_PER_STEP", 1)
    distance = adversarial.perceptual_loss(steps=1)
    again = adversarial.perceptual_loss(steps=1)
    assert [path.name for path in tmp_path.iterdir()] == ["scorers-features.pt"]
    video = to_tensor(films["left"][0].pixels)[None]
    video = video[..., 32:96, 32:96]
    blurred = torch.nn.functional.avg_pool3d(video, (1, 5, 5), 1, (0, 2, 2))
    assert distance(video, video) == 0
    assert distance(blurred, video) > 0.01
    torch.testing.assert_close(again(blurred, video), distance(blurred, video))


def test_windows_are_inside_the_clip_and_mostly_on_the_subject() -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((25, 256, 256), np.uint8)
    masks[:, 200:240, 20:60] = 255
    corners = torch.stack([train_upsampler.pick_corner(masks, rng) for _ in range(60)])
    windows = train_upsampler.cut_windows(
        torch.from_numpy(masks)[None, None].expand(60, 1, -1, -1, -1), corners
    )
    side = train_upsampler.WINDOW_SIDE
    assert windows.shape == (60, 1, train_upsampler.WINDOW_FRAMES, side, side)
    assert (windows.flatten(1).amax(1) > 0).float().mean() > 0.6
    assert len({tuple(corner) for corner in corners.tolist()}) > 20


def cache(folder: Path, count: int, **more: Any) -> None:
    """As cache_latents does; the value of latents [i] is i, and of the student's is -i."""
    numbers = np.broadcast_to(np.arange(count).reshape(-1, 1, 1, 1, 1), (count, 2, 9, 8, 8))
    np.save(folder / "videos.npy", numbers.astype(np.float16))
    np.save(folder / FILE, -numbers.astype(np.float16))
    np.savez(folder / "about.npz", labels=np.zeros((count, 4)), **more)


def test_latents_are_beside_the_film_that_they_were_made_from(tmp_path: Path) -> None:
    cache(tmp_path, 5, seed=8)
    films, kinds = ClipDataset(8, 5), set()
    pairs = iter(train_upsampler.PairDataset(tmp_path, 1, 0.5))
    for _ in range(8):
        latents, video, weight, _corner = next(pairs)
        number = int(latents[0, 0, 0, 0])
        truth = films[abs(number)][0]
        assert torch.equal(video, truth)
        assert weight.shape == (1, *video.shape[1:]) and 1 < weight.mean() < 2
        kinds.add(np.sign(number))
    assert kinds >= {-1, 1}, "the encoder's and the student's"


def test_latents_cached_without_their_seed_are_refused(tmp_path: Path) -> None:
    cache(tmp_path, 2)
    with pytest.raises(ValueError, match="run cache_latents again"):
        train_upsampler.PairDataset(tmp_path, 1, 0.5)


@pytest.mark.parametrize("stop", FIRST_STOPS)
def test_a_student_that_makes_no_mistake_draws_the_same_clip_again(stop: int) -> None:
    torch.manual_seed(0)
    x0, noise = torch.randn(2, 4, 9, 8, 8), torch.randn(2, 576, 4)
    torch.testing.assert_close(from_tokens(to_tokens(x0)), x0)
    sigma = sigma_grid(STEPS)[stop]
    start, asked = (1 - sigma) * to_tokens(x0) + sigma * noise, []

    def velocity(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        asked.append(float(sigma))
        return noise - to_tokens(x0)

    made = from_tokens(finish(velocity, start, stop))
    torch.testing.assert_close(made, x0, atol=1e-4, rtol=1e-4)
    assert asked == sigma_grid(STEPS)[stop:-1].tolist()
