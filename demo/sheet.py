"""Contact sheets: pictures of the demo with captions, on one page."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_GAP, _CAPTION, _MARGIN, _HEAD = 22, 64, 40, 92
_PAPER, _INK, _FAINT = (244, 240, 232), (38, 36, 34), (122, 114, 104)


def compose(
    path: Path,
    tiles: Sequence[tuple[Path, str, str]],
    *,
    title: str,
    note: str,
    columns: int = 3,
    tile_px: int = 480,
) -> None:
    """Lay (picture, caption, remark) tiles out in rows under a title, and save the page."""
    rows = -(-len(tiles) // columns)
    width = 2 * _MARGIN + columns * tile_px + (columns - 1) * _GAP
    height = _HEAD + rows * (tile_px + _CAPTION) + (rows - 1) * _GAP // 2 + _MARGIN // 2
    page = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, 24), title, fill=_INK, font=ImageFont.load_default(32))
    draw.text((width - _MARGIN, 40), note, fill=_FAINT, font=ImageFont.load_default(17), anchor="ra")
    for index, (picture, caption, remark) in enumerate(tiles):
        x = _MARGIN + index % columns * (tile_px + _GAP)
        y = _HEAD + index // columns * (tile_px + _CAPTION + _GAP // 2)
        with Image.open(picture) as image:
            page.paste(image.convert("RGB").resize((tile_px, tile_px), Image.Resampling.LANCZOS), (x, y))
        draw.text((x, y + tile_px + 8), caption, fill=_INK, font=ImageFont.load_default(20))
        draw.text((x, y + tile_px + 33), remark, fill=_FAINT, font=ImageFont.load_default(16))
    page.save(path, optimize=True)


def grid(folder: str, path: str, *, columns: int) -> None:
    """Every PNG of a folder side by side in the order of their names, pixel for pixel."""
    pictures = [Image.open(name).convert("RGB") for name in sorted(Path(folder).glob("*.png"))]
    width, height = pictures[0].size
    page = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height))
    for index, picture in enumerate(pictures):
        page.paste(picture, (index % columns * width, index // columns * height))
    page.save(path, optimize=True)
