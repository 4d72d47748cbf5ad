"""Raw MSTAR files: what was written against what is read, and headers that lie against their sentence."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import phoenix
from runtime.prepare import UnreadableImage

MAGNITUDE = np.random.default_rng(0).rayleigh(1, (7, 5)).astype(np.float32)
PHASE = np.random.default_rng(1).uniform(-np.pi, np.pi, (7, 5)).astype(np.float32)
Raw = Callable[..., bytes]


def test_magnitude_phase_and_fields_come_back(raw_chip: Raw) -> None:
    found = phoenix.read(raw_chip(MAGNITUDE, PHASE, TargetType="t72_tank", DesiredDepression="17.000000"))
    np.testing.assert_array_equal(found.magnitude, MAGNITUDE)
    np.testing.assert_array_equal(found.phase, PHASE)
    assert (found.fields["TargetType"], found.fields["DesiredDepression"]) == ("t72_tank", "17.000000")


@pytest.mark.parametrize("change", [{"PhoenixHeaderLength": None}, {"PhoenixHeaderLength": None, "native_header_length": None}])
def test_without_a_length_the_pixels_begin_after_the_header(raw_chip: Raw, change: dict[str, None]) -> None:
    np.testing.assert_array_equal(phoenix.read(raw_chip(MAGNITUDE, **change)).magnitude, MAGNITUDE)


def test_a_native_header_is_passed_over(raw_chip: Raw) -> None:
    whole = raw_chip(MAGNITUDE, native_header_length=11)
    data = 8 * MAGNITUDE.size
    np.testing.assert_array_equal(phoenix.read(whole[:-data] + b"n" * 11 + whole[-data:]).magnitude, MAGNITUDE)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"NumberOfRows": "10**9"}, "NumberOfRows= '10.*expected a number from 1"),
        ({"NumberOfRows": 10**9}, "expected a number from 1 to 8192"),
        ({"NumberOfColumns": -5}, "NumberOfColumns= '-5'"),
        ({"NumberOfColumns": 0}, "expected a number from 1"),
        ({"NumberOfRows": None}, "NumberOfRows= ''"),
        ({"NumberOfRows": 8000, "NumberOfColumns": 8000}, "512000000 bytes, and 280 follow; the file is truncated"),
        ({"NumberOfRows": 2}, "another one than its header says"),
        ({"PhoenixHeaderLength": 3}, "PhoenixHeaderLength= '3'"),
        ({"PhoenixHeaderLength": "9" * 30}, "PhoenixHeaderLength= '9"),
        ({"native_header_length": -8}, "native_header_length= '-8'"),
    ],
)
def test_a_header_that_lies_is_refused(raw_chip: Raw, fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(UnreadableImage, match=sentence):
        phoenix.read(raw_chip(MAGNITUDE, **fields), "a.015")


def test_a_scene_of_two_bytes_a_value_is_told_from_a_chip(raw_chip: Raw) -> None:
    whole = raw_chip(MAGNITUDE)
    with pytest.raises(UnreadableImage, match="as full scenes have"):
        phoenix.read(whole[: -4 * MAGNITUDE.size])


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_magnitudes_that_are_none_are_refused(raw_chip: Raw, value: float) -> None:
    wrong = MAGNITUDE.copy()
    wrong[2, 3] = value
    with pytest.raises(UnreadableImage, match="negative, or a value is not finite"):
        phoenix.read(raw_chip(wrong))


def test_a_header_without_an_end_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="does not end"):
        phoenix.read(b"[PhoenixHeaderVer01.04]\nNumberOfRows= 5\n" + b"x" * (1 << 17))
    with pytest.raises(UnreadableImage, match="no Phoenix header"):
        phoenix.read(b"\x89PNG")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_in_a_sentence(raw_chip: Raw, data: st.DataObject) -> None:
    whole = bytearray(raw_chip(MAGNITUDE, PHASE))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        assert phoenix.read(content).magnitude.dtype == np.float32
    except UnreadableImage as error:
        assert str(error)
