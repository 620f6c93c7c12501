"""Between a recipe's dataclass and text: the command line's options and ``config.json``."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union

from train.errors import UsageError
from train.recipe import Recipe


class Setting(typing.NamedTuple):
    """One field of a recipe, or of a dataclass inside it, by its dotted name."""

    name: str
    type: Any
    default: Any
    where: bool
    """Whether it only says where data lie."""


def settings(cls: type, default: Any = None, prefix: str = "") -> dict[str, Setting]:
    """All settings of a dataclass by dotted name, as ``optimizer.learning_rate``."""
    default = cls() if default is None else default
    hints = typing.get_type_hints(cls)
    found: dict[str, Setting] = {}
    for field in dataclasses.fields(cls):
        value, name = getattr(default, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            found |= settings(type(value), value, f"{name}.")
        else:
            where = bool(field.metadata.get("where"))
            found[name] = Setting(name, hints[field.name], value, where)
    return found


def parse_options(known: Mapping[str, Setting], arguments: Sequence[str]) -> dict[str, Any]:
    """Turn ``--optimizer.learning-rate 0.1 --epochs=3 --download`` into values by dotted name.

    The last part of a dotted name is enough where it is unique, as ``--learning-rate``.

    Raises:
        UsageError: an unknown option (with the nearest known one), a missing or mistyped value.
    """
    values: dict[str, Any] = {}
    remaining = list(arguments)
    while remaining:
        option = remaining.pop(0)
        if not option.startswith("--"):
            raise UsageError(f"unexpected {option!r}; options look like --epochs 3")
        written, has_value, text = option[2:].partition("=")
        setting = known[resolve(written, known)]
        if not has_value:
            next_is_value = bool(remaining) and not remaining[0].startswith("--")
            if next_is_value:
                text = remaining.pop(0)
            elif setting.type is bool:
                text = "true"
            else:
                raise UsageError(f"--{written}: expected {_describe(setting.type)} after it")
        values[setting.name] = parse_value(text, setting.type, written)
    return values


def resolve(written: str, known: Mapping[str, Any]) -> str:
    """The setting that an option names, by whole dotted name or unique last part."""
    name = written.replace("-", "_")
    if name in known:
        return name
    by_last_part = [full for full in known if full.rpartition(".")[2] == name]
    if len(by_last_part) == 1:
        return by_last_part[0]
    if by_last_part:
        raise UsageError(f"--{written} may be any of {', '.join(by_last_part)}; write one in full")
    spellings = {part: full for full in known for part in (full.rpartition(".")[2], full)}
    near = difflib.get_close_matches(name, spellings, n=1, cutoff=0.5)
    hint = f"did you mean --{as_option(spellings[near[0]])}?" if near else "see --help"
    raise UsageError(f"unknown option --{written}; {hint}")


def as_option(name: str) -> str:
    """The name of a setting as the command line shows it."""
    return name.replace("_", "-")


def parse_value(text: str, kind: Any, option: str) -> Any:
    """Read ``text`` as a value of the annotated type.

    Raises:
        UsageError: it is none; the message says what was expected.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    try:
        if origin in (Union, types.UnionType):
            if text.lower() == "none":
                return None
            (inner,) = (argument for argument in arguments if argument is not type(None))
            return parse_value(text, inner, option)
        if origin is Literal:
            if text in arguments:
                return text
            raise ValueError
        if origin is tuple:
            parts = [part for part in text.split(",") if part]
            return tuple(parse_value(part, arguments[0], option) for part in parts)
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return kind(text)
    except (ValueError, KeyError):
        raise UsageError(f"--{option}: expected {_describe(kind)}, got {text!r}") from None


def _describe(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join("none" if part is type(None) else _describe(part) for part in arguments)
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin is tuple:
        plural = {int: "integers", float: "numbers"}
        return f"{plural.get(arguments[0]) or _describe(arguments[0])} with commas between"
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
    return names.get(kind, str(kind))


def build(cls: type[Recipe], values: Mapping[str, Any]) -> Recipe:
    """A recipe from values by dotted name; fields not named keep their defaults.

    Raises:
        UsageError: an unknown name, or a value that the recipe refuses.
    """
    known = settings(cls)
    named = {resolve(name, known): value for name, value in values.items()}
    return _build(cls, cls(), named)


def _build(cls: type, default: Any, values: Mapping[str, Any], prefix: str = "") -> Any:
    changes = {}
    for field in dataclasses.fields(cls):
        name, value = prefix + field.name, getattr(default, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = _build(type(value), value, values, f"{name}.")
        elif name in values:
            changes[field.name] = values[name]
    return dataclasses.replace(default, **changes)


def to_values(recipe: Recipe) -> dict[str, Any]:
    """The recipe's settings by dotted name, as JSON can hold them."""
    return {
        name: list(setting.default) if isinstance(setting.default, tuple) else setting.default
        for name, setting in settings(type(recipe), recipe).items()
    }


def from_values(cls: type[Recipe], values: Mapping[str, Any]) -> Recipe:
    """The recipe that ``to_values`` described."""
    tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return build(cls, tuples)


def help_text(known: Mapping[str, Setting]) -> str:
    """The options with their types and defaults, one a line."""
    lines = [
        f"  --{as_option(setting.name):28} {_describe(setting.type)} (default {setting.default})"
        for setting in known.values()
    ]
    return "\n".join(lines)
