"""What a request says, read from its body in any of the three dialects into one form, so that two bodies can be compared.

A part of what was said is `(role, kind, …)`:

    (role, "text", text), (role, "refusal", text), (role, "image", url, detail), (role, "sealed", data), (role, "file", name, data),
    (role, "audio", data), ("assistant", "call", id, name, arguments), ("user", "result", id, [texts and images], failed)

A member that is not of the dialect is in `foreign`, whatever it is called.
"""

import json
import re

PARAMETERS = {
    "chat": {
        "temperature",
        "top_p",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "top_logprobs",
        "n",
        "verbosity",
        "prediction",
        "modalities",
        "audio",
        "user",
        "metadata",
        "safety_identifier",
        "service_tier",
        "prompt_cache_key",
        "store",
    },
    "messages": {"temperature", "top_p", "top_k", "metadata", "service_tier", "mcp_servers", "context_management", "container"},
    "responses": {
        "temperature",
        "top_p",
        "top_logprobs",
        "user",
        "metadata",
        "safety_identifier",
        "service_tier",
        "prompt_cache_key",
        "store",
        "truncation",
        "max_tool_calls",
        "previous_response_id",
        "background",
        "prompt",
        "conversation",
    },
}
"""Members that are read by name below, or say nothing of what is asked."""
READ = {
    "chat": {
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "response_format",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning_effort",
        "logprobs",
        "web_search_options",
        "functions",
        "function_call",
    },
    "messages": {"model", "messages", "system", "stream", "max_tokens", "stop_sequences", "tools", "tool_choice", "thinking", "output_config"},
    "responses": {
        "model",
        "input",
        "instructions",
        "stream",
        "stream_options",
        "max_output_tokens",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning",
        "text",
        "include",
    },
}
"""Members of chat that OpenAI's API has not and that most engines which speak it know."""
OF_ENGINES = {"top_k", "min_p", "repetition_penalty"}
FAILURE = re.compile(r"^\W*(error|failed|failure|tool error)\b\W*", re.IGNORECASE)


def numbers(text):
    """JSON, with every number as it is written."""
    return json.loads(text, parse_int=str, parse_float=str)


class Body:
    """What a body says."""

    def __init__(self, dialect, raw):
        self.dialect, self.members = dialect, json.loads(raw)
        self.parts, self.tools, self.hosted, self.foreign = [], [], [], {}
        self.said = {"choice": "auto", "one_call": False, "stop": [], "logprobs": False}
        known = PARAMETERS[dialect] | (OF_ENGINES if dialect == "chat" else set())
        for name, value in self.members.items():
            if name in known:
                self.said[name] = value
            elif name not in READ[dialect]:
                self.foreign[name] = value
        # Arguments of messages are a part of the body; the numbers in them must keep their digits.
        self.exact = numbers(raw)
        getattr(self, dialect)()

    def get(self, *names):
        values = [self.said.get(name) for name in names]
        return values[0] if len(names) == 1 else (values if any(value is not None for value in values) else None)

    def of(self, *kinds):
        return [part for part in self.parts if part[1] in kinds]

    def texts(self):
        """Every text, wherever it is said."""
        for part in self.parts:
            if part[1] in ("text", "refusal"):
                yield part[2]
            elif part[1] == "result":
                yield from (inner[2] for inner in part[3] if inner[1] == "text")

    def add(self, role, *part):
        self.parts.append((role, *part))

    # Chat completions.

    def chat(self):
        body = self.members
        for message in body["messages"]:
            role = {"developer": "system", "function": "tool"}.get(message["role"], message["role"])
            if role == "tool":
                content = list(self.chat_parts("user", message.get("content")))
                self.add("user", "result", message.get("tool_call_id"), *failure(content, False))
                continue
            if message.get("reasoning_content") or message.get("reasoning"):
                self.add(role, "thought", message.get("reasoning_content") or message.get("reasoning"))
            for part in self.chat_parts(role, message.get("content")):
                self.add(*part)
            if message.get("refusal"):
                self.add(role, "refusal", message["refusal"])
            if message.get("name"):
                self.add(role, "name", message["name"])
            for call in message.get("tool_calls") or []:
                if call["type"] == "function":
                    function = call["function"]
                    self.add(role, "call", call["id"], function["name"], arguments(function["arguments"]))
                else:
                    self.add(role, "custom call", call["id"], call["custom"]["name"], call["custom"]["input"])
        for tool in body.get("tools") or []:
            if tool["type"] == "function":
                self.tool(tool["function"], "parameters", False)
            else:
                self.hosted.append(tool)
        for function in body.get("functions") or []:
            self.tool(function, "parameters", False)
        if body.get("web_search_options") is not None:
            self.hosted.append({"type": "web_search"})
        choice = body.get("tool_choice") or "auto"
        if isinstance(choice, dict):
            choice = ("named", choice["function"]["name"]) if "function" in choice else allowed(choice.get("allowed_tools") or choice)
        stop = body.get("stop") or []
        self.said |= {
            "choice": choice,
            "one_call": body.get("parallel_tool_calls") is False,
            "stop": [stop] if isinstance(stop, str) else stop,
            "limit": body.get("max_completion_tokens") or body.get("max_tokens"),
            "effort": body.get("reasoning_effort"),
            "logprobs": bool(body.get("logprobs")),
        }
        form = body.get("response_format") or {}
        self.format(form.get("type"), form.get("json_schema") or {})

    def chat_parts(self, role, content):
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
            kind = part["type"]
            if kind == "image_url":
                image = part["image_url"]
                yield (role, "image", image["url"], detail(image))
            elif kind == "file":
                yield (role, "file", part["file"].get("filename"), part["file"].get("file_data"))
            elif kind == "input_audio":
                yield (role, "audio", part["input_audio"]["data"])
            else:
                yield (role, kind, part[kind])

    # Messages.

    def messages(self):
        body, exact = self.members, self.exact
        for part in blocks("system", body.get("system"), exact.get("system")):
            self.add(*part)
        for message, told in zip(body["messages"], exact["messages"]):
            for part in blocks(message["role"], message["content"], told["content"]):
                self.add(*part)
        for tool in body.get("tools") or []:
            if tool.get("type", "custom") == "custom":
                self.tool(tool, "input_schema", False)
            else:
                self.hosted.append(tool)
        choice = body.get("tool_choice") or {"type": "auto"}
        kinds = {"auto": "auto", "none": "none", "any": "required", "tool": ("named", choice.get("name"))}
        config = body.get("output_config") or {}
        thinking = body.get("thinking") or {}
        self.said |= {
            "choice": kinds[choice["type"]],
            "one_call": choice.get("disable_parallel_tool_use") is True,
            "stop": body.get("stop_sequences") or [],
            "limit": body.get("max_tokens"),
            "effort": config.get("effort"),
            "budget": thinking.get("budget_tokens"),
            "thinking": thinking.get("type"),
        }
        form = config.get("format") or {}
        self.format(form.get("type"), {"schema": form.get("schema"), "strict": True})

    # Responses.

    def responses(self):
        body = self.members
        if body.get("instructions"):
            self.add("system", "text", body["instructions"])
        items = body["input"]
        for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
            self.item(item)
        for tool in body.get("tools") or []:
            if tool["type"] == "function":
                self.tool(tool, "parameters", True)
            else:
                self.hosted.append(tool)
        choice = body.get("tool_choice") or "auto"
        if isinstance(choice, dict):
            choice = ("named", choice.get("name")) if choice["type"] == "function" else allowed(choice)
        text, reasoning = body.get("text") or {}, body.get("reasoning") or {}
        self.said |= {
            "choice": choice,
            "one_call": body.get("parallel_tool_calls") is False,
            "limit": body.get("max_output_tokens"),
            "effort": reasoning.get("effort"),
            "summary": reasoning.get("summary"),
            "verbosity": text.get("verbosity"),
            "logprobs": "message.output_text.logprobs" in (body.get("include") or []),
        }
        form = text.get("format") or {}
        self.format(form.get("type"), form)

    def item(self, item):
        kind = item.get("type", "message")
        if kind == "message":
            role = {"developer": "system"}.get(item["role"], item["role"])
            for part in item_parts(role, item["content"]):
                self.add(*part)
        elif kind == "function_call":
            self.add("assistant", "call", item["call_id"], item["name"], arguments(item["arguments"]))
        elif kind == "function_call_output":
            self.add("user", "result", item["call_id"], *failure(list(item_parts("user", item["output"])), False))
        elif kind == "reasoning":
            for part in item.get("summary") or []:
                self.add("assistant", "thought", part["text"])
            if item.get("encrypted_content"):
                self.add("assistant", "sealed", item["encrypted_content"])
        elif kind == "custom_tool_call":
            self.add("assistant", "custom call", item["call_id"], item["name"], item["input"])
        else:
            self.add("?", kind, item)

    # What they have in common.

    def tool(self, tool, schema, strict):
        stated = tool.get("strict")
        self.tools.append((tool["name"], tool.get("description"), tool.get(schema), strict if stated is None else stated))

    def format(self, kind, form):
        if kind == "json_object":
            self.said["format"] = "any object"
        elif kind == "json_schema":
            self.said |= {
                "format": form["schema"],
                "strict format": bool(form.get("strict")),
                "format's description": form.get("description"),
                "format's name": form.get("name"),
            }


def allowed(choice):
    """Some functions. What has the form of another dialect is not understood."""
    if "tools" not in choice:
        return ("not understood", choice)
    names = [tool.get("name") or tool["function"]["name"] for tool in choice["tools"]]
    return ("some", choice["mode"], names)


def arguments(text):
    try:
        return numbers(text) if text else {}
    except ValueError:
        return text


def detail(image):
    said = image.get("detail")
    return None if said == "auto" else said


def failure(content, failed):
    """A result's content and whether it says that the call failed. Where a dialect has no mark for it, the text may say it."""
    if not failed and content and content[0][1] == "text" and FAILURE.match(content[0][2]):
        failed = True
        text = FAILURE.sub("", content[0][2], count=1)
        content = ([(content[0][0], "text", text)] if text else []) + content[1:]
    return content, failed


def source(block):
    """An image or a document as a URL."""
    said = block["source"]
    if said["type"] == "base64":
        return f"data:{said['media_type']};base64,{said['data']}"
    return said.get("url") or said.get("data") or said.get("content") or said.get("file_id")


def blocks(role, content, exact):
    """The blocks of messages; `exact` is the same with the digits of its numbers."""
    if isinstance(content, str):
        yield (role, "text", content)
        return
    for block, told in zip(content or [], exact or []):
        kind = block["type"]
        if kind == "text":
            yield (role, "text", block["text"])
        elif kind == "image":
            yield (role, "image", source(block), None)
        elif kind == "document":
            yield (role, "file", block.get("title"), source(block))
            if (block.get("citations") or {}).get("enabled"):
                yield (role, "cite", True)
        elif kind == "tool_use":
            yield (role, "call", block["id"], block["name"], told["input"])
        elif kind == "tool_result":
            inner = list(blocks("user", block.get("content"), told.get("content")))
            yield (role, "result", block["tool_use_id"], *failure(inner, block.get("is_error") is True))
        elif kind == "thinking":
            yield (role, "thought", block["thinking"])
            if block.get("signature"):
                yield (role, "sealed", block["signature"])
        elif kind == "redacted_thinking":
            yield (role, "sealed", block["data"])
        else:
            yield (role, kind, block)


def item_parts(role, content):
    for part in [{"type": "input_text", "text": content}] if isinstance(content, str) else content or []:
        kind = part["type"]
        if kind in ("input_text", "output_text", "text"):
            yield (role, "text", part["text"])
        elif kind == "refusal":
            yield (role, "refusal", part["refusal"])
        elif kind == "input_image":
            yield (role, "image", part.get("image_url"), detail(part))
        elif kind == "input_file":
            yield (role, "file", part.get("filename"), part.get("file_data") or part.get("file_url"))
        elif kind == "input_audio":
            yield (role, "audio", part["input_audio"]["data"])
        else:
            yield (role, kind, part)
