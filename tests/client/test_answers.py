"""The client's types have the same fields as the endpoint's OpenAPI document."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from raygenre.client.answers import (
    Answer,
    ModelFacts,
    ModelName,
    PretrainedFacts,
    Problem,
    TagAnswer,
    TagWindow,
    TrainedOn,
    Window,
)
from raygenre.client.core import Core
from raygenre.client.errors import NoModelError
from raygenre.client.jobs import Answers, FileError, Job, JobError
from raygenre.client.lines import LineReader
from raygenre.client.retries import Retries
from tests.helpers.project import ROOT

SCHEMAS = json.loads((ROOT / "serve" / "web" / "openapi.json").read_text())["components"]["schemas"]


def types(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the type of each field, without its description and limits."""
    keys = ("type", "enum", "anyOf", "items", "additionalProperties", "$ref")
    return {
        name: {
            key: (value.rpartition("/")[2] if key == "$ref" else value) for key, value in field.items() if key in keys
        }
        for name, field in json.loads(
            json.dumps(schema["properties"]).replace("#/$defs/", "#/components/schemas/")
        ).items()
    }


@pytest.mark.parametrize(
    "kind",
    [
        *(Answer, Answers, FileError, Job, JobError, ModelFacts, ModelName),
        *(PretrainedFacts, TagAnswer, TagWindow, TrainedOn, Window),
    ],
)
def test_fields_are_those_of_the_endpoint(kind: type[BaseModel]) -> None:
    schema = SCHEMAS[kind.__name__]
    assert types(kind.model_json_schema()) == types(schema)
    assert kind.model_validate(schema["example"]).model_dump(mode="json", exclude_none=True) == schema["example"]


def test_fields_of_problems_are_the_endpoints() -> None:
    ours, theirs = types(Problem.model_json_schema()), types(SCHEMAS["Problem"])
    assert ours == {name: theirs[name] for name in ours}


def test_fields_that_are_not_known_are_ignored() -> None:
    example = SCHEMAS["TrainedOn"]["example"]
    assert TrainedOn.model_validate(example | {"songs": 1000}) == TrainedOn.model_validate(example)


def test_an_endpoint_without_a_model_is_named_as_such() -> None:
    core = Core("http://127.0.0.1:8000", api_key="", timeout=1, retries=Retries())
    answer, facts = (json.dumps(SCHEMAS[name]["example"]).encode() for name in ("TagAnswer", "TagFacts"))
    with pytest.raises(NoModelError, match="8000 has no genre model yet, only pretrained tags"):
        core.read(Answer, answer)
    with pytest.raises(NoModelError, match="8000 has no genre model yet"):
        core.read(ModelFacts, facts)
    with pytest.raises(NoModelError, match="8000 has no genre model yet"):
        list(LineReader(core).feed(answer + b"\n"))


def test_models_are_named_as_in_the_commands() -> None:
    assert str(ModelName(name="raygenre", version="3", run_id="0")) == "raygenre/3"
    assert str(ModelName(name="classifier", version="", run_id="")) == "classifier"
