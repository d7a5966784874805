import sys

import numpy as np
import pytest

from imagegraph.image import Image
from imagegraph.run.sheet import CELL, GAP, NO_LETTERS, contact_sheet


def picture(width: int = 32, height: int = 16) -> Image:
    return Image.from_array(np.full((height, width, 3), 200, np.uint8))


def title(text: str) -> bytes:
    """The pixels of a title of a sheet."""
    sheet = contact_sheet(text, [[("one", picture())] * 3])
    return sheet.crop((0, 0, sheet.width, GAP + 20)).tobytes()


@pytest.mark.parametrize("title", ["a red sphere", "", "👩‍🚀 Würfel\nzwei", "x" * 5000])
def test_a_contact_sheet_shows_every_row_under_a_title(title):
    sheet = contact_sheet(title, [[("one", picture(16, 64)), ("two", picture())], [], [("b", picture())]])
    assert sheet.width == GAP + 2 * (CELL + GAP)
    grey = np.asarray(sheet)[..., 0] == 200
    assert grey.sum() > 3 * CELL * CELL // 5


def test_a_row_is_as_high_as_its_highest_picture():
    wide, tall = [("one", picture(64, 16))] * 2, [("two", picture(16, 64))]
    heights = [contact_sheet("", rows).height for rows in ([wide], [tall])]
    assert heights[1] - heights[0] == CELL - CELL // 4


@pytest.mark.parametrize("text", ["红色的立方体", "東京の夜", "서울", "красный куб", "κόκκινος κύβος"])
def test_letters_of_other_scripts_are_drawn_and_are_no_boxes(text: str) -> None:
    drawn = title(text)
    assert drawn != title("")
    # Of a font without them, all letters would look the same.
    assert drawn != title(text[::-1])
    assert drawn != title("?" * len(text))


def test_without_a_font_for_them_words_say_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert title("红色的立方体") == title(NO_LETTERS)
    assert title("a red sphere, größer…") != title(NO_LETTERS)
