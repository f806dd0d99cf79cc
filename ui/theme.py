"""Colours, type and space, and the page's own style and script.

Everything is inlined into the page's head: no other host, and no
path that a proxy could get wrong.
"""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils import colors, sizes

VIOLET = colors.Color(
    "#f4f1ff", "#e9e3ff", "#d5caff", "#b7a4ff", "#957aff",
    "#6d4aff", "#5f3df0", "#5030cc", "#4127a3", "#352282", "#21144f",
    name="violet",
)  # fmt: skip
INK = colors.Color(
    "#fbfaff", "#f3f1fb", "#e5e2f2", "#cfcbe0", "#a29db8",
    "#736e8a", "#57526d", "#3d3952", "#262238", "#171426", "#0d0b14",
    name="ink",
)  # fmt: skip


def build() -> gr.themes.Base:
    theme = gr.themes.Base(
        primary_hue=VIOLET,
        secondary_hue=VIOLET,
        neutral_hue=INK,
        text_size=sizes.text_md,
        spacing_size=sizes.spacing_md,
        radius_size=sizes.radius_lg,
        font=[
            gr.themes.LocalFont("IBMPlexSans", weights=(400, 700)),
            "ui-sans-serif",
            "sans-serif",
        ],
        font_mono=[gr.themes.LocalFont("IBMPlexMono", weights=(400,)), "ui-monospace", "monospace"],
    )
    return theme.set(
        body_background_fill="#fbfaff",
        body_background_fill_dark="#0d0b14",
        body_text_color="#1d1930",
        body_text_color_dark="#f0eefa",
        body_text_color_subdued="#625d78",
        body_text_color_subdued_dark="#a7a2bd",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#14111f",
        background_fill_secondary="#fbfaff",
        background_fill_secondary_dark="#0d0b14",
        border_color_primary="#e5e2f2",
        border_color_primary_dark="#2a2640",
        border_color_accent="#6d4aff",
        border_color_accent_dark="#957aff",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_shadow="none",
        block_shadow_dark="none",
        block_padding="0px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_border_width_dark="0px",
        block_title_text_weight="400",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_info_text_color="*body_text_color_subdued",
        block_info_text_color_dark="*body_text_color_subdued",
        panel_background_fill="transparent",
        panel_background_fill_dark="transparent",
        panel_border_width="0px",
        panel_border_width_dark="0px",
        input_background_fill="#ffffff",
        input_background_fill_dark="#14111f",
        input_border_color="#dcd8ec",
        input_border_color_dark="#2f2a47",
        input_border_color_focus="#6d4aff",
        input_border_color_focus_dark="#957aff",
        input_shadow="none",
        input_shadow_dark="none",
        input_shadow_focus="0 0 0 3px #6d4aff33",
        input_shadow_focus_dark="0 0 0 3px #957aff40",
        input_border_width="1px",
        input_radius="12px",
        input_placeholder_color="#736e8a",
        input_placeholder_color_dark="#938ea9",
        slider_color="#6d4aff",
        slider_color_dark="#8468ff",
        loader_color="#6d4aff",
        loader_color_dark="#957aff",
        button_primary_background_fill="#6d4aff",
        button_primary_background_fill_dark="#6d4aff",
        button_primary_background_fill_hover="#5f3df0",
        button_primary_background_fill_hover_dark="#7551ff",
        button_primary_text_color="#ffffff",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_dark="#1b1729",
        button_secondary_border_color="#dcd8ec",
        button_secondary_border_color_dark="#2f2a47",
        button_transition="background-color .15s ease, border-color .15s ease, color .15s ease",
        link_text_color="#5030cc",
        link_text_color_dark="#b7a4ff",
    )
