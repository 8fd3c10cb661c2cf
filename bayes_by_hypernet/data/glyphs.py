"""Characters of matplotlib's fonts as signed distance fields.

A distance field can be warped and then cut at any level, so one field per font and character yields
every stroke width.
"""

import dataclasses
import os

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

# The text fonts among those that matplotlib ships; the others hold symbols or old-style digits.
FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSans-BoldOblique.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSansMono-Bold.ttf",
    "DejaVuSansMono-Oblique.ttf",
    "DejaVuSansMono-BoldOblique.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSerif-Italic.ttf",
    "DejaVuSerif-BoldItalic.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralBol.ttf",
    "STIXGeneralItalic.ttf",
    "STIXGeneralBolIta.ttf",
    "cmb10.ttf",
    "cmr10.ttf",
    "cmss10.ttf",
    "cmti10.ttf",
    "cmtt10.ttf",
)
FIELD_SIZE = 168  # pixels; leaves a margin for the broadest stroke around every glyph
GLYPH_SIZE = 104  # pixels; the longer side of every glyph's bounding box
_RENDER_SIZE = 128  # points
_NUM_DIRECTIONS = 64


@dataclasses.dataclass(frozen=True)
class Glyphs:
    """Signed distance fields of `G = fonts * characters` glyphs.

    Attributes:
        fields: `(G, FIELD_SIZE, FIELD_SIZE)` float32, in units of the glyph's longer side: distance
            to the outline, positive inside. The glyph's centre of mass is the field's centre.
        outlines: `(G, 64, 2)` float32: the glyph's extreme points in 64 directions, as (y, x) from
            the centre of mass, in the same units. They bound every linear image of the glyph.
        classes: `(G,)` int64: which of the characters a glyph shows.
    """

    fields: np.ndarray
    outlines: np.ndarray
    classes: np.ndarray


def render_glyphs(characters):
    """Renders each character in each of `FONTS`.

    Args:
        characters: String of C characters.

    Returns:
        `Glyphs` with `G = 21 * C`.
    """
    import matplotlib  # for this alone, and slow to import

    folder = os.path.join(matplotlib.get_data_path(), "fonts", "ttf")
    fields, outlines, classes = [], [], []
    for name in FONTS:
        font = ImageFont.truetype(
            os.path.join(folder, name), _RENDER_SIZE, layout_engine=ImageFont.Layout.BASIC
        )
        for index, character in enumerate(characters):
            inside = _centred_mask(character, font)
            fields.append(_signed_distance(inside))
            outlines.append(_extreme_points(inside))
            classes.append(index)
    return Glyphs(np.stack(fields), np.stack(outlines), np.array(classes, np.int64))


def _centred_mask(character, font):
    """Boolean `(FIELD_SIZE, FIELD_SIZE)` mask, size-normalised, centre of mass in the middle."""
    left, top, right, bottom = font.getbbox(character)
    canvas = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(canvas).text((-left, -top), character, font=font, fill=255)
    canvas = canvas.crop(canvas.getbbox())
    scale = GLYPH_SIZE / max(canvas.size)
    width, height = (max(1, round(side * scale)) for side in canvas.size)
    glyph = np.asarray(canvas.resize((width, height), Image.Resampling.BICUBIC)) >= 128
    centre_y, centre_x = ndimage.center_of_mass(glyph)
    y = round((FIELD_SIZE - 1) / 2 - centre_y)
    x = round((FIELD_SIZE - 1) / 2 - centre_x)
    mask = np.zeros((FIELD_SIZE, FIELD_SIZE), bool)
    mask[y : y + height, x : x + width] = glyph
    return mask


def _signed_distance(inside):
    outside_distance = ndimage.distance_transform_edt(~inside)
    inside_distance = ndimage.distance_transform_edt(inside)
    return ((inside_distance - outside_distance) / GLYPH_SIZE).astype(np.float32)


def _extreme_points(inside):
    points = np.argwhere(inside) - (FIELD_SIZE - 1) / 2  # (pixels, 2)
    angles = np.linspace(0, 2 * np.pi, _NUM_DIRECTIONS, endpoint=False)
    directions = np.stack([np.sin(angles), np.cos(angles)])  # (2, 64)
    return (points[np.argmax(points @ directions, axis=0)] / GLYPH_SIZE).astype(np.float32)
