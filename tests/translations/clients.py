"""The client's side: small readers of the three dialects, which accept nothing that an SDK of the dialect would stumble over."""

import http.client
import json
import urllib.parse

PATHS = {"chat": "/chat/completions", "messages": "/messages", "responses": "/responses"}


class Broken(Exception):
    """What came is no answer of the dialect."""


def must(condition, what):
    if not condition:
        raise Broken(what)


class Reply:
    """What came over HTTP."""

    def __init__(self, status, headers, raw, cut):
        self.status, self.headers, self.raw, self.cut = status, headers, raw, cut


def ask(base, key, dialect, text):
    """Sends a body to the API at `base`, which ends in /v1."""
    url = urllib.parse.urlsplit(base)
    connection = http.client.HTTPConnection(url.netloc, timeout=60)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    if dialect == "messages":
        headers = {"Content-Type": "application/json", "x-api-key": key, "anthropic-version": "2023-06-01"}
    raw, cut = b"", False
    try:
        connection.request("POST", url.path.rstrip("/") + PATHS[dialect], text.encode(), headers)
        response = connection.getresponse()
        try:
            while piece := response.read1(65536):
                raw += piece
            # `read1` is silent about a body that is shorter than it was said to be.
            cut = bool(response.length)
        except (http.client.IncompleteRead, ConnectionError) as error:
            raw, cut = raw + getattr(error, "partial", b""), True
        return Reply(response.status, response.headers, raw, cut)
    finally:
        connection.close()


class Got:
    """An answer as a client understands it."""

    def __init__(self):
        self.parts, self.calls = [], {}
        self.end = self.stop = self.usage = self.error = None
        self.cited = []

    def add(self, kind, text):
        if not text:
            return
        if self.parts and self.parts[-1][0] == kind:
            self.parts[-1][1] += text
        else:
            self.parts.append([kind, text])

    def call(self, call_id, name, arguments=""):
        call = ["call", call_id, name, arguments]
        self.parts.append(call)
        return call

    def words(self, *kinds):
        return "".join(part[1] for part in self.parts if part[0] in kinds)

    def all_calls(self):
        return [tuple(part[1:]) for part in self.parts if part[0] == "call"]


def failure(dialect, body):
    """The error in a body: its message, and the field that it names."""
    must(isinstance(body, dict) and isinstance(body.get("error"), dict), "an error without `error`")
    error = body["error"]
    must(isinstance(error.get("message"), str) and isinstance(error.get("type"), str), "an error without message or type")
    must((body.get("type") == "error") == (dialect == "messages"), "an error of another dialect")
    return error["message"], error.get("param")


def broke_off(error):
    """What an error in a stream says. A client ends with it, whatever its form."""
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) and message else "(an error without a message)"


def read(dialect, reply, streamed):
    """The answer that a client of the dialect understands."""
    if not streamed:
        must(not reply.cut, "the body is cut")
        try:
            return {"chat": chat, "messages": messages, "responses": responses}[dialect](json.loads(reply.raw))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise Broken(f"a whole answer that cannot be read: {error!r}") from error
    must(reply.headers.get_content_type() == "text/event-stream", f"a stream of {reply.headers.get_content_type()}")
    try:
        return {"chat": chat_stream, "messages": messages_stream, "responses": responses_stream}[dialect](list(events(reply.raw)))
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise Broken(f"a stream that cannot be read: {error!r}") from error


def events(raw):
    """The events of a stream: pairs of name and data. What has no end is none."""
    for block in raw.decode().replace("\r\n", "\n").split("\n\n")[:-1]:
        name, data = None, []
        for line in block.split("\n"):
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
        if data:
            yield name, "\n".join(data)


# Chat completions.


def chat_usage(usage):
    if usage is None:
        return None
    details, spent = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    must(usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"], "a total that is no sum")
    return {
        "prompt": usage["prompt_tokens"],
        "answer": usage["completion_tokens"],
        "cached": details.get("cached_tokens") or 0,
        "reasoning": spent.get("reasoning_tokens") or 0,
    }


CHAT_ENDS = {"stop": "stop", "tool_calls": "calls", "length": "length", "content_filter": "filter"}


def chat(body):
    got = Got()
    must(body["object"] == "chat.completion" and isinstance(body["id"], str) and isinstance(body["created"], int), "no chat.completion")
    must(len(body["choices"]) == 1, f"{len(body['choices'])} choices")
    [choice] = body["choices"]
    message = choice["message"]
    must(message["role"] == "assistant" and "content" in message, "a message without role or content")
    got.add("thought", message.get("reasoning_content") or message.get("reasoning"))
    got.add("text", message["content"])
    got.add("refusal", message.get("refusal"))
    for call in message.get("tool_calls") or []:
        must(call["type"] == "function" and isinstance(call["function"]["arguments"], str), "a call that is none")
        got.call(call["id"], call["function"]["name"], call["function"]["arguments"])
    got.cited = [one["url_citation"] for one in message.get("annotations") or []]
    got.end, got.usage = CHAT_ENDS[choice["finish_reason"]], chat_usage(body.get("usage"))
    return got


def chat_stream(said):
    got, done = Got(), False
    for _, data in said:
        must(not done, "an event after [DONE]")
        if data == "[DONE]":
            done = True
            continue
        chunk = json.loads(data)
        if "error" in chunk:
            got.error = broke_off(chunk["error"])
            continue
        must(chunk["object"] == "chat.completion.chunk" and isinstance(chunk["id"], str), "no chat.completion.chunk")
        if chunk.get("usage"):
            got.usage = chat_usage(chunk["usage"])
        for choice in chunk["choices"]:
            must(choice["index"] == 0, f"a choice of index {choice['index']}")
            delta = choice["delta"]
            if any(delta.get(name) for name in ("content", "tool_calls", "refusal", "reasoning", "reasoning_content")):
                must(got.end is None, "content after the finish reason")
            got.add("thought", delta.get("reasoning_content") or delta.get("reasoning"))
            got.add("text", delta.get("content"))
            got.add("refusal", delta.get("refusal"))
            got.cited += [one["url_citation"] for one in delta.get("annotations") or []]
            for call in delta.get("tool_calls") or []:
                function = call.get("function") or {}
                if call["index"] not in got.calls:
                    must(call["index"] == len(got.calls), f"a call of index {call['index']} in place of {len(got.calls)}")
                    must(call.get("id") and function.get("name"), "the first piece of a call has no id or name")
                    got.calls[call["index"]] = got.call(call["id"], function["name"])
                else:
                    # SDKs join what comes.
                    must(not function.get("name") and call.get("id") in (None, "", got.calls[call["index"]][1]), "a call is named twice")
                got.calls[call["index"]][3] += function.get("arguments") or ""
            # No reason of OpenAI's: it comes with an error.
            if choice.get("finish_reason") == "error":
                got.error = got.error or "ended by an error"
                continue
            if choice.get("finish_reason") is not None:
                must(got.end is None, "two finish reasons")
                got.end = CHAT_ENDS[choice["finish_reason"]]
    if not done and got.error is None:
        got.error = "no [DONE]" if got.end else "no end"
    return got


# Messages.


def messages_usage(usage):
    if not usage or "input_tokens" not in usage:
        return None
    cached, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    return {"prompt": usage["input_tokens"] + cached + written, "answer": usage["output_tokens"], "cached": cached, "written": written}


MESSAGES_ENDS = {"end_turn": "stop", "tool_use": "calls", "max_tokens": "length", "refusal": "filter", "stop_sequence": "text"}


def messages(body):
    got = Got()
    must(body["type"] == "message" and body["role"] == "assistant" and isinstance(body["id"], str), "no message")
    for block in body["content"]:
        kind = block["type"]
        if kind == "tool_use":
            must(isinstance(block["input"], dict), "an input that is no object")
            got.call(block["id"], block["name"], json.dumps(block["input"]))
        elif kind == "redacted_thinking":
            got.add("hidden", block["data"])
        else:
            must(kind in ("text", "thinking"), f"a block of type {kind}")
            got.add({"text": "text", "thinking": "thought"}[kind], block[kind])
            got.cited += block.get("citations") or []
    got.end, got.stop, got.usage = MESSAGES_ENDS[body["stop_reason"]], body["stop_sequence"], messages_usage(body["usage"])
    return got


def messages_stream(said):
    got, begun, ended, blocks, usage = Got(), False, False, [], {}
    for name, data in said:
        event = json.loads(data)
        kind = event["type"]
        must(name == kind, f"an event {name} of type {kind}")
        must(not ended, "an event after message_stop")
        if kind == "error":
            got.error = broke_off(event["error"])
            continue
        if kind == "ping":
            continue
        must(begun or kind == "message_start", f"{kind} before message_start")
        if kind == "message_start":
            must(not begun and event["message"]["content"] == [], "a message that starts twice, or with content")
            begun, usage = True, dict(event["message"]["usage"])
        elif kind == "content_block_start":
            must(event["index"] == len(blocks), f"block {event['index']} starts in place of {len(blocks)}")
            block = event["content_block"]
            if block["type"] == "tool_use":
                must(block["input"] == {}, "a call that starts with its input")
                part = ["call", block["id"], block["name"], ""]
            else:
                name, member = {"redacted_thinking": ("hidden", "data"), "thinking": ("thought", "thinking"), "text": ("text", "text")}[block["type"]]
                part = [name, block[member]]
            got.parts.append(part)
            blocks.append({"type": block["type"], "part": part, "open": True})
        elif kind == "content_block_delta":
            block, delta = blocks[event["index"]], event["delta"]
            must(block["open"], "a delta of a block that is not open")
            of = {
                "text_delta": "text",
                "thinking_delta": "thinking",
                "signature_delta": "thinking",
                "input_json_delta": "tool_use",
                "citations_delta": "text",
            }
            must(of[delta["type"]] == block["type"], f"{delta['type']} in a block {block['type']}")
            if delta["type"] == "citations_delta":
                got.cited.append(delta["citation"])
            elif delta["type"] != "signature_delta":
                block["part"][-1] += delta["partial_json" if block["type"] == "tool_use" else block["type"]]
        elif kind == "content_block_stop":
            must(blocks[event["index"]]["open"], "a block stops that is not open")
            blocks[event["index"]]["open"] = False
        elif kind == "message_delta":
            must(got.end is None and not any(block["open"] for block in blocks), "message_delta within a block, or twice")
            got.end, got.stop = MESSAGES_ENDS[event["delta"]["stop_reason"]], event["delta"].get("stop_sequence")
            usage |= {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
        elif kind == "message_stop":
            must(got.end is not None, "message_stop without a reason")
            ended = True
        else:
            raise Broken(f"an event {kind}")
    if not ended and got.error is None:
        got.error = "no message_stop" if got.end else "no end"
    got.usage = messages_usage(usage)
    return got


# Responses.


def responses_usage(usage):
    if not usage:
        return None
    must(usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"], "a total that is no sum")
    return {
        "prompt": usage["input_tokens"],
        "answer": usage["output_tokens"],
        "cached": usage["input_tokens_details"]["cached_tokens"],
        "reasoning": usage["output_tokens_details"]["reasoning_tokens"],
    }


def responses(body):
    got = Got()
    must(body["object"] == "response" and isinstance(body["id"], str) and isinstance(body["created_at"], (int, float)), "no response")
    for item in body["output"]:
        kind = item["type"]
        if kind == "message":
            must(item["role"] == "assistant" and item["id"] and item["status"], "a message without role, id or status")
            for part in item["content"]:
                must(part["type"] in ("output_text", "refusal"), f"a part {part['type']}")
                got.add(*(("text", part["text"]) if part["type"] == "output_text" else ("refusal", part["refusal"])))
                if part["type"] == "output_text":
                    got.cited += part["annotations"]
        elif kind == "function_call":
            must(isinstance(item["arguments"], str), "arguments that are no text")
            got.call(item["call_id"], item["name"], item["arguments"])
        elif kind == "reasoning":
            for part in item["summary"] + (item.get("content") or []):
                got.add("thought", part["text"])
            if not item["summary"] and item.get("encrypted_content"):
                got.add("hidden", item["encrypted_content"])
        else:
            raise Broken(f"an item {kind}")
    if body["status"] == "failed":
        got.error = body["error"]["message"]
        return got
    reason = (body.get("incomplete_details") or {}).get("reason")
    calls = any(part[0] == "call" for part in got.parts)
    must((body["status"] == "incomplete") == bool(reason) and body["status"] in ("completed", "incomplete"), f"the status {body['status']}")
    got.end = {"max_output_tokens": "length", "content_filter": "filter", None: "calls" if calls else "stop"}[reason]
    got.usage = responses_usage(body.get("usage"))
    return got


def responses_stream(said):
    """The answer is that of the last event; what came before must be the same."""
    number, items, last, error = -1, {}, None, None
    for name, data in said:
        if data == "[DONE]":
            continue
        event = json.loads(data)
        kind = event["type"]
        must(name == kind, f"an event {name} of type {kind}")
        must(last is None, f"{kind} after the end")
        if kind == "error":
            error = broke_off(event if "message" in event else event["error"])
            continue
        must(event["sequence_number"] > number, "sequence numbers that do not grow")
        number = event["sequence_number"]
        must(number > 0 or kind == "response.created", f"{kind} before response.created")
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            must(event["response"]["status"] == kind.removeprefix("response."), "a status that is not the event's")
            last = event["response"]
        elif kind == "response.output_item.added":
            must(event["output_index"] == len(items), f"item {event['output_index']} is added in place of {len(items)}")
            items[event["output_index"]] = [event["item"], None, ""]
        elif kind == "response.output_item.done":
            item = items[event["output_index"]]
            must(item[1] is None and item[0]["id"] == event["item"]["id"], "an item is done twice, or another one")
            item[1] = event["item"]
        elif kind.endswith(".delta"):
            item = items[event["output_index"]]
            must(item[1] is None and item[0]["id"] == event["item_id"], f"{kind} of an item that is not open")
            item[2] += event["delta"]
        elif kind.endswith(".done") and kind != "response.content_part.done" and kind != "response.reasoning_summary_part.done":
            text = event.get("text", event.get("arguments", event.get("refusal")))
            must(text == items[event["output_index"]][2], f"{kind} says something else than its deltas")
    if last is None:
        got = Got()
        for item, done, text in items.values():
            got.add({"message": "text", "reasoning": "thought"}.get(item["type"], "call"), text)
        got.error = error or "no end"
        return got
    got = responses(last)
    got.error = got.error or error
    must(got.error or [item[1] for item in items.values()] == last["output"], "the last event says something else than the items before")
    return got
