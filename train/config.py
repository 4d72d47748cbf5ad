"""Flat frozen dataclasses as configuration: from the command line's field=value and from a checkpoint's dict."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

ConfigT = TypeVar("ConfigT")


def override(config: ConfigT, assignments: Sequence[str]) -> ConfigT:
    """Apply `field=value` texts; ValueError names the field, its type and the nearest known names."""
    hints = typing.get_type_hints(type(config))
    known = [field.name for field in dataclasses.fields(config)]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(f"{assignment!r} is not of the form field=value")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise ValueError(f"there is no field {name!r}; {hint}The fields are: {', '.join(known)}")
        values[name] = _parse(name, text, hints[name])
    return dataclasses.replace(config, **values)  # type: ignore[type-var]


def from_dict(kind: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Rebuild a Config from a checkpoint; a field that this version does not know is an error."""
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"the checkpoint's configuration has fields that this version does not know: {', '.join(unknown)}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def describe(config: Any) -> list[tuple[str, str, str]]:
    """Each field's name, default and the comment that stands behind it in the source."""
    source = inspect.getsource(type(config))
    rows = []
    for field in dataclasses.fields(config):
        found = re.search(rf"^\s+{field.name}:[^#\n]*(?:#\s*(.*))?$", source, re.MULTILINE)
        rows.append((field.name, repr(getattr(config, field.name)), (found.group(1) or "") if found else ""))
    return rows


def _parse(name: str, text: str, hint: Any) -> Any:
    origin = typing.get_origin(hint)
    try:
        if origin in (typing.Union, types.UnionType):
            if text.lower() == "none":
                return None
            return _parse(name, text, next(kind for kind in typing.get_args(hint) if kind is not type(None)))
        if origin is typing.Literal:
            options = typing.get_args(hint)
            if text not in options:
                raise ValueError(f"one of {', '.join(options)}")
            return text
        if origin is tuple:
            element = typing.get_args(hint)[0]
            inner = text.strip()
            parts = ast.literal_eval(inner) if inner.startswith(("(", "[")) else [part for part in inner.split(",") if part]
            return tuple(_parse(name, str(part), element) for part in (parts if isinstance(parts, list | tuple) else [parts]))
        if hint is bool:
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        if hint is str:
            return text
        return hint(text)
    except (ValueError, KeyError, SyntaxError) as error:
        expected = str(error) if origin is typing.Literal else _readable(hint)
        raise ValueError(f"{name}={text!r} was given; expected {expected}") from error


def _readable(hint: Any) -> str:
    names = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}
    origin = typing.get_origin(hint)
    if origin is tuple:
        return f"values separated by commas, each {_readable(typing.get_args(hint)[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join("none" if kind is type(None) else _readable(kind) for kind in typing.get_args(hint))
    return names.get(hint, str(hint))
