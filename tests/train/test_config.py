"""Assignments as typed on a command line are compared with the values they stand for, errors with the sentence they should be."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

import pytest

from train.config import describe, from_dict, override


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = 0  # of everything
    temperature: float = 0.07  # tau, sec. 4.1
    symmetric: bool = False
    name: str = ""  # may hold = and #
    kind: Literal["sgd", "adamw"] = "sgd"  # the optimizer
    widths: tuple[int, ...] = ()  # of the stages
    texts: tuple[str, ...] = ()
    limit: int | None = None  # none: no limit


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("seed=3", 3),
        ("temperature=1e-3", 0.001),
        ("temperature=2", 2.0),
        ("symmetric=true", True),
        ("symmetric=No", False),
        ("symmetric=1", True),
        ("name=a=b # c", "a=b # c"),
        ("name=", ""),
        ("kind=adamw", "adamw"),
        ("widths=16,32", (16, 32)),
        ("widths=(16, 32)", (16, 32)),
        ("widths=[16]", (16,)),
        ("widths=16", (16,)),
        ("widths=", ()),
        ("widths=()", ()),
        ("widths=(16)", (16,)),
        ("texts=a photo of a {}.,a {}", ("a photo of a {}.", "a {}")),
        ("texts=['a photo of a {}, blurred']", ("a photo of a {}, blurred",)),
        ("limit=5", 5),
        ("limit=none", None),
    ],
)
def test_a_field_takes_a_text_as_its_type(assignment: str, value: object) -> None:
    found = getattr(override(Config(limit=1), [assignment]), assignment.partition("=")[0])
    assert found == value and type(found) is type(value)


def test_other_fields_stay_and_the_last_assignment_counts() -> None:
    assert override(Config(temperature=1.0), ["seed=1", "seed=2"]) == Config(seed=2, temperature=1.0)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("seed=1.5", "seed='1.5' was given; expected an integer"),
        ("temperature=warm", "temperature='warm' was given; expected a number"),
        ("symmetric=maybe", "symmetric='maybe' was given; expected true or false"),
        ("kind=adam", "kind='adam' was given; expected one of sgd, adamw"),
        ("widths=16,x", "widths='16,x' was given; expected values separated by commas, each an integer"),
        ("widths=(16,", "expected values separated by commas"),
        ("limit=many", "limit='many' was given; expected an integer or none"),
        ("seed", "'seed' is not of the form field=value"),
        ("temprature=1", "there is no field 'temprature'; did you mean temperature"),
        ("zzz=1", "The fields are: seed, temperature,"),
    ],
)
def test_a_mistake_is_named_with_what_was_expected(assignment: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        override(Config(), [assignment])


def test_a_checkpoints_dict_becomes_the_config_again() -> None:
    config = Config(seed=4, widths=(1, 2), texts=("a {}",))
    values = dataclasses.asdict(config)
    assert from_dict(Config, values) == config
    assert from_dict(Config, {**values, "widths": [1, 2]}) == config
    assert from_dict(Config, {"seed": 4}) == Config(seed=4), "fields that came later have their defaults"
    with pytest.raises(ValueError, match="does not know: depth"):
        from_dict(Config, {"depth": 1})


def test_each_field_is_described_by_its_comment() -> None:
    rows = {name: (default, meaning) for name, default, meaning in describe(Config(seed=7))}
    assert list(rows) == [field.name for field in dataclasses.fields(Config)]
    assert rows["seed"] == ("7", "of everything")
    assert rows["temperature"] == ("0.07", "tau, sec. 4.1")
    assert rows["kind"] == ("'sgd'", "the optimizer")
    assert rows["symmetric"] == ("False", "")
