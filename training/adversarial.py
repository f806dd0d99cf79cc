"""Losses that keep a decoder from painting the average: a discriminator and the judges' features.

Both are used by `train_decoder`, on windows of the decoded clip, [B, 3, F, S, S] in -1..1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from training import judges
from training.judges import AppearanceClassifier

JUDGE_SEED = 10
"""Not the seed of the judges that the evaluation uses: a decoder trained on their own features
could please them without drawing better."""
MAX_BALANCE = 1e4


class PatchDiscriminator(nn.Module):
    """Rates overlapping patches of about 30 x 30 pixels and 5 frames (arXiv:1611.07004).

    Spectral norms bound its slope (arXiv:1802.05957), so that it needs no gradient penalty.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv3d(3, width, (1, 4, 4), (1, 2, 2), (0, 1, 1))),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv3d(width, 2 * width, (3, 4, 4), (1, 2, 2), (1, 1, 1))),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv3d(2 * width, 4 * width, (3, 3, 3), (1, 1, 1), (1, 1, 1))),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv3d(4 * width, 1, (1, 3, 3), (1, 1, 1), (0, 1, 1))),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, F, S, S] -> scores, [B, 1, F, S / 4, S / 4]."""
        return self.layers(x)


def discriminator_loss(real: Tensor, made: Tensor) -> Tensor:
    """Hinge loss of scores: real ones above 1, made ones below -1."""
    return F.relu(1 - real.float()).mean() + F.relu(1 + made.float()).mean()


def balance_gradient(gradient: Tensor, reference: Tensor) -> Tensor:
    """Scales a gradient to the length of another, both [B, 3, F, S, S], where it is not zero.

    As VQGAN's adaptive weight (arXiv:2012.09841), but at the pixels instead of the last layer,
    which costs no further pass through the decoder.
    """
    inside = reference * (gradient != 0)
    return gradient * (inside.norm() / (gradient.norm() + 1e-12)).clamp(max=MAX_BALANCE)


class PerceptualLoss(nn.Module):
    """Distance of the judge's features, normalised per position as in LPIPS (arXiv:1801.03924).

    Windows are compared at half size, near the scale that the judge was trained at, and at full
    size, for the edges.
    """

    def __init__(self, classifier: AppearanceClassifier, frames: int = 4) -> None:
        super().__init__()
        self.body, self.frames = classifier.body.eval().requires_grad_(False), frames

    def _features(self, x: Tensor) -> list[Tensor]:
        found = []
        for layer in self.body:
            x = layer(x)
            if not isinstance(layer, nn.MaxPool2d):
                found.append(F.normalize(x.float(), dim=1))
        return found

    def forward(self, decoded: Tensor, video: Tensor) -> Tensor:
        """decoded, video: [B, 3, F, S, S] in -1..1."""
        every = max(1, decoded.shape[2] // self.frames)
        a, b = (
            (x[:, :, ::every].movedim(2, 1).flatten(0, 1).float() + 1) / 2 for x in (decoded, video)
        )
        loss = decoded.new_zeros((), dtype=torch.float32)
        for x, y in ((a, b), (F.avg_pool2d(a, 2), F.avg_pool2d(b, 2))):
            for p, q in zip(self._features(x), self._features(y), strict=True):
                loss = loss + (p - q).square().sum(1).mean()
        return loss


def perceptual_loss(steps: int = 700) -> PerceptualLoss:
    """With a judge of its own, which the first use trains (5 minutes) and keeps among the runs."""
    path = judges.WEIGHTS_FILE.with_stem(judges.WEIGHTS_FILE.stem + "-features")
    if path.exists():
        state = torch.load(path, weights_only=True)
        if judges.matches_world(state):
            classifier = AppearanceClassifier()
            classifier.load_state_dict(state["looks"])
            return PerceptualLoss(classifier)
    classifier, _ = judges.train(steps, JUDGE_SEED, path)
    return PerceptualLoss(classifier)
