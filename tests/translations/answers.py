"""The answer cases: what a provider answers, in its own dialect, whole or as a stream, and what of it the client must get."""

import json

DIALECTS = ("chat", "messages", "responses")
"""Bytes of text in one event: small, so that words, escapes and arguments are cut."""
PIECE = 7
ID = "0123456789abcdef"


def pieces(text):
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


class Usage:
    """Tokens: of the prompt with those from the cache and written to it, and of the answer with those of reasoning."""

    def __init__(self, prompt, answer, cached=0, written=0, reasoning=0):
        self.prompt, self.answer, self.cached, self.written, self.reasoning = prompt, answer, cached, written, reasoning

    def chat(self):
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.answer,
            "total_tokens": self.prompt + self.answer,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        }

    def messages(self):
        return {
            "input_tokens": self.prompt - self.cached - self.written,
            "cache_read_input_tokens": self.cached,
            "cache_creation_input_tokens": self.written,
            "output_tokens": self.answer,
        }

    def responses(self):
        return {
            "input_tokens": self.prompt,
            "input_tokens_details": {"cached_tokens": self.cached},
            "output_tokens": self.answer,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.prompt + self.answer,
        }


class Answer:
    """What is answered: parts are `("thought", text, seal)`, `("text", text)`, `("refusal", text)`, `("call", id, name, arguments)`,
    `("hidden", data)`. It ends because of `end`: `stop`, `calls`, `length`, `filter`, `window`, or `text`, which is `stop`."""

    def __init__(self, *parts, end="stop", stop=None, usage=Usage(20, 12), **odd):
        self.parts, self.end, self.stop, self.usage = parts, end, stop, usage
        # Whether calls are sent in turns, bytes are cut anywhere, the stream ends before its end, and so on.
        self.odd = odd

    def of(self, *kinds):
        return [part for part in self.parts if part[0] in kinds]

    def words(self, *kinds):
        return "".join(part[1] for part in self.of(*kinds))

    def whole(self, dialect, model):
        return getattr(self, "whole_" + dialect)(model)

    def events(self, dialect, model):
        """The events of a stream, each as text."""
        events = list(getattr(self, "stream_" + dialect)(model))
        if (cut := self.odd.get("cut")) is not None:
            events = events[: int(len(events) * cut)]
        if error := self.odd.get("error"):
            events = events[: len(events) // 2] + [ERRORS[dialect](error)]
        if self.odd.get("comments"):
            calm = ": keep-alive\n\n" if dialect != "messages" else 'event: ping\ndata: {"type": "ping"}\n\n'
            events = [one for event in events for one in (event, calm)]
        if self.odd.get("crlf"):
            events = [event.replace("\n", "\r\n") for event in events]
        return events

    # Chat completions.

    def whole_chat(self, model):
        calls = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for _, i, n, a in self.of("call")]
        message = {"role": "assistant", "content": self.words("text") or (None if self.parts else ""), "refusal": self.words("refusal") or None}
        message |= {"tool_calls": calls} if calls else {}
        message |= {self.thought(): self.words("thought")} if self.of("thought") else {}
        if cited := self.odd.get("cited"):
            message["annotations"] = [{"type": "url_citation", "url_citation": cited}]
        choice = {"index": 0, "message": message, "finish_reason": self.end_chat(), "logprobs": None}
        return self.head("chatcmpl-", "chat.completion", model) | {"choices": [choice]} | ({"usage": self.usage.chat()} if self.usage else {})

    def thought(self):
        return self.odd.get("thought", "reasoning_content")

    def head(self, prefix, kind, model):
        return {"id": prefix + ID, "object": kind, "created": 1790000000, "model": model}

    def end_chat(self):
        return {"calls": "tool_calls", "filter": "content_filter", "text": "stop"}.get(self.end, self.end)

    def stream_chat(self, model):
        head = self.head("chatcmpl-", "chat.completion.chunk", model)

        def chunk(delta, finish=None, **more):
            return "data: %s\n\n" % json.dumps(
                {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}], **more}, ensure_ascii=False
            )

        yield chunk({"role": "assistant", "content": ""})
        for kind, name in (("thought", self.thought()), ("text", "content"), ("refusal", "refusal")):
            for piece in pieces(self.words(kind)):
                yield chunk({name: piece})
        if cited := self.odd.get("cited"):
            yield chunk({"annotations": [{"type": "url_citation", "url_citation": cited}]})
        for index, opened, call, piece in self.call_pieces():
            _, call_id, name, _ = call
            index = 0 if self.odd.get("index 0") else index
            function = {"name": name} if opened or self.odd.get("repeats") else {}
            said = {"index": index, **({"id": call_id, "type": "function"} if function else {}), "function": function | {"arguments": piece}}
            yield chunk({"tool_calls": [said]})
        yield chunk({}, self.end_chat())
        if self.usage:
            yield "data: %s\n\n" % json.dumps({**head, "choices": [], "usage": self.usage.chat()})
        yield "data: [DONE]\n\n"

    def call_pieces(self):
        """The pieces of all calls: one call after the other, or in turns."""
        calls = self.of("call")
        of = [[""] + pieces(call[3]) for call in calls]
        if self.odd.get("at once"):
            of = [[call[3]] for call in calls]
        if self.odd.get("in turns"):
            rounds = max(map(len, of), default=0)
            order = [(index, at) for at in range(rounds) for index in range(len(of)) if at < len(of[index])]
        else:
            order = [(index, at) for index in range(len(of)) for at in range(len(of[index]))]
        for index, at in order:
            yield index, at == 0, calls[index], of[index][at]

    # Messages.

    def blocks(self):
        for kind, *said in self.parts:
            if kind == "thought":
                yield {"type": "thinking", "thinking": said[0], "signature": said[1]}
            elif kind == "hidden":
                yield {"type": "redacted_thinking", "data": said[0]}
            elif kind == "call":
                yield {"type": "tool_use", "id": said[0], "name": said[1], "input": json.loads(said[2] or "{}")}
            else:
                yield {"type": "text", "text": said[0]}

    def end_messages(self):
        return {
            "stop": "end_turn",
            "calls": "tool_use",
            "length": "max_tokens",
            "filter": "refusal",
            "text": "stop_sequence",
            "window": "model_context_window_exceeded",
        }[self.end]

    def whole_messages(self, model):
        message = {"id": "msg_" + ID, "type": "message", "role": "assistant", "model": model, "content": list(self.blocks())}
        message |= {"stop_reason": self.end_messages(), "stop_sequence": self.stop}
        return message | ({"usage": self.usage.messages()} if self.usage else {})

    def stream_messages(self, model):
        def event(kind, **members):
            return "event: %s\ndata: %s\n\n" % (kind, json.dumps({"type": kind, **members}, ensure_ascii=False))

        start = self.whole_messages(model) | {"content": [], "stop_reason": None, "stop_sequence": None}
        if self.usage:
            start["usage"] = start["usage"] | {"output_tokens": 1}
        yield event("message_start", message=start)
        for index, (part, block) in enumerate(zip(self.parts, self.blocks())):
            kind = block["type"]
            empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}, "tool_use": {"input": {}}}.get(kind, {})
            yield event("content_block_start", index=index, content_block=block | empty)
            name, member = {"tool_use": ("input_json_delta", "partial_json")}.get(kind, (f"{kind}_delta", kind))
            whole = part[3] if kind == "tool_use" else block.get(kind, "")
            for piece in pieces(whole):
                yield event("content_block_delta", index=index, delta={"type": name, member: piece})
            if kind == "thinking":
                yield event("content_block_delta", index=index, delta={"type": "signature_delta", "signature": block["signature"]})
            yield event("content_block_stop", index=index)
        usage = {"usage": {"output_tokens": self.usage.answer}} if self.usage else {}
        yield event("message_delta", delta={"stop_reason": self.end_messages(), "stop_sequence": self.stop}, **usage)
        yield event("message_stop")

    # Responses.

    def items(self):
        for at, (kind, *said) in enumerate(self.parts):
            if kind == "thought":
                yield {"type": "reasoning", "id": f"rs_{at}", "summary": [{"type": "summary_text", "text": said[0]}], "encrypted_content": said[1]}
            elif kind == "call":
                yield {"type": "function_call", "id": f"fc_{at}", "call_id": said[0], "name": said[1], "arguments": said[2], "status": "completed"}
            else:
                part = {"type": "refusal", "refusal": said[0]} if kind == "refusal" else self.text(said[0])
                yield {"type": "message", "id": f"msg_{at}", "role": "assistant", "status": "completed", "content": [part]}

    def text(self, text):
        cited = self.odd.get("cited")
        return {"type": "output_text", "text": text, "annotations": [{"type": "url_citation", **cited}] if cited else [], "logprobs": []}

    def whole_responses(self, model):
        details = {"length": "max_output_tokens", "filter": "content_filter"}.get(self.end)
        failure = self.odd.get("failed")
        return {
            "id": "resp_" + ID,
            "object": "response",
            "created_at": 1790000000,
            "status": "failed" if failure else "incomplete" if details else "completed",
            "error": {"code": "server_error", "message": failure} if failure else None,
            "incomplete_details": {"reason": details} if details else None,
            "instructions": None,
            "metadata": {},
            "model": model,
            "output": list(self.items()),
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
        } | ({"usage": self.usage.responses()} if self.usage else {})

    def stream_responses(self, model):
        number = -1

        def event(kind, **members):
            nonlocal number
            number += 1
            return "event: %s\ndata: %s\n\n" % (kind, json.dumps({"type": kind, "sequence_number": number, **members}, ensure_ascii=False))

        whole, items = self.whole_responses(model), list(self.items())
        begun = whole | {"status": "in_progress", "output": [], "incomplete_details": None, "usage": None, "error": None}
        yield event("response.created", response=begun)
        yield event("response.in_progress", response=begun)
        calls = [(at, item) for at, item in enumerate(items) if item["type"] == "function_call"]
        for at, item in enumerate([] if self.odd.get("last only") else items):
            if item["type"] == "function_call" and self.odd.get("in turns"):
                continue
            yield from self.item_events(event, at, item)
        if self.odd.get("in turns"):
            for index, opened, _, piece in self.call_pieces():
                at, item = calls[index]
                if opened:
                    yield event("response.output_item.added", output_index=at, item=item | {"status": "in_progress", "arguments": ""})
                if piece:
                    yield event("response.function_call_arguments.delta", output_index=at, item_id=item["id"], delta=piece)
            for at, item in calls:
                yield event(
                    "response.function_call_arguments.done", output_index=at, item_id=item["id"], arguments=item["arguments"], name=item["name"]
                )
                yield event("response.output_item.done", output_index=at, item=item)
        yield event("response." + whole["status"], response=whole)

    def item_events(self, event, at, item):
        place = {"output_index": at, "item_id": item["id"]}
        if item["type"] == "function_call":
            yield event("response.output_item.added", output_index=at, item=item | {"status": "in_progress", "arguments": ""})
            for piece in pieces(item["arguments"]):
                yield event("response.function_call_arguments.delta", **place, delta=piece)
            yield event("response.function_call_arguments.done", **place, arguments=item["arguments"], name=item["name"])
        elif item["type"] == "reasoning":
            [part] = item["summary"]
            yield event("response.output_item.added", output_index=at, item=item | {"summary": []})
            yield event("response.reasoning_summary_part.added", **place, summary_index=0, part=part | {"text": ""})
            for piece in pieces(part["text"]):
                yield event("response.reasoning_summary_text.delta", **place, summary_index=0, delta=piece)
            yield event("response.reasoning_summary_text.done", **place, summary_index=0, text=part["text"])
            yield event("response.reasoning_summary_part.done", **place, summary_index=0, part=part)
        else:
            [part] = item["content"]
            kind, place = part["type"], place | {"content_index": 0}
            member, more = ("refusal", {}) if kind == "refusal" else ("text", {"logprobs": []})
            empty = {member: ""} | ({} if kind == "refusal" else {"annotations": []})
            yield event("response.output_item.added", output_index=at, item=item | {"status": "in_progress", "content": []})
            yield event("response.content_part.added", **place, part=part | empty)
            for piece in pieces(part[member]):
                yield event(f"response.{kind}.delta", **place, delta=piece, **more)
            for number, annotation in enumerate(part.get("annotations") or []):
                yield event("response.output_text.annotation.added", **place, annotation_index=number, annotation=annotation)
            yield event(f"response.{kind}.done", **place, **{member: part[member]}, **more)
            yield event("response.content_part.done", **place, part=part)
        yield event("response.output_item.done", output_index=at, item=item)


ERRORS = {
    "chat": lambda text: "data: %s\n\n" % json.dumps({"error": {"message": text, "type": "server_error", "param": None, "code": None}}),
    "messages": lambda text: "event: error\ndata: %s\n\n" % json.dumps({"type": "error", "error": {"type": "overloaded_error", "message": text}}),
    "responses": lambda text: (
        "event: error\ndata: %s\n\n" % json.dumps({"type": "error", "sequence_number": 99, "code": "server_error", "message": text, "param": None})
    ),
}
BODIES = {
    "chat": lambda kind, text: {"error": {"message": text, "type": kind, "param": None, "code": None}},
    "messages": lambda kind, text: {"type": "error", "error": {"type": kind, "message": text}},
    "responses": lambda kind, text: {"error": {"message": text, "type": kind, "param": None, "code": None}},
}


class Failure:
    """An error in place of an answer, of this status. `hidden`: in an answer of status 200."""

    def __init__(self, status, kind, text, headers=None, hidden=False):
        self.status, self.kind, self.text, self.headers, self.hidden = status, kind, text, headers or {}, hidden

    def body(self, dialect):
        return BODIES[dialect](self.kind, self.text)


class Case:
    """A case of an answer, in the dialects of `providers`, whole and as a stream if both are in `ways`. `asks` is what the client
    says besides, `end` why it must end for the client, where that is not why it says that it ended."""

    def __init__(self, name, answer, providers=DIALECTS, ways=("whole", "stream"), check="answer", asks=None, clients=DIALECTS, end=None):
        self.name, self.answer, self.providers, self.ways, self.check, self.asks = name, answer, providers, ways, check, asks or {}
        self.clients, self.end = clients, end or getattr(answer, "end", None)


TEXT = "Hello there, and a good morning."
ODD = '„Größe“ 日本語 😀 𝔘𝔫𝔦 \\ "quoted" \t tab\nnew line </script>'
THOUGHT = "First I look at the question, then I answer."
SEAL = "c2VhbGVkIHRob3VnaHQ="
FIRST, SECOND = (
    ("call", "call_a", "look_up", '{"city": "Zürich \\"am See\\"", "n": 12345678901234567890}'),
    ("call", "call_b", "count", '{"text": "two words"}'),
)
CITED = {"start_index": 0, "end_index": 5, "url": "https://example.com/hello", "title": "Hello"}
LONG = "A prompt that has enough words for the tokens which the provider says it has. " * 40
STOPS = {"chat": {"stop": ["END"]}, "messages": {"stop_sequences": ["END"]}}
PROMPT = {
    "chat": {"messages": [{"role": "user", "content": LONG}]},
    "messages": {"messages": [{"role": "user", "content": LONG}]},
    "responses": {"input": LONG},
}
SAID = "Here are the words that the usage counts, some twenty of them, and no more than are needed for a test."
REASONED = "A chain of thought of about the same length, that is some twenty words for thirty tokens or fewer, as it comes."

CASES = [
    Case("a text", Answer(("text", TEXT))),
    Case("letters cut in their bytes", Answer(("text", ODD), bytes=3), ways=("stream",)),
    Case("letters and escapes", Answer(("text", ODD)), ways=("whole",)),
    Case("an empty answer", Answer(usage=Usage(20, 1))),
    Case("reasoning and text", Answer(("thought", THOUGHT, SEAL), ("text", TEXT), usage=Usage(20, 24))),
    Case("reasoning, the other name", Answer(("thought", THOUGHT, SEAL), ("text", TEXT), thought="reasoning", usage=Usage(20, 24)), ("chat",)),
    Case("hidden reasoning and text", Answer(("hidden", SEAL), ("text", TEXT)), ("messages",)),
    Case("a call", Answer(FIRST, end="calls", usage=Usage(60, 30))),
    Case("two calls at once", Answer(FIRST, SECOND, end="calls", usage=Usage(60, 40))),
    Case(
        "two calls, pieces in turns",
        Answer(FIRST, SECOND, end="calls", usage=Usage(60, 40), **{"in turns": True}),
        ("chat", "responses"),
        ("stream",),
    ),
    Case("calls, each in one piece", Answer(FIRST, SECOND, end="calls", usage=Usage(60, 40), **{"at once": True}), ("chat",), ("stream",)),
    Case("calls, id and name repeated", Answer(FIRST, SECOND, end="calls", usage=Usage(60, 40), repeats=True), ("chat",), ("stream",)),
    Case("calls, all of index 0", Answer(FIRST, SECOND, end="calls", usage=Usage(60, 40), **{"index 0": True}), ("chat",), ("stream",)),
    Case(
        "calls without ids", Answer(*(("call", "", *call[2:]) for call in (FIRST, SECOND)), end="calls", usage=Usage(60, 40)), ("chat",), check="ids"
    ),
    Case("calls that end with `stop`", Answer(FIRST, SECOND, end="stop", usage=Usage(60, 40)), ("chat",), end="calls"),
    Case("a call without arguments", Answer(("call", "call_a", "look_up", "{}"), end="calls", usage=Usage(60, 12))),
    Case("a call, arguments empty", Answer(("call", "call_a", "look_up", ""), end="calls", usage=Usage(60, 12))),
    Case(
        "arguments that are no JSON", Answer(("call", "call_a", "look_up", '{"city": "Zür'), end="calls", usage=Usage(60, 20)), ("chat", "responses")
    ),
    Case("reasoning, text and calls", Answer(("thought", THOUGHT, SEAL), ("text", TEXT), FIRST, SECOND, end="calls", usage=Usage(60, 70))),
    Case("text after a call", Answer(("text", TEXT), FIRST, ("text", " And then."), end="calls", usage=Usage(60, 50)), ("messages", "responses")),
    Case("a refusal", Answer(("refusal", "I cannot help with that.")), ("chat", "responses")),
    Case("URL citations", Answer(("text", TEXT), cited=CITED), ("chat", "responses"), check="cited", clients=("chat", "responses")),
    Case("ended by its length", Answer(("text", TEXT), end="length")),
    Case("reasoning, cut by its length", Answer(("thought", THOUGHT, SEAL), end="length")),
    Case("ended by the context's length", Answer(("text", TEXT), end="window"), ("messages",), end="length"),
    Case("ended by a filter", Answer(("text", TEXT), end="filter")),
    Case("ended by a stop text", Answer(("text", TEXT), end="text", stop="END"), ("messages", "chat"), asks=STOPS),
    Case("usage", Answer(("text", SAID), usage=Usage(600, 22)), check="usage", asks=PROMPT),
    Case("usage with a cache", Answer(("text", SAID), usage=Usage(600, 22, cached=256)), check="usage", asks=PROMPT),
    Case(
        "usage with writes to a cache",
        Answer(("text", SAID), usage=Usage(600, 22, cached=256, written=128)),
        ("messages",),
        check="usage",
        asks=PROMPT,
    ),
    Case(
        "usage with reasoning",
        Answer(("thought", REASONED, SEAL), ("text", SAID), usage=Usage(600, 46, reasoning=24)),
        ("chat", "responses"),
        check="usage",
        asks=PROMPT,
    ),
    Case("no usage", Answer(("text", SAID), usage=None), check="no usage", asks=PROMPT),
    Case("comments and pings", Answer(("text", TEXT), comments=True), ways=("stream",)),
    Case("lines that end in CR LF", Answer(("text", TEXT), crlf=True), ways=("stream",)),
    Case("text in the last event alone", Answer(("text", TEXT), **{"last only": True}), ("responses",), ("stream",)),
    Case("400 with its words", Failure(400, "invalid_request_error", "The prompt has a word that is too odd."), check="failure"),
    Case("429 with Retry-After", Failure(429, "rate_limit_error", "Too many requests, wait a second.", {"Retry-After": "1"}), check="failure"),
    Case("an error as 200", Failure(500, "api_error", "The engine lost its head.", hidden=True), ways=("whole",), check="failure"),
    Case("a failed response", Answer(("text", TEXT), failed="The engine lost its head."), ("responses",), ("whole",), check="failed"),
    Case("a failed response", Answer(("text", TEXT), failed="The engine lost its head."), ("responses",), ("stream",), check="error"),
    Case("cut in the middle", Answer(("text", TEXT * 3), cut=0.5), check="cut"),
    Case("closed without an end", Answer(("text", TEXT * 3), cut=0.5, quiet=True), ways=("stream",), check="cut"),
    Case("cut within a call", Answer(FIRST, end="calls", cut=0.6), ways=("stream",), check="cut"),
    Case("an error after some text", Answer(("text", TEXT * 3), error="The engine lost its head."), ways=("stream",), check="error"),
]
