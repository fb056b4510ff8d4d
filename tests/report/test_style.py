"""Colours: distinct for colour-blind readers, and mixed correctly."""

import colorsys
import itertools

import pytest

from undertow.report import style


def luminance(colour):
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [style.INK, style.QUIET, style.COUNTS, style.MODEL])
def test_text_and_lines_stand_out_from_white(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5


def test_conditions_differ_in_hue_or_in_lightness():
    for one, other in itertools.combinations(style.CONDITION_COLOURS, 2):
        first, second = (
            colorsys.rgb_to_hls(*(int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)))
            for colour in (one, other)
        )
        hue = abs(first[0] - second[0])
        assert max(min(hue, 1 - hue), abs(first[1] - second[1]), abs(first[2] - second[2])) > 0.03


def test_lightened_and_faded_colours_are_exact():
    assert style.lightened("#004080", 0.5) == "#80a0c0"
    assert style.lightened("#123456", 0) == "#123456"
    assert style.faded("#0a10ff", 0.25) == "rgba(10,16,255,0.25)"
