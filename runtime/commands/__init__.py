"""What `runtime.run` asks of each task: one file per kind of task, with its options and how it answers."""

from __future__ import annotations

import argparse
from types import ModuleType

from . import labels, upscaling

COMMANDS: dict[str, ModuleType] = {"zero_shot": labels, "super_resolver": upscaling}


def add_options(parser: argparse.ArgumentParser) -> None:
    """A group of options for each task."""
    for module in COMMANDS.values():
        module.add_options(parser.add_argument_group(module.TITLE))


def of(task: str, given: argparse.Namespace) -> ModuleType:
    """The command of a task; ValueError for a task without one, and for options that belong to another."""
    if task not in COMMANDS:
        raise ValueError(f"this command does not know what to ask of a {task}; it knows {', '.join(COMMANDS)}")
    for name, module in COMMANDS.items():
        if name == task:
            continue
        probe = argparse.ArgumentParser(add_help=False)
        module.add_options(probe)
        for action in probe._actions:
            if getattr(given, action.dest) != action.default:
                raise ValueError(f"{action.option_strings[-1]} is for a {name} artifact, and this one is a {task}")
    return COMMANDS[task]
