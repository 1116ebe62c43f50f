"""The stock `openai` and `anthropic` packages with the APIs beside chat completions, against a running `steam dev`."""

import base64
import json
import os

import anthropic
import openai
import pytest

INFO = json.load(open(os.environ["STEAM_INFO"]))
MODEL = INFO["models"][0]


def client():
    return openai.OpenAI(base_url=INFO["base_url"], api_key=INFO["api_key"], max_retries=0)


def test_embeddings_of_texts():
    answer = client().embeddings.create(model=MODEL, input=["a", "b"])
    assert [len(one.embedding) for one in answer.data] == [8, 8]
    assert all(isinstance(number, float) for number in answer.data[0].embedding)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


def test_embeddings_of_tokens_in_either_format():
    ask = dict(model=MODEL, input=[[1, 2, 3]], dimensions=4)
    assert len(client().embeddings.create(**ask, encoding_format="float").data[0].embedding) == 4
    raw = client().embeddings.create(**ask, encoding_format="base64").data[0].embedding
    assert len(base64.b64decode(raw)) == 16


def test_wrong_embeddings_are_refused():
    with pytest.raises(openai.BadRequestError) as caught:
        client().embeddings.create(model=MODEL, input=[])
    assert caught.value.body["param"] == "input"


def test_a_text_completion():
    raw = client().completions.with_raw_response.create(model=MODEL, prompt="Say", max_tokens=5)
    answer = raw.parse()
    assert answer.choices[0].text and answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 5
    assert len(base64.b64decode(raw.headers["steam-receipt"])) == 541


def test_a_streamed_text_completion():
    stream = client().completions.create(
        model=MODEL, prompt=["Say", "it"], max_tokens=6, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1}
    assert chunks[-1].usage.completion_tokens == 12


WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def test_a_response():
    answer = client().responses.create(model=MODEL, input="Say hello.", instructions="Be brief.")
    assert answer.output_text and answer.status == "completed"
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0


def test_a_streamed_response_by_its_helper():
    with client().responses.stream(model=MODEL, input="Say hello.") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text and final.output_text == text
    assert final.usage.output_tokens > 0


def test_functions_of_responses_over_two_turns():
    tool = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": False}
    history = [{"role": "user", "content": "weather?"}]
    first = client().responses.create(model=MODEL, input=history, tools=[tool])
    call = next(item for item in first.output if item.type == "function_call")
    assert call.name == "weather" and json.loads(call.arguments)["city"]
    history += [call.model_dump(exclude_none=True)]
    history += [{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    assert client().responses.create(model=MODEL, input=history, tools=[tool]).output_text


def test_tokens_of_a_response_are_counted():
    counted = client().responses.input_tokens.count(model=MODEL, input="hello there")
    assert counted.input_tokens > 0


def test_a_limit_that_no_offer_gives_is_lowered_and_told():
    raw = client().responses.with_raw_response.create(model=MODEL, input="hi", max_output_tokens=10_000_000)
    assert 0 < int(raw.headers["steam-max-tokens"]) < 10_000_000
    assert raw.parse()._request_id == raw.headers["steam-generation-id"]


def test_answers_are_not_kept():
    for wrong in ({"previous_response_id": "resp_1"}, {"store": True}):
        with pytest.raises(openai.BadRequestError) as caught:
            client().responses.create(model=MODEL, input="and now?", **wrong)
        assert caught.value.body["param"] in wrong


def messages(**options):
    url = INFO["base_url"].removesuffix("/v1")
    return anthropic.Anthropic(base_url=url, api_key=INFO["api_key"], max_retries=0, **options)


ASK = dict(model=MODEL, max_tokens=256, messages=[{"role": "user", "content": "Say hello."}])


def test_a_message():
    answer = messages().messages.create(**ASK, system=[{"type": "text", "text": "Be brief."}])
    assert answer.content[0].text and answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0


def test_a_streamed_message_by_its_helper():
    with messages().messages.stream(**ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text and final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0


def test_tools_of_messages_over_two_turns():
    ask = {**ASK, "tools": [{"name": "weather", "input_schema": WEATHER}]}
    with messages().messages.stream(**ask) as stream:
        first = stream.get_final_message()
    call = first.content[0]
    assert (call.type, call.name, first.stop_reason) == ("tool_use", "weather", "tool_use")
    assert call.input["city"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    history = [*ASK["messages"], {"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    assert messages().messages.create(**{**ask, "messages": history}).content[0].text


def test_tokens_are_counted_and_models_listed():
    assert messages().messages.count_tokens(model=MODEL, messages=ASK["messages"]).input_tokens > 0
    assert MODEL in [model.id for model in messages().models.list()]


def test_errors_of_messages_have_their_type():
    with pytest.raises(anthropic.NotFoundError) as caught:
        messages().messages.create(**{**ASK, "model": "no/such-model"})
    assert caught.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.AuthenticationError):
        anthropic.Anthropic(base_url=messages().base_url, api_key="sk-steam-x", max_retries=0).messages.create(**ASK)
    with pytest.raises(anthropic.BadRequestError) as caught:
        messages().messages.create(**ASK, extra_body={"top_k": 5})
    assert caught.value.body["error"]["param"] == "top_k"
