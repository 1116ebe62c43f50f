"""The agents: how each is told of the relayer, and the turns that its provider answers, in the agent's own tools."""

import json
import os

from provider import Call, Turn

GREET = 'def greet(name):\n    return "Helo, " + name + "!"\n'
CHECK = 'from greet import greet\n\nassert greet("Ada") == "Hello, Ada!", greet("Ada")\nprint("check passed")\n'
"""Quotes, a backslash and letters of several bytes: what a translation could spoil."""
NOTE = "# naïve → “Hello” \\ ✓"
FIXED = f'{NOTE}\ndef greet(name):\n    return "Hello, " + name + "!"\n'
TASK = "greet.py greets wrongly. Read it, run `python3 check.py`, mend greet.py, and run the check again."
FINAL = "Mended: the greeting is spelled “Hello” now."
CHECK_COMMAND = "python3 check.py"


def turns(read, run, edit, extra=""):
    """The task in four answers: two calls at once, an edit, a check, and the end."""
    return [
        Turn("I look at the file — and run the check.", read, run("AssertionError")),
        Turn("The greeting lacks an “l”." + extra, edit),
        Turn("I check that it holds.", run("check passed")),
        Turn(FINAL),
    ]


class Agent:
    """An agent, by its name. `dialects`: of the providers it is tried with; its own first."""

    def __init__(self, name, dialects, script, command, environment, prepare=lambda folder, at: None):
        self.name, self.dialects, self.script = name, dialects, script
        self.command, self.environment, self.prepare = command, environment, prepare


class At:
    """Where an agent finds the relayer, and its own programs."""

    def __init__(self, base_url, key, model, bin_folder, python_folder):
        self.base_url, self.key, self.model = base_url, key, model
        self.bin, self.python = bin_folder, python_folder


def codex():
    def run(command):
        return lambda shows: Call("exec_command", {"cmd": command}, shows)

    edit = "python3 - <<'END'\nfrom pathlib import Path\nPath('greet.py').write_text(%r, encoding='utf-8')\nprint('written')\nEND\n" % FIXED
    script = turns(run("cat greet.py")("Helo"), run(CHECK_COMMAND), run(edit)("written"))

    def command(at):
        provider = {"name": "Steam", "base_url": at.base_url, "env_key": "STEAM_KEY", "wire_api": "responses"}
        inline = ", ".join(f"{name} = {json.dumps(value)}" for name, value in provider.items())
        options = [f"model_providers.steam={{{inline}}}", 'model_provider="steam"', f"model={json.dumps(at.model)}"]
        settings = [word for option in options for word in ("-c", option)]
        return [at.bin / "codex", "exec", *settings, "--skip-git-repo-check", "--sandbox", "danger-full-access", TASK]

    return Agent("codex", ["responses", "chat", "messages"], script, command, lambda at: {"STEAM_KEY": at.key})


def claude_code():
    def run(shows):
        return Call("Bash", {"command": CHECK_COMMAND, "description": "Run the check"}, shows)

    script = lambda folder: turns(
        Call("Read", {"file_path": f"{folder}/greet.py"}, "Helo"),
        run,
        Call("Edit", {"file_path": f"{folder}/greet.py", "old_string": GREET, "new_string": FIXED, "replace_all": False}, "updated"),
    )

    def command(at):
        return [at.bin / "claude", "-p", TASK, "--dangerously-skip-permissions", "--output-format", "text"]

    def environment(at):
        return {
            "ANTHROPIC_BASE_URL": at.base_url.removesuffix("/v1"), "ANTHROPIC_API_KEY": at.key, "ANTHROPIC_MODEL": at.model,
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": at.model, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1", "IS_SANDBOX": "1",
        }

    return Agent("claude-code", ["messages", "chat", "responses"], script, command, environment)


def opencode():
    def run(shows):
        return Call("bash", {"command": CHECK_COMMAND, "description": "Run the check"}, shows)

    script = lambda folder: turns(
        Call("read", {"filePath": f"{folder}/greet.py"}, "Helo"),
        run,
        Call("edit", {"filePath": f"{folder}/greet.py", "oldString": GREET, "newString": FIXED}, "success"),
    )

    def prepare(folder, at):
        provider = {
            "npm": "@ai-sdk/openai-compatible", "name": "Steam",
            "options": {"baseURL": at.base_url, "apiKey": "{env:STEAM_KEY}"},
            "models": {at.model: {"limit": {"context": 131072, "output": 16384}}},
        }
        config = {"provider": {"steam": provider}, "permission": "allow", "autoupdate": False, "share": "disabled"}
        (folder.parent / "opencode.json").write_text(json.dumps(config))

    def environment(at):
        return {"STEAM_KEY": at.key, "OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"}

    command = lambda at: [at.bin / "opencode", "run", "-m", f"steam/{at.model}", TASK]
    return Agent("opencode", ["chat", "messages", "responses"], script, command, environment, prepare)


def qwen_code():
    def run(shows):
        return Call("run_shell_command", {"command": CHECK_COMMAND, "is_background": False, "description": "Run the check"}, shows)

    script = lambda folder: turns(
        Call("read_file", {"file_path": f"{folder}/greet.py"}, "Helo"),
        run,
        Call("edit", {"file_path": f"{folder}/greet.py", "old_string": GREET, "new_string": FIXED}, "greet.py"),
    )
    environment = lambda at: {"OPENAI_API_KEY": at.key, "OPENAI_BASE_URL": at.base_url, "OPENAI_MODEL": at.model}
    command = lambda at: [at.bin / "qwen", "--yolo", "--auth-type", "openai", "-p", TASK]
    return Agent("qwen-code", ["chat", "messages", "responses"], script, command, environment)


def aider():
    """Has no tools: it edits by blocks in the answer's text, runs the check itself and sends what the check says."""

    def block(old, new):
        return f"I mend it.\n\ngreet.py\n```python\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n```\n"

    half = GREET.replace("Helo", "Hallo")
    script = [Turn(block(GREET, half)), Turn(block(half, FIXED) + "\n" + FINAL)]
    environment = lambda at: {
        "OPENAI_API_KEY": at.key, "OPENAI_API_BASE": at.base_url, "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    quiet = ["--no-git", "--yes-always", "--no-check-update", "--no-show-model-warnings", "--analytics-disable", "--no-show-release-notes"]
    how = ["--edit-format", "diff", "--map-tokens", "0", "--auto-test", "--test-cmd", CHECK_COMMAND, "--message", TASK, "greet.py"]
    command = lambda at: [at.python / "aider", "--model", f"openai/{at.model}", *quiet, *how]
    return Agent("aider", ["chat", "messages", "responses"], script, command, environment)


AGENTS = [codex(), claude_code(), opencode(), qwen_code(), aider()]
