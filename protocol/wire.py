"""Dataclasses to JSON and back, strictly, driven by their type hints.

A union of dataclasses carries the class's name as "type". Nothing is guessed: a wrong type, an unknown
name or a missing field is an InvalidRequest that says where.
"""

import dataclasses
import functools
import json
import math
import types
import typing
from enum import Enum
from typing import Any, TypeVar, Union, cast

from .errors import InvalidRequest

T = TypeVar("T")
_TAG = "type"


def dumps(value: object, hint: object | None = None) -> str:
    """JSON text of a dataclass; `hint` is the union it belongs to where the reader must be told which."""
    return json.dumps(to_json(value, hint), separators=(",", ":"), allow_nan=False)


def loads(kind: type[T] | Any, text: str | bytes, *, ignore_unknown: bool = False) -> T:
    """The value of type `kind` in a JSON text; raises InvalidRequest.

    `ignore_unknown` passes over fields that a newer peer added; requests are read without it, so that
    nothing a user asked for is dropped in silence.
    """
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(reason=f"no JSON: {error}") from error
    return cast(T, from_json(kind, data, ignore_unknown=ignore_unknown))


def to_json(value: object, hint: object | None = None) -> Any:
    """Plain JSON values (dict, list, str, number, bool, None) of a dataclass tree."""
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = _hints(type(value))
        fields = {
            field.name: to_json(getattr(value, field.name), hints[field.name]) for field in dataclasses.fields(value)
        }
        return {_TAG: type(value).__name__, **fields} if _tagged(hint) else fields
    if isinstance(value, tuple):
        items = cast("tuple[object, ...]", value)
        item_hint = typing.get_args(hint)[0] if hint is not None else None
        return [to_json(item, item_hint) for item in items]
    if isinstance(value, dict):
        return dict(cast("dict[str, Any]", value))
    return value


def from_json(kind: Any, data: Any, *, where: str = "$", ignore_unknown: bool = False) -> Any:
    """The value of type `kind` that `data` describes; raises InvalidRequest naming the place."""

    def inner(kind: Any, data: Any, where: str) -> Any:
        return from_json(kind, data, where=where, ignore_unknown=ignore_unknown)

    origin = typing.get_origin(kind)
    if origin in (Union, types.UnionType):
        return _from_union(kind, data, where, inner)
    if origin is tuple:
        item = typing.get_args(kind)[0]
        return tuple(inner(item, entry, f"{where}[{i}]") for i, entry in enumerate(_expect(data, list, where)))
    if origin is dict:
        entries = _expect(data, dict, where).items()
        return {_expect(key, str, where): _expect(value, str, where) for key, value in entries}
    if dataclasses.is_dataclass(kind):
        return _from_object(cast("type[Any]", kind), data, where, inner, ignore_unknown)
    if isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(data)
        except ValueError:
            allowed = ", ".join(str(member.value) for member in kind)
            raise InvalidRequest(reason=f"{where} is {data!r}, expected one of {allowed}") from None
    if kind is float:
        number = data if isinstance(data, int) and not isinstance(data, bool) else _expect(data, float, where)
        try:
            number = float(number)
        except OverflowError:  # JSON's integers have no end
            number = math.inf
        if not math.isfinite(number):
            raise InvalidRequest(reason=f"{where} is not a finite number")
        return number
    if kind is int and isinstance(data, bool):
        raise InvalidRequest(reason=f"{where} is {data!r}, expected int")
    return _expect(data, kind, where)


def _from_union(kind: Any, data: Any, where: str, inner: Any) -> Any:
    members = typing.get_args(kind)
    if data is None and types.NoneType in members:
        return None
    classes = [member for member in members if member is not types.NoneType]
    if len(classes) == 1:
        return inner(classes[0], data, where)
    names = {member.__name__: member for member in classes}
    entries = cast("dict[str, Any]", _expect(data, dict, where))
    tag = entries.get(_TAG)
    if not isinstance(tag, str) or tag not in names:
        raise InvalidRequest(reason=f"{where}.{_TAG} is {tag!r}, expected one of {', '.join(names)}")
    return inner(names[tag], {key: value for key, value in entries.items() if key != _TAG}, where)


def _from_object(kind: type[Any], data: Any, where: str, inner: Any, ignore_unknown: bool) -> Any:
    data = _expect(data, dict, where)
    hints = _hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(data) - set(fields))
    if unknown and not ignore_unknown:
        raise InvalidRequest(reason=f"{where} has the unknown field {unknown[0]!r}")
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in data:
            values[name] = inner(hints[name], data[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InvalidRequest(reason=f"{where} lacks the field {name!r}")
    return kind(**values)


def _expect(data: Any, kind: Any, where: str) -> Any:
    if not isinstance(data, kind):
        raise InvalidRequest(reason=f"{where} is {type(data).__name__}, expected {kind.__name__}")
    return data


def _tagged(hint: object | None) -> bool:
    members = [member for member in typing.get_args(hint) if member is not types.NoneType]
    return typing.get_origin(hint) in (Union, types.UnionType) and len(members) > 1


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
