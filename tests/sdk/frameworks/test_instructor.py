"""Instructor, unmodified: objects by tools, by schemas and piece by piece. Its modes that only ask in words for JSON are left out:
the simulated models do not read."""

import anthropic
import instructor
import openai
import pydantic
import pytest
from relayer import KEY, MODEL, ROOT, URL

ASKED = [{"role": "user", "content": "Which city?"}]
MODES = [instructor.Mode.TOOLS, instructor.Mode.TOOLS_STRICT, instructor.Mode.JSON_SCHEMA, instructor.Mode.RESPONSES_TOOLS]


class City(pydantic.BaseModel):
    city: str


def stock():
    return openai.OpenAI(base_url=URL, api_key=KEY, max_retries=0)


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_it_gives_an_object(mode):
    client = instructor.from_openai(stock(), mode=mode)
    assert isinstance(client.create(model=MODEL, messages=ASKED, response_model=City, max_retries=1), City)


def test_it_gives_an_object_by_messages():
    client = instructor.from_anthropic(anthropic.Anthropic(base_url=ROOT, api_key=KEY, max_retries=0))
    assert isinstance(client.create(model=MODEL, max_tokens=200, messages=ASKED, response_model=City, max_retries=1), City)


def test_it_gives_an_object_piece_by_piece():
    pieces = list(instructor.from_openai(stock()).create_partial(model=MODEL, messages=ASKED, response_model=City))
    assert len(pieces) > 1 and pieces[-1].city
