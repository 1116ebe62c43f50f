"""The command `llm`, unmodified, with the relayer as one of its endpoints."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from relayer import KEY, MODEL, URL

LLM = pathlib.Path(sys.executable).with_name("llm")
ENDPOINT = """\
- model_id: steam
  model_name: {}
  api_base: {}
  api_key_name: steam
  supports_tools: true
  supports_schema: true
"""
WEATHER = 'def weather(city: str) -> str:\n    "The weather"\n    return "rain"\n'


@pytest.fixture
def llm(tmp_path):
    (tmp_path / "extra-openai-models.yaml").write_text(ENDPOINT.format(MODEL, URL))
    environment = {**os.environ, "LLM_USER_PATH": str(tmp_path)}

    def run(*words):
        ran = subprocess.run([LLM, *words], env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout, ran.stderr

    run("keys", "set", "steam", "--value", KEY)
    return lambda *words: run("prompt", "-m", "steam", *words)


def test_it_answers_whole_and_streamed(llm):
    assert "simulated" in llm("Say hello.")[0]
    assert "simulated" in llm("--no-stream", "Say hello.")[0]


def test_it_gives_an_object(llm):
    assert isinstance(json.loads(llm("--schema", "city, country", "Which city?")[0])["city"], str)


def test_it_calls_a_tool_over_two_turns(llm):
    said, called = llm("--functions", WEATHER, "--tools-debug", "weather?")
    assert "simulated" in said and "rain" in called
