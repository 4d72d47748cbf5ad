"""What `runtime.run` asks of each task: one file per kind of task, with its options and how it answers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from types import ModuleType

from . import hashing, inputs, labels, recognising, targets, upscaling

COMMANDS: dict[str, ModuleType] = {
    "zero_shot": labels,
    "super_resolver": upscaling,
    "cross_modal_hasher": hashing,
    "few_shot_classifier": recognising,
    "recognizer": targets,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those that several tasks share, and a group for each task."""
    inputs.add_shared(parser)
    for module in COMMANDS.values():
        module.add_options(parser.add_argument_group(module.TITLE))


def of(task: str, given: argparse.Namespace) -> ModuleType:
    """The command of a task; ValueError for a task without one, and for options that belong to another."""
    if task not in COMMANDS:
        raise ValueError(f"this command does not know what to ask of a {task}; it knows {', '.join(COMMANDS)}")
    for owners, action in _owned():
        if task not in owners and getattr(given, action.dest) != action.default:
            *most, last = (f"a {owner}" for owner in owners)
            named = f"{', '.join(most)} or {last}" if most else last
            raise ValueError(f"{action.option_strings[-1]} is for {named} artifact, and this one is a {task}")
    return COMMANDS[task]


def _owned() -> Iterator[tuple[list[str], argparse.Action]]:
    """Each option with the tasks that take it."""
    shared = argparse.ArgumentParser(add_help=False)
    inputs.add_shared(shared)
    for action in shared._actions:
        yield [name for name, module in COMMANDS.items() if action.dest in module.SHARED], action
    for name, module in COMMANDS.items():
        probe = argparse.ArgumentParser(add_help=False)
        module.add_options(probe)
        yield from (([name], action) for action in probe._actions)
