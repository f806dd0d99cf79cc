"""How ffmpeg is called: one quiet prelude, one set of colour tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


# Really converted to BT.709, and said so: players take an untagged clip for BT.601 or for BT.709
# depending on its size. `setparams` is needed because RGB frames carry no primaries to pass on.
BT709 = (
    "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int"
    "+full_chroma_inp,format=yuv420p,"
    "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
)
