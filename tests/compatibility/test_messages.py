"""Our records of Temporal's protocol against the real messages: names, types and the JSON form of each field."""

from __future__ import annotations

import importlib
import importlib.util
import random
from typing import Any

import pytest

from overwinter.runtime.api._enum import ProtocolEnum
from overwinter.runtime.api._json import from_json_dict, to_json_dict
from overwinter.runtime.api.message import Field, Message, fields_of
from overwinter.runtime.api.time import Duration, Timestamp
from overwinter.runtime.core.payload import Payload
from tests.brokers import require

PACKAGES = (
    "common",
    "enums",
    "failure",
    "history",
    "operatorservice",
    "sdk",
    "taskqueue",
    "update",
    "workflow",
    "workflowservice",
)


MORE = {("failure.TerminatedFailureInfo", "details"), ("common.GrpcStatus", "details")}
"""Fields that the real messages have not, or of another type; they are never written."""


@pytest.fixture(autouse=True)
def _sdk() -> None:
    require(importlib.util.find_spec("temporalio") is not None, "Temporal's SDK (pip install temporalio)")


def _ours(base: type) -> list[tuple[str, type]]:
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(f"overwinter.runtime.api.{package}.v1")
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, base) and value is not base:
                if value.__module__.startswith(f"overwinter.runtime.api.{package}."):
                    found[f"{package}.{name}"] = value
    return sorted(found.items())


def _theirs(name: str) -> Any:
    package, _, cls = name.partition(".")
    return getattr(importlib.import_module(f"temporalio.api.{package}.v1"), cls)


def _kind_of(descriptor: Any) -> str:
    if descriptor.message_type is not None:
        return str(descriptor.message_type.name)
    if descriptor.enum_type is not None:
        return str(descriptor.enum_type.name)
    types = {1: "float", 2: "float", 3: "wide", 5: "int", 13: "int", 8: "bool", 9: "str", 12: "bytes"}
    return types[descriptor.type]


def _declared(field: Field) -> str:
    return "wide" if field.wide else field.kind.__name__


@pytest.mark.parametrize(("name", "cls"), _ours(Message), ids=lambda value: getattr(value, "__name__", value))
def test_a_message_has_the_fields_of_the_real_one(name: str, cls: type[Message]) -> None:
    descriptor = _theirs(name).DESCRIPTOR
    wanted = descriptor.fields_by_name
    fields = [field for field in fields_of(cls).values() if (name, field.name) not in MORE]
    in_order = [n for n in wanted if n in {field.name for field in fields}]
    assert in_order == [field.name for field in fields], "another order, or other names"
    for field in fields:
        real = wanted[field.name]
        entry = real.message_type is not None and real.message_type.GetOptions().map_entry
        assert (field.json_name, field.mapped) == (real.json_name, entry), field.name
        assert field.repeated == (real.is_repeated and not entry), field.name
        assert _declared(field) == _kind_of(real.message_type.fields_by_name["value"] if entry else real)
        real_oneof = real.containing_oneof
        assert field.oneof == ("" if real_oneof is None else real_oneof.name), field.name


@pytest.mark.parametrize(("name", "cls"), _ours(ProtocolEnum), ids=lambda v: getattr(v, "__name__", v))
def test_an_enumeration_has_the_values_of_the_real_one(name: str, cls: type[ProtocolEnum]) -> None:
    real = _theirs(name)
    assert dict(cls.items()) == dict(real.items())
    for number in cls.values():
        assert cls.Name(number) == real.Name(number)
        assert cls.Value(cls.Name(number)) == number
        assert getattr(importlib.import_module("overwinter.runtime.api.enums.v1"), cls.Name(number)) == number


@pytest.mark.parametrize(("name", "cls"), _ours(Message), ids=lambda value: getattr(value, "__name__", value))
def test_the_json_of_a_message_is_read_and_written_as_by_the_real_one(name: str, cls: type[Message]) -> None:
    from google.protobuf import json_format

    seed = random.randrange(2**32)
    print(f"seed {seed}")
    for _ in range(5):
        ours = _random_message(cls, random.Random(seed), 3)
        found = to_json_dict(ours)
        real = json_format.ParseDict(found, _theirs(name)())
        assert json_format.MessageToDict(real) == found
        assert from_json_dict(cls, json_format.MessageToDict(real, preserving_proto_field_name=True)) == ours
        seed += 1


def _random_message(cls: type[Message], source: random.Random, depth: int) -> Any:
    if cls is Timestamp or cls is Duration:
        return cls(seconds=source.randrange(10**9), nanos=source.choice([0, 5 * 10**8, 123456000, 987654321]))
    message = cls()
    for field in fields_of(cls).values():
        if (cls.__module__.rsplit(".", 2)[-2] + "." + cls.__name__, field.name) in MORE:
            continue
        if source.random() < 0.4 and (depth or not issubclass(field.kind, Message)):
            message._give(field.name, _random_value(field, source, depth - 1))
    return message


def _random_value(field: Field, source: random.Random, depth: int) -> Any:
    if not (field.repeated or field.mapped):
        return _random_one(field, source, depth)
    several = [_random_one(field, source, depth) for _ in range(source.randrange(3))]
    return several if field.repeated else {str(key): value for key, value in enumerate(several)}


def _random_one(field: Field, source: random.Random, depth: int) -> Any:
    kind = field.kind
    if kind is Payload:
        return Payload({"encoding": b"json/plain"}, source.randbytes(source.randrange(9)))
    if issubclass(kind, Message):
        return _random_message(kind, source, max(depth, 0))
    if issubclass(kind, ProtocolEnum):
        return source.choice(kind.values())
    values: dict[type, Any] = {
        bool: source.random() < 0.5,
        int: source.choice([0, 7, 2**40 if field.wide else 2**20]),
        float: source.choice([0.0, 0.5, 2.0]),
        str: source.choice(["", "bed", "\N{SNOWFLAKE}"]),
        bytes: source.randbytes(5),
    }
    return values[kind]
