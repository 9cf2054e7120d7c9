"""JSON Schema of what `wire` reads and writes, from the same type hints.

What a value must hold beyond its type (`checks`) isn't in the schema: a body may fit it and be refused.
"""

import dataclasses
import functools
import types
import typing
from enum import Enum
from typing import Any, Union, cast

Schema = dict[str, Any]

_PLAIN: dict[object, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
}


def definitions(*roots: Any, at: str = "#/components/schemas/") -> dict[str, Schema]:
    """The schema of every dataclass and enum that the roots are made of, by name; `at` is where they will lie."""
    found: dict[str, Schema] = {}
    for root in roots:
        _schema(root, found, at)
    return found


def reference(kind: Any, *, at: str = "#/components/schemas/") -> Schema:
    """The schema of a type that speaks of the others by reference."""
    return _schema(kind, {}, at)


def _schema(kind: Any, found: dict[str, Schema], at: str) -> Schema:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], found, at)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1], found, at)}
    if origin in (Union, types.UnionType):
        return _of_union(arguments, found, at)
    if isinstance(kind, type) and issubclass(kind, Enum):
        found.setdefault(kind.__name__, {"type": "string", "enum": [member.value for member in kind]})
        return {"$ref": at + kind.__name__}
    _define(cast("type[Any]", kind), found, at)
    return {"$ref": at + kind.__name__}


def _of_union(members: tuple[Any, ...], found: dict[str, Schema], at: str) -> Schema:
    present = [member for member in members if member is not types.NoneType]
    if len(present) == 1:
        choices = [_schema(present[0], found, at)]
    else:
        choices = [_tagged(member, found, at) for member in present]
    if types.NoneType in members:
        choices.append({"type": "null"})
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def _tagged(kind: Any, found: dict[str, Schema], at: str) -> Schema:
    """A member of a union says its class's name beside its fields."""
    _define(kind, found, at)
    tagged = f"{kind.__name__}.tagged"
    body = found[kind.__name__]
    found[tagged] = body | {
        "properties": {"type": {"const": kind.__name__}, **body["properties"]},
        "required": ["type", *body["required"]],
    }
    return {"$ref": at + tagged}


def _define(kind: type[Any], found: dict[str, Schema], at: str) -> None:
    if kind.__name__ in found:
        return
    found[kind.__name__] = {}  # before its fields are looked at, which may speak of it
    hints = _hints(kind)
    fields = dataclasses.fields(kind)
    found[kind.__name__] = {
        "type": "object",
        "description": (kind.__doc__ or "").strip().partition("\n")[0],
        "properties": {field.name: _schema(hints[field.name], found, at) for field in fields},
        "required": [
            field.name
            for field in fields
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        ],
        "additionalProperties": False,
    }


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)
