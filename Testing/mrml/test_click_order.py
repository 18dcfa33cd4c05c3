"""Which landmark a click means, for both ways of clicking them and for landmarks that an image does not show."""

from __future__ import annotations

import pytest

from MultiViewRegistrationLib.mrml.landmarks import ClickOrder

PLACES = ["CT", "AP", "LAT"]


def names_of(clicks, chosen=()):
    """The names that clicks get, each given by where it is and which landmark is meant."""
    order, have, named = ClickOrder(), {place: [] for place in PLACES}, []
    for place, name in chosen:
        order.choose(place, name)
    for place in clicks:
        others = [name for where in PLACES for name in have[where]]
        lacking = [order.next(place), *others, *map(str, range(1, 20))]  # as landmarks.next_name has it
        name = next(name for name in lacking if name and name not in have[place])
        have[place].append(name)
        named.append(name)
        order.clicked(place, name)
    return "".join(named)


@pytest.mark.parametrize(
    "clicks, names",
    [
        ("CT CT CT AP AP AP LAT LAT LAT", "123123123"),  # image by image
        ("CT AP LAT CT AP LAT CT AP LAT", "111222333"),  # landmark by landmark
        ("AP LAT CT LAT AP CT", "111222"),
        ("CT AP CT AP LAT CT AP LAT", "11222333"),  # the first is not seen in LAT
        ("CT AP LAT CT LAT CT AP LAT", "11122333"),  # the second is not seen in AP
        ("CT CT CT AP AP AP", "123123"),
    ],
)
def test_both_ways_of_clicking(clicks, names):
    assert names_of(clicks.split()) == names


def test_what_a_person_says_comes_first_and_once():
    assert names_of("CT CT CT AP AP".split(), chosen=[("AP", "3")]) == "12331"
