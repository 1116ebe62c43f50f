"""The stock `openai` package with the APIs beside chat completions, against a running `steam dev`."""

import base64
import json
import os

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
    assert len(base64.b64decode(raw.headers["steam-receipt"])) == 465


def test_a_streamed_text_completion():
    stream = client().completions.create(
        model=MODEL, prompt=["Say", "it"], max_tokens=6, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1}
    assert chunks[-1].usage.completion_tokens == 12
