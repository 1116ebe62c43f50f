"""Pydantic AI, unmodified: texts, streams, tools and objects, by each API that it speaks."""

import asyncio

import pydantic
import pydantic_ai
import pytest
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from relayer import KEY, MODEL, ROOT, URL

OPENAI = OpenAIProvider(base_url=URL, api_key=KEY)
MODELS = {
    "chat": lambda: OpenAIChatModel(MODEL, provider=OPENAI),
    "responses": lambda: OpenAIResponsesModel(MODEL, provider=OPENAI),
    "messages": lambda: AnthropicModel(MODEL, provider=AnthropicProvider(base_url=ROOT, api_key=KEY)),
}


class City(pydantic.BaseModel):
    city: str


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def test_it_answers_and_counts(model):
    answer = pydantic_ai.Agent(model).run_sync("Say hello.")
    assert answer.output and answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0


def test_it_streams(model):
    async def stream():
        async with pydantic_ai.Agent(model).run_stream("Say hello.") as stream:
            return [piece async for piece in stream.stream_text(delta=True)]

    assert len(asyncio.run(stream())) > 1


def test_it_calls_a_tool_over_two_turns(model):
    agent, called = pydantic_ai.Agent(model), []

    @agent.tool_plain
    def weather(city: str) -> str:
        """The weather."""
        called.append(city)
        return "rain"

    answer = agent.run_sync("weather?")
    assert len(called) == 1 and answer.output and answer.usage.requests == 2


def test_it_gives_an_object(model):
    assert isinstance(pydantic_ai.Agent(model, output_type=City).run_sync("Which city?").output, City)


def test_it_tells_what_is_wrong():
    agent = pydantic_ai.Agent(OpenAIChatModel("nobody/has-it", provider=OPENAI))
    with pytest.raises(pydantic_ai.ModelHTTPError) as refused:
        agent.run_sync("Say hello.")
    assert refused.value.status_code == 404
