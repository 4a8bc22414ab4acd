"""The JSON objects of the Open Inference Protocol v2.

The lists of a request are validated only up to their first error, since millions of errors would fill the memory.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

NAME = "raygenre"  # name of the model in paths and responses, regardless of the registered model's name

_FILE: dict[str, JsonValue] = {"name": "file", "datatype": "BYTES", "shape": [-1]}
_LEVELS: dict[str, JsonValue] = {"name": "levels", "datatype": "UINT8", "shape": [-1, 128, 333]}
_PROBABILITIES: dict[str, JsonValue] = {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}
_INPUT: dict[str, JsonValue] = {"name": "file", "datatype": "BYTES", "shape": [1], "data": ["iVBORw0KGgo="]}
_GENRE: dict[str, JsonValue] = {"name": "genre", "datatype": "BYTES", "shape": [1], "data": ["jazz"]}

Parameters = dict[str, object]
Datatype = Literal["BYTES", "UINT8", "FP32", "BOOL"]


def _example(**value: JsonValue) -> ConfigDict:
    return ConfigDict(json_schema_extra={"example": value})


class ServerMetadata(BaseModel):
    """The server."""

    model_config = _example(name=NAME, version="0.2.0", extensions=["binary_tensor_data"])

    name: str = Field(description="Always `raygenre`.")
    version: str = Field(description="Version of raygenre.")
    extensions: list[str] = Field(description="Supported extensions of the protocol.")


class ServerLive(BaseModel):
    """Liveness of the server."""

    model_config = _example(live=True)

    live: Literal[True] = Field(default=True, description="Always true.")


class ServerReady(BaseModel):
    """Readiness of the server."""

    model_config = _example(ready=True)

    ready: Literal[True] = Field(default=True, description="Always true; a server without a champion gets 503.")


class ModelReady(BaseModel):
    """Readiness of the model."""

    model_config = _example(name=NAME, ready=True)

    name: str = Field(description="Always `raygenre`.")
    ready: Literal[True] = Field(default=True, description="Always true; a version that is not loaded gets 404.")


class TensorMetadata(BaseModel):
    """A tensor that the model takes or returns."""

    model_config = _example(**_LEVELS)

    name: str = Field(description="Name of the tensor.")
    datatype: Datatype = Field(description="Type of its elements.")
    shape: list[int] = Field(description="Its shape; -1 stands for the number of inputs.")


class ModelMetadata(BaseModel):
    """The model's tensors."""

    model_config = _example(
        name=NAME, versions=["3"], platform="raygenre_safetensors", inputs=[_FILE, _LEVELS], outputs=[_PROBABILITIES]
    )

    name: str = Field(description="Always `raygenre`.")
    versions: list[str] = Field(description="Versions being served: the champion's, then the challenger's, if any.")
    platform: str = Field(description="Framework and format of the model.")
    inputs: list[TensorMetadata] = Field(description="The two inputs; a request has one of them.")
    outputs: list[TensorMetadata] = Field(description="The outputs.")


class RequestInput(BaseModel):
    """The input of a request."""

    model_config = _example(**_INPUT)

    name: str = Field(description="`file` or `levels`.")
    shape: list[int] = Field(fail_fast=True, description="Shape of the tensor.")
    datatype: str = Field(description="`BYTES` for `file`, `UINT8` for `levels`.")
    parameters: Parameters = Field(default={}, description="`binary_data_size` if the data follow the JSON.")
    data: list[object] | None = Field(
        default=None, description="The elements, nested or flat: files in base64, or levels from 0 to 255."
    )


class RequestOutput(BaseModel):
    """An output that the client wants."""

    model_config = _example(name="genre", parameters={"binary_data": False})

    name: str = Field(description="Name of the output.")
    parameters: Parameters = Field(default={}, description="`binary_data`: whether it should follow the JSON.")


class InferRequest(BaseModel):
    """An inference request."""

    model_config = _example(id="42", inputs=[_INPUT], outputs=[{"name": "genre"}])

    id: str | None = Field(default=None, description="Returned in the response.")
    parameters: Parameters = Field(default={}, description="`binary_data_output`: whether all outputs follow the JSON.")
    inputs: list[RequestInput] = Field(fail_fast=True, description="One input.")
    outputs: list[RequestOutput] | None = Field(
        default=None, fail_fast=True, description="The outputs to return; all by default."
    )


class ResponseOutput(BaseModel):
    """An output of the model."""

    model_config = _example(**_GENRE)

    name: str = Field(description="Name of the output.")
    datatype: Datatype = Field(description="Type of its elements.")
    shape: list[int] = Field(description="Its shape.")
    parameters: Parameters | None = Field(default=None, description="`binary_data_size` if the data follow the JSON.")
    data: list[str] | list[float] | list[bool] | None = Field(
        default=None, description="The elements, flat; absent if they follow the JSON."
    )


class InferResponse(BaseModel):
    """The answer to an inference request."""

    model_config = _example(
        model_name=NAME, model_version="3", id="42", parameters={"trained_on": "real"}, outputs=[_GENRE]
    )

    model_name: str = Field(description="Always `raygenre`.")
    model_version: str | None = Field(
        default=None, description="Version that answered; absent for a folder, or if two versions answered."
    )
    id: str | None = Field(default=None, description="The request's id, if it has one.")
    parameters: Parameters = Field(
        description="`trained_on`: `synthetic` for a model that was trained only on synthetic sounds, whose "
        "predictions for real songs are meaningless, otherwise `real` or `unknown`."
    )
    outputs: list[ResponseOutput] = Field(description="The outputs.")
