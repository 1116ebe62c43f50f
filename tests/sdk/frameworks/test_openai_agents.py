"""OpenAI's Agents SDK, unmodified, by chat completions and by responses."""

import asyncio

import agents
import openai
import pydantic
import pytest
from relayer import KEY, MODEL, URL

agents.set_tracing_disabled(True)
APIS = {"chat": agents.OpenAIChatCompletionsModel, "responses": agents.OpenAIResponsesModel}


class City(pydantic.BaseModel):
    city: str


@agents.function_tool
def weather(city: str) -> str:
    """The weather."""
    return "rain"


@pytest.fixture(params=APIS)
def agent(request):
    client = openai.AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=0)
    model = APIS[request.param](model=MODEL, openai_client=client)
    return lambda **more: agents.Agent(name="tester", model=model, **more)


def test_it_answers_and_counts(agent):
    answer = agents.Runner.run_sync(agent(), "Say hello.")
    assert answer.final_output and answer.context_wrapper.usage.output_tokens > 0


def test_it_streams(agent):
    async def stream():
        answer = agents.Runner.run_streamed(agent(), "Say hello.")
        events = [event async for event in answer.stream_events()]
        return answer.final_output, len(events)

    text, events = asyncio.run(stream())
    assert text and events > 5


def test_it_calls_a_tool_over_two_turns(agent):
    answer = agents.Runner.run_sync(agent(tools=[weather]), "weather?")
    kinds = [item.type for item in answer.new_items]
    assert kinds == ["tool_call_item", "tool_call_output_item", "message_output_item"]


def test_it_gives_an_object(agent):
    assert isinstance(agents.Runner.run_sync(agent(output_type=City), "Which city?").final_output, City)
