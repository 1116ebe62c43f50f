"""The stock `openai` package against a running `steam dev`: only `base_url` and `api_key` differ from OpenAI's.

STEAM_INFO names the file that `steam dev --info` wrote, STEAM_BIN the binary. See run.py, which starts both.
"""

import base64
import concurrent.futures
import json
import os
import subprocess

import openai
import pytest

INFO = json.load(open(os.environ["STEAM_INFO"]))
MODEL = INFO["models"][0]
HELLO = [{"role": "user", "content": "Say hello to the world in one sentence."}]


def client(api_key=INFO["api_key"]):
    return openai.OpenAI(base_url=INFO["base_url"], api_key=api_key, max_retries=0)


def new_key(*limits):
    """Another session key of the same vault, by the command line."""
    command = [os.environ["STEAM_BIN"], "key", "create", "--output", "json", "--url", INFO["rpc_url"]]
    command += ["--keypair", INFO["owner_keypair"], "--relayer", INFO["relayer"], *limits]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["api_key"]


def usable(key):
    """Waits until the relayer has seen the key at a finalized slot."""
    import time

    deadline = time.monotonic() + 60
    while True:
        try:
            client(key).models.list()
            client(key).chat.completions.create(model="no/such-model", messages=HELLO)
        except openai.NotFoundError:
            return key
        except openai.AuthenticationError:
            assert time.monotonic() < deadline, "the relayer never saw the key"
            time.sleep(0.3)


def test_models_are_listed():
    models = [model.id for model in client().models.list()]
    assert MODEL in models


def test_a_completion():
    answer = client().chat.completions.create(model=MODEL, messages=HELLO, max_tokens=64)
    assert answer.choices[0].message.content
    assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0
    assert answer.usage.model_extra["cost"] > 0


def test_a_stream_with_usage():
    stream = client().chat.completions.create(
        model=MODEL, messages=HELLO, max_tokens=64, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] in ("stop", "length")


def test_a_stream_shows_no_usage_unless_asked():
    stream = client().chat.completions.create(model=MODEL, messages=HELLO, max_tokens=16, stream=True)
    assert all(chunk.choices and chunk.usage is None for chunk in stream)


def test_tools_are_passed_through():
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    answer = client().chat.completions.create(
        model=MODEL, messages=HELLO, tools=[tool], tool_choice="required", max_tokens=64
    )
    assert answer.choices[0].message.tool_calls[0].function.name == "weather"
    assert answer.choices[0].finish_reason == "tool_calls"


def test_every_answer_carries_a_receipt():
    raw = client().chat.completions.with_raw_response.create(model=MODEL, messages=HELLO, max_tokens=16)
    assert len(base64.b64decode(raw.headers["steam-receipt"])) == 541
    assert raw.headers["steam-generation-id"]


def served_by(**steered):
    """The provider that served a request, by its routing decision."""
    raw = client().chat.completions.with_raw_response.create(model=MODEL, messages=HELLO, max_tokens=16, **steered)
    generation = client().get(f"/generation/{raw.headers['steam-generation-id']}", cast_to=object)
    return generation["decision"]["attempts"][-1]["name"]


def providers_of(model):
    offers = client().get("/providers", cast_to=object)["data"]
    return sorted(offer["provider_name"] for offer in offers if offer["model"] == model)


def test_routing_is_steered_by_members_and_by_headers():
    served = 0
    for name in providers_of(MODEL):
        try:
            assert served_by(extra_body={"provider": {"only": [name]}}) == name
            assert served_by(extra_headers={"Steam-Route-Only": name}) == name
            served += 1
        except openai.APIStatusError as error:
            # Some of the simulated providers fail on purpose, and no other may stand in.
            assert error.status_code in (502, 503, 504)
    assert served >= 2


def test_a_model_nobody_offers_is_named_and_not_passed_over():
    for model, others in [("no/such-model", [MODEL]), (MODEL, ["no/such-model"])]:
        with pytest.raises(openai.NotFoundError, match="no/such-model"):
            client().chat.completions.create(
                model=model, messages=HELLO, max_tokens=16, extra_body={"models": others}
            )


def test_the_async_client():
    import asyncio

    async def ask():
        async with openai.AsyncOpenAI(base_url=INFO["base_url"], api_key=INFO["api_key"], max_retries=0) as api:
            answers = await asyncio.gather(
                *(api.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=16) for _ in range(4))
            )
            return [answer.choices[0].message.content for answer in answers]

    assert all(asyncio.run(ask()))


def refused(error, call):
    with pytest.raises(error) as caught:
        call()
    assert caught.value.body["message"], "an error says what to do"
    return caught.value


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": "not a list"},
        {"messages": []},
        {"max_tokens": -1},
        {"max_tokens": 0},
        {"n": 99},
        {"stream": "yes"},
        {"extra_body": {"provider": {"no_such_control": True}}},
        {"extra_body": {"provider": {"only": ["a"], "ignore": ["a"]}}},
        {"extra_headers": {"Steam-Route-No-Such-Control": "1"}},
        {"extra_headers": {"Steam-Route-Sort": "fast"}},
    ],
)
def test_400_bad_request(wrong):
    refused(
        openai.BadRequestError,
        lambda: client().chat.completions.create(**{"model": MODEL, "messages": HELLO, **wrong}),
    )


@pytest.mark.parametrize("key", ["sk-wrong", "sk-steam-", "sk-steam-" + "1" * 32, "sk-steam-0OIl"])
def test_401_wrong_key(key):
    refused(openai.AuthenticationError, lambda: client(key).chat.completions.create(model=MODEL, messages=HELLO))


def test_402_a_key_that_has_nothing_left():
    key = usable(new_key("--limit", "0.000001"))
    error = refused(
        openai.APIStatusError, lambda: client(key).chat.completions.create(model=MODEL, messages=HELLO)
    )
    assert error.status_code == 402


def test_404_no_such_model():
    refused(openai.NotFoundError, lambda: client().chat.completions.create(model="no/such-model", messages=HELLO))


def test_409_a_request_is_served_once():
    headers = {"Idempotency-Key": os.urandom(8).hex()}

    def call():
        return client().chat.completions.create(model=MODEL, messages=HELLO, max_tokens=16, extra_headers=headers)

    call()
    refused(openai.ConflictError, call)


def test_413_too_large():
    huge = [{"role": "user", "content": "x" * (9 << 20)}]
    error = refused(openai.APIStatusError, lambda: client().chat.completions.create(model=MODEL, messages=huge))
    assert error.status_code == 413


def test_429_too_many_requests():
    key = usable(new_key("--limit", "1"))

    def call(_):
        try:
            client(key).chat.completions.create(model=MODEL, messages=HELLO, max_tokens=1)
        except openai.RateLimitError as error:
            assert int(error.response.headers["retry-after"]) >= 1
            return True
        return False

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert any(pool.map(call, range(2 * int(os.environ["STEAM_REQUESTS_PER_MINUTE"]))))
