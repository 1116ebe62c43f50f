"""LangChain and LiteLLM as clients of a running `steam dev`."""

import json
import os

import litellm
import openai
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

INFO = json.load(open(os.environ["STEAM_INFO"]))
MODEL = INFO["models"][0]
ROOT = INFO["base_url"].removesuffix("/v1")
KEY = INFO["api_key"]
HELLO = "Say hello to the world in one sentence."


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


LANGCHAIN = {
    "chat": lambda: ChatOpenAI(model=MODEL, base_url=INFO["base_url"], api_key=KEY, max_retries=0, stream_usage=True),
    "responses": lambda: ChatOpenAI(model=MODEL, base_url=INFO["base_url"], api_key=KEY, max_retries=0, use_responses_api=True),
    "messages": lambda: ChatAnthropic(model=MODEL, base_url=ROOT, api_key=KEY, max_retries=0, max_tokens=64),
}


@pytest.fixture(params=LANGCHAIN)
def chat(request):
    return LANGCHAIN[request.param]()


def test_langchain_answers(chat):
    answer = chat.invoke(HELLO)
    assert answer.text and answer.usage_metadata["input_tokens"] > 0 and answer.usage_metadata["output_tokens"] > 0


def test_langchain_streams(chat):
    whole = None
    for chunk in chat.stream(HELLO):
        whole = chunk if whole is None else whole + chunk
    assert whole.text and whole.usage_metadata["output_tokens"] > 0


def test_langchain_calls_a_tool_over_two_turns(chat):
    tools = chat.bind_tools([weather])
    history = [HumanMessage("weather?")]
    first = tools.invoke(history)
    [call] = first.tool_calls
    assert call["name"] == "weather" and call["args"]["city"]
    history += [first, ToolMessage(weather(**call["args"]), tool_call_id=call["id"])]
    second = tools.invoke(history)
    assert second.text and not second.tool_calls


def test_langchain_gives_an_object_of_a_schema():
    schema = {"title": "place", "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
    for name in ("chat", "responses"):
        answer = LANGCHAIN[name]().with_structured_output(schema, method="json_schema").invoke("Which city?")
        assert isinstance(answer["city"], str), name


def test_langchain_embeds():
    embeddings = OpenAIEmbeddings(model=MODEL, base_url=INFO["base_url"], api_key=KEY, check_embedding_ctx_length=False)
    assert [len(one) for one in embeddings.embed_documents(["a", "b"])] == [8, 8]


LITELLM = {
    "openai": dict(model=f"openai/{MODEL}", api_base=INFO["base_url"]),
    "anthropic": dict(model=f"anthropic/{MODEL}", api_base=ROOT, max_tokens=64),
}


@pytest.fixture(params=LITELLM)
def ask(request):
    return dict(LITELLM[request.param], api_key=KEY, num_retries=0)


def test_litellm_answers_and_streams(ask):
    messages = [{"role": "user", "content": HELLO}]
    answer = litellm.completion(messages=messages, **ask)
    assert answer.choices[0].message.content and answer.usage.completion_tokens > 0
    chunks = list(litellm.completion(messages=messages, stream=True, stream_options={"include_usage": True}, **ask))
    whole = litellm.stream_chunk_builder(chunks)
    assert whole.choices[0].message.content and whole.choices[0].finish_reason in ("stop", "length")


def test_litellm_calls_a_tool_over_two_turns(ask):
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": parameters}}]
    history = [{"role": "user", "content": "weather?"}]
    first = litellm.completion(messages=history, tools=tools, **ask).choices[0].message
    [call] = first.tool_calls
    assert json.loads(call.function.arguments)["city"]
    history += [first.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    assert litellm.completion(messages=history, tools=tools, **ask).choices[0].message.content


def test_litellm_tells_errors_apart(ask):
    messages = [{"role": "user", "content": HELLO}]
    with pytest.raises(openai.NotFoundError):
        litellm.completion(messages=messages, **{**ask, "model": ask["model"].split("/")[0] + "/no/such-model"})
    with pytest.raises(openai.AuthenticationError):
        litellm.completion(messages=messages, **{**ask, "api_key": "sk-steam-x"})
    with pytest.raises(openai.BadRequestError):
        litellm.completion(messages=messages, **{**ask, "temperature": 7})


def test_litellm_embeds():
    answer = litellm.embedding(model=f"openai/{MODEL}", api_base=INFO["base_url"], api_key=KEY, input=["a", "b"], encoding_format="float")
    assert [len(one["embedding"]) for one in answer.data] == [8, 8]
