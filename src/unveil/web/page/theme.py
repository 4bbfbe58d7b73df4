"""How the page looks: system fonts, nothing fetched from elsewhere."""

from __future__ import annotations

from gradio.themes import Base, Default

FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONO = ("ui-monospace", "Consolas", "monospace")
HEAD = "\n".join(
    [
        '<meta name="description" content="Restore photographs">',
        '<link rel="stylesheet" href="/page/assets/page.css">',
        *(
            f'<script type="module" src="/page/assets/{name}.js"></script>'
            for name in ("drop", "progress", "compare", "copy")
        ),
    ]
)


def theme() -> Base:
    """Gradio's plain theme in our colours and the system's fonts (its own come from Google)."""
    return Default(
        primary_hue="teal", secondary_hue="teal", neutral_hue="slate", font=list(FONTS), font_mono=list(MONO)
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_text_color="white",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        slider_color="*primary_600",
        color_accent="*primary_600",
    )
