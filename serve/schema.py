"""What the endpoint says: answers and errors, as JSON."""

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """The genre of one song."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "genre": "jazz",
                "confidence": 0.7,
                "uncertain": False,
                "probabilities": {"blues": 0.2, "jazz": 0.7, "rock": 0.1},
                "model": "raygenre/3",
            }
        }
    )

    genre: str = Field(description="The most probable genre.")
    confidence: float = Field(description="Its probability.", ge=0, le=1)
    uncertain: bool = Field(description="Whether the confidence is too low for the genre to be more than a guess.")
    probabilities: dict[str, float] = Field(description="Probability of each genre; they add up to 1.")
    model: str = Field(description="Registered model and version that gave the answer.")


class Problem(BaseModel):
    """An error, after RFC 9457."""

    type: str = "about:blank"
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong with this request.")


class Health(BaseModel):
    """Whether the endpoint lives, and what it answers with."""

    status: str
    model: str
