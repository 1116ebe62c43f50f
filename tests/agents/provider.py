"""A provider that answers by a script, in three dialects, and writes down what was wrong with what it was asked.

A model's name is `AGENT/DIALECT`, or `AGENT/cut/DIALECT` if its provider breaks off once in the middle of an answer. The answer to a request is the turn that the history has come to: so many tool calls were made
already. What the history says about earlier turns is compared with the script: texts, calls with their arguments, and results.
"""

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATHS = {"/v1/chat/completions": "chat", "/v1/messages": "messages", "/v1/responses": "responses"}
"""Bytes of text in one event: small, so that words, escapes and arguments are cut."""
PIECE = 7
"""The turn whose first answer breaks off in the middle, at the models whose name says so."""
CUT = 1


class Call:
    """A tool call of the script. `shows` must be in its result."""

    def __init__(self, tool, arguments, shows):
        self.tool, self.arguments, self.shows = tool, arguments, shows


class Turn:
    """An answer of the script: a thought where the request asks for one, a text, and calls, which the last turn has not."""

    def __init__(self, text, *calls):
        self.text, self.calls = text, calls
        self.thought = f"Thinking of “{text[:20]}” …"


class History:
    """What a request says of earlier turns, whatever its dialect."""

    def __init__(self):
        self.turns, self.results, self.users, self.tools = [], {}, [], []

    def turn(self):
        if not self.turns or self.turns[-1]["closed"]:
            self.turns.append({"text": "", "calls": [], "closed": False})
        return self.turns[-1]

    def result(self, call_id, text):
        if self.turns:
            self.turns[-1]["closed"] = True
        self.results.setdefault(call_id, []).append(text)

    def user(self, text):
        if self.turns:
            self.turns[-1]["closed"] = True
        self.users.append(text)


def text_of(content):
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content or [] if isinstance(part, dict))


def read_chat(body):
    history = History()
    history.tools = [tool["function"]["name"] for tool in body.get("tools") or []]
    for message in body["messages"]:
        role = message["role"]
        if role == "assistant":
            turn = history.turn()
            turn["text"] += text_of(message.get("content"))
            for call in message.get("tool_calls") or []:
                function = call["function"]
                turn["calls"].append((call["id"], function["name"], json.loads(function["arguments"])))
        elif role == "tool":
            history.result(message["tool_call_id"], text_of(message["content"]))
        elif role == "user":
            history.user(text_of(message["content"]))
    return history


def read_messages(body):
    history = History()
    history.tools = [tool["name"] for tool in body.get("tools") or []]
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            if message["role"] == "assistant":
                turn = history.turn()
                if block["type"] == "text":
                    turn["text"] += block["text"]
                elif block["type"] == "tool_use":
                    turn["calls"].append((block["id"], block["name"], block["input"]))
            elif block["type"] == "tool_result":
                history.result(block["tool_use_id"], text_of(block.get("content")))
            elif block["type"] == "text" and message["role"] == "user":
                history.user(block["text"])
    return history


def read_responses(body):
    history = History()
    history.tools = [tool.get("name") or tool["type"] for tool in body.get("tools") or []]
    items = body["input"]
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        kind = item.get("type", "message")
        if kind == "message" and item["role"] == "assistant":
            history.turn()["text"] += text_of(item["content"])
        elif kind == "message" and item["role"] == "user":
            history.user(text_of(item["content"]))
        elif kind == "function_call":
            history.turn()["calls"].append((item["call_id"], item["name"], json.loads(item["arguments"])))
        elif kind == "function_call_output":
            history.result(item["call_id"], text_of(item["output"]))
    return history


READ = {"chat": read_chat, "messages": read_messages, "responses": read_responses}


def pieces(text):
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


def thinks(body, dialect):
    """Whether an answer has a thought: where it is asked for, and at chat always, as reasoning models there do."""
    asked = {"messages": (body.get("thinking") or {}).get("type") in ("enabled", "adaptive"), "responses": bool(body.get("reasoning"))}
    return asked.get(dialect, True)


def seal(model, at):
    """What comes with a thought and must come back with it, in the dialects that have such a thing."""
    return base64.b64encode(f"sealed thought {at} of {model}".encode()).decode()


class Answer:
    """An answer, as a whole and as the events of a stream."""

    def __init__(self, body, dialect, turn, calls, at=0):
        self.model, self.text, self.calls = body["model"], turn.text, calls
        self.thought, self.seal = (turn.thought if thinks(body, dialect) else ""), seal(body["model"], at)
        self.id = hashlib.sha256(json.dumps(body).encode()).hexdigest()[:24]
        self.prompt = max(1, len(json.dumps(body)) // 5)
        said = turn.text + self.thought + "".join(json.dumps(call.arguments) for _, call in calls)
        self.output = max(1, len(said) // 5)

    def chat_usage(self):
        return {"prompt_tokens": self.prompt, "completion_tokens": self.output, "total_tokens": self.prompt + self.output}

    def chat(self):
        calls = [
            {"id": call_id, "type": "function", "function": {"name": call.tool, "arguments": json.dumps(call.arguments)}}
            for call_id, call in self.calls
        ]
        message = {"role": "assistant", "content": self.text, **({"tool_calls": calls} if calls else {})}
        if self.thought:
            message["reasoning_content"] = self.thought
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
        head = {"id": "chatcmpl-" + self.id, "object": "chat.completion", "created": int(time.time()), "model": self.model}
        return {**head, "choices": [choice], "usage": self.chat_usage()}

    def chat_events(self):
        head = {"id": "chatcmpl-" + self.id, "object": "chat.completion.chunk", "created": int(time.time()), "model": self.model}

        def chunk(delta, finish=None):
            return "data: %s\n\n" % json.dumps({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

        yield chunk({"role": "assistant", "content": ""})
        for piece in pieces(self.thought):
            yield chunk({"reasoning_content": piece})
        for piece in pieces(self.text):
            yield chunk({"content": piece})
        for index, (call_id, call) in enumerate(self.calls):
            function = {"name": call.tool, "arguments": ""}
            yield chunk({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]})
            for piece in pieces(json.dumps(call.arguments)):
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        yield chunk({}, "tool_calls" if self.calls else "stop")
        yield "data: %s\n\n" % json.dumps({**head, "choices": [], "usage": self.chat_usage()})
        yield "data: [DONE]\n\n"

    def blocks(self):
        text = [{"type": "text", "text": self.text}] if self.text else []
        if self.thought:
            text.insert(0, {"type": "thinking", "thinking": self.thought, "signature": self.seal})
        return text + [
            {"type": "tool_use", "id": call_id, "name": call.tool, "input": call.arguments} for call_id, call in self.calls
        ]

    def messages(self):
        return {
            "id": "msg_" + self.id, "type": "message", "role": "assistant", "model": self.model, "content": self.blocks(),
            "stop_reason": "tool_use" if self.calls else "end_turn", "stop_sequence": None,
            "usage": {"input_tokens": self.prompt, "output_tokens": self.output},
        }

    def messages_events(self):
        def event(kind, **members):
            return "event: %s\ndata: %s\n\n" % (kind, json.dumps({"type": kind, **members}))

        start = {**self.messages(), "content": [], "stop_reason": None}
        start["usage"] = {"input_tokens": self.prompt, "output_tokens": 1}
        yield event("message_start", message=start)
        empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}
        for index, block in enumerate(self.blocks()):
            kind = block["type"]
            yield event("content_block_start", index=index, content_block={**block, **empty[kind]})
            whole = json.dumps(block["input"]) if kind == "tool_use" else block[kind]
            name, member = {"tool_use": ("input_json_delta", "partial_json")}.get(kind, (f"{kind}_delta", kind))
            for piece in pieces(whole):
                yield event("content_block_delta", index=index, delta={"type": name, member: piece})
            if kind == "thinking":
                yield event("content_block_delta", index=index, delta={"type": "signature_delta", "signature": block["signature"]})
            yield event("content_block_stop", index=index)
        delta = {"stop_reason": "tool_use" if self.calls else "end_turn", "stop_sequence": None}
        yield event("message_delta", delta=delta, usage={"output_tokens": self.output})
        yield event("message_stop")

    def items(self):
        part = {"type": "output_text", "text": self.text, "annotations": [], "logprobs": []}
        message = {"type": "message", "id": "msg_" + self.id, "role": "assistant", "status": "completed", "content": [part]}
        calls = [
            {
                "type": "function_call", "id": f"fc_{self.id}_{at}", "call_id": call_id, "name": call.tool,
                "arguments": json.dumps(call.arguments), "status": "completed",
            }
            for at, (call_id, call) in enumerate(self.calls)
        ]
        summary = [{"type": "summary_text", "text": self.thought}]
        thought = {"type": "reasoning", "id": "rs_" + self.id, "summary": summary, "encrypted_content": self.seal}
        return ([thought] if self.thought else []) + ([message] if self.text else []) + calls

    def responses(self):
        usage = {
            "input_tokens": self.prompt, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": self.prompt + self.output,
        }
        return {
            "id": "resp_" + self.id, "object": "response", "created_at": int(time.time()), "status": "completed", "error": None,
            "incomplete_details": None, "instructions": None, "metadata": {}, "model": self.model, "output": self.items(),
            "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": usage,
        }

    def responses_events(self):
        number = 0

        def event(kind, **members):
            nonlocal number
            number += 1
            return "event: %s\ndata: %s\n\n" % (kind, json.dumps({"type": kind, "sequence_number": number - 1, **members}))

        begun = {**self.responses(), "status": "in_progress", "output": [], "usage": None}
        yield event("response.created", response=begun)
        yield event("response.in_progress", response=begun)
        for at, item in enumerate(self.items()):
            place = {"output_index": at, "item_id": item["id"]}
            if item["type"] == "message":
                yield event("response.output_item.added", output_index=at, item={**item, "status": "in_progress", "content": []})
                yield event("response.content_part.added", **place, content_index=0, part={**item["content"][0], "text": ""})
                for piece in pieces(self.text):
                    yield event("response.output_text.delta", **place, content_index=0, delta=piece, logprobs=[])
                yield event("response.output_text.done", **place, content_index=0, text=self.text, logprobs=[])
                yield event("response.content_part.done", **place, content_index=0, part=item["content"][0])
            elif item["type"] == "reasoning":
                [part] = item["summary"]
                yield event("response.output_item.added", output_index=at, item={**item, "summary": []})
                yield event("response.reasoning_summary_part.added", **place, summary_index=0, part={**part, "text": ""})
                for piece in pieces(self.thought):
                    yield event("response.reasoning_summary_text.delta", **place, summary_index=0, delta=piece)
                yield event("response.reasoning_summary_text.done", **place, summary_index=0, text=self.thought)
                yield event("response.reasoning_summary_part.done", **place, summary_index=0, part=part)
            else:
                yield event("response.output_item.added", output_index=at, item={**item, "status": "in_progress", "arguments": ""})
                for piece in pieces(item["arguments"]):
                    yield event("response.function_call_arguments.delta", **place, delta=piece)
                yield event("response.function_call_arguments.done", **place, arguments=item["arguments"], name=item["name"])
            yield event("response.output_item.done", output_index=at, item=item)
        yield event("response.completed", response=self.responses())


class Scripted:
    """The scripts, what was served, and what was wrong."""

    def __init__(self, scripts):
        """`scripts`: the turns of each model."""
        self.scripts, self.lock = scripts, threading.Lock()
        self.served, self.asides, self.faults, self.bodies = {}, {}, {}, {}

    def fault(self, model, text):
        with self.lock:
            self.faults.setdefault(model, []).append(text)

    def answer(self, path, body):
        """The answer to a request, and the dialect it is in."""
        model, dialect = body["model"], PATHS[path]
        turns = self.scripts[model]
        if not model.endswith("/" + dialect):
            self.fault(model, f"{model} was asked by {path}")
        with self.lock:
            self.bodies.setdefault(model, []).append(body)
        history = READ[dialect](body)
        with_tools = any(turn.calls for turn in turns)
        if with_tools and not history.tools:
            self.aside(model)
            return Answer(body, dialect, Turn("A short title"), []), dialect
        at = self.place(model, history, with_tools)
        self.sealed(body, dialect, at)
        turn = turns[min(at, len(turns) - 1)]
        if at >= len(turns):
            self.fault(model, f"request {at + 1} of {len(turns)} that the script has")
        return Answer(body, dialect, turn, [(f"call_{at}_{n}", call) for n, call in enumerate(turn.calls)], at), dialect

    def aside(self, model):
        """A request beside the task: a title, a summary."""
        with self.lock:
            self.asides[model] = self.asides.get(model, 0) + 1

    def place(self, model, history, with_tools):
        """How far the script is: by the history where there are tools, else by the requests so far."""
        with self.lock:
            served = self.served.setdefault(model, [])
            again = self.is_cut(model, CUT) and len(served) > CUT
            at = sum(1 for turn in history.turns if turn["calls"]) if with_tools else len(served) - again
            if at in served and not (self.is_cut(model, at) and served.count(at) == 1):
                self.faults.setdefault(model, []).append(f"turn {at} was asked for twice")
            served.append(at)
        if with_tools:
            for fault in self.compare(model, history):
                self.fault(model, f"in the request for turn {at}: {fault}")
        return at

    def sealed(self, body, dialect, at):
        """Thoughts that are sealed come back as they were, or the provider refuses the history."""
        said = json.dumps(body)
        for earlier in range(at) if dialect != "chat" and thinks(body, dialect) else ():
            if seal(body["model"], earlier) not in said:
                self.fault(body["model"], f"in the request for turn {at}: the thought of turn {earlier} is missing")

    @staticmethod
    def is_cut(model, at):
        return "/cut/" in model and at == CUT

    def breaks_off(self, model):
        """Whether the answer that was begun last is the one that breaks off."""
        with self.lock:
            served = self.served.get(model, [])
            return bool(served) and self.is_cut(model, served[-1]) and served.count(CUT) == 1

    def compare(self, model, history):
        """What the history of a request has otherwise than the script."""
        turns = self.scripts[model]
        for at, (turn, seen) in enumerate(zip(turns, [turn for turn in history.turns if turn["calls"]])):
            # What came before an answer broke off may be kept beside the whole answer.
            begun = self.is_cut(model, at) and seen["text"].endswith(turn.text)
            if seen["text"].strip() != turn.text.strip() and not begun:
                yield f"turn {at} says {seen['text']!r}"
            if [(tool, arguments) for _, tool, arguments in seen["calls"]] != [(c.tool, c.arguments) for c in turn.calls]:
                yield f"turn {at} calls {seen['calls']!r}"
            for (call_id, *_), call in zip(seen["calls"], turn.calls):
                results = history.results.get(call_id, [])
                if len(results) != 1 or call.shows not in results[0]:
                    yield f"the result of {call.tool} in turn {at} is {results!r}, without {call.shows!r}"


def start(scripted):
    """Serves `scripted` on a free port of 127.0.0.1; the server, which `shutdown` ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_POST(self):
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                body = json.loads(raw)
                answer, dialect = scripted.answer(self.path, body)
            except (KeyError, ValueError, TypeError) as error:
                scripted.fault("?", f"{self.path} cannot be read: {error!r}: {raw[:2000]!r}")
                return self.whole(400, {"error": {"message": repr(error), "type": "invalid_request_error", "code": None}})
            if not body.get("stream"):
                return self.whole(200, getattr(answer, dialect)())
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            events = list(getattr(answer, dialect + "_events")())
            if scripted.breaks_off(body["model"]):
                events = events[: len(events) // 2]
            for event in events:
                self.wfile.write(event.encode())
                self.wfile.flush()

        def whole(self, status, answer):
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            """A client that leaves is no fault by itself: the turn would be asked for twice."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
