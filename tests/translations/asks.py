"""The request cases: what a client says, in its own dialect, and what of it must arrive."""

import base64
import json
import struct
import zlib

from bodies import Body

DIALECTS = ("chat", "messages", "responses")
QUESTION = "Please say hello."
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Its name"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = ("look_up", "Looks a city up", SCHEMA)
OTHER = (
    "count",
    "Counts letters",
    {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"], "additionalProperties": False},
)


def picture():
    """A PNG of 16 by 16 pixels."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes([200, 30, y * 15] * 16) for y in range(16))
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    return base64.b64encode(data).decode()


PNG = picture()
INLINE, LINKED = f"data:image/png;base64,{PNG}", "https://example.com/cat.png"
PDF = base64.b64encode(
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
).decode()
WAV = base64.b64encode(b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\0\0\0").decode()
SEAL = base64.b64encode(b"sealed thought of the model").decode()


# A conversation, in each dialect. A turn is (role, part, …); a part is a text, or a tuple as below.


def image(url, detail=None):
    return ("image", url, detail)


def call(call_id, name, arguments):
    return ("call", call_id, name, arguments)


def result(call_id, *content, failed=False):
    return ("result", call_id, content, failed)


def chat_part(part):
    if isinstance(part, str):
        return {"type": "text", "text": part}
    _, url, detail = part
    return {"type": "image_url", "image_url": {"url": url, **({"detail": detail} if detail else {})}}


def say_chat(turns):
    messages = []
    for role, *parts in turns:
        plain = [part for part in parts if isinstance(part, str) or part[0] == "image"]
        content = plain[0] if len(plain) == 1 and isinstance(plain[0], str) else [chat_part(part) for part in plain] or None
        calls = [part for part in parts if part[0] == "call"]
        results = [part for part in parts if part[0] == "result"]
        for _, call_id, said, _ in results:
            text = said[0] if len(said) == 1 else [chat_part(part) for part in said]
            messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
        if results and not plain:
            continue
        message = {"role": role, "content": content}
        if calls:
            message["tool_calls"] = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for _, i, n, a in calls]
        messages.append(message)
    return {"messages": messages}


def messages_part(part):
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if part[0] == "image":
        inline = part[1].removeprefix("data:image/png;base64,")
        source = {"type": "url", "url": part[1]} if inline == part[1] else {"type": "base64", "media_type": "image/png", "data": inline}
        return {"type": "image", "source": source}
    if part[0] == "call":
        return {"type": "tool_use", "id": part[1], "name": part[2], "input": Raw(part[3])}
    _, call_id, said, failed = part
    content = said[0] if len(said) == 1 and isinstance(said[0], str) else [messages_part(inner) for inner in said]
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **({"is_error": True} if failed else {})}


def say_messages(turns):
    system = [part for role, *parts in turns if role == "system" for part in parts]
    said = {"messages": [{"role": role, "content": [messages_part(part) for part in parts]} for role, *parts in turns if role != "system"]}
    return said | ({"system": [messages_part(part) for part in system]} if system else {})


def responses_part(role, part):
    if isinstance(part, str):
        return {"type": "output_text", "text": part, "annotations": []} if role == "assistant" else {"type": "input_text", "text": part}
    return {"type": "input_image", "image_url": part[1], "detail": part[2] or "auto"}


def say_responses(turns):
    items = []
    for role, *parts in turns:
        plain = []
        for part in parts:
            if isinstance(part, str) or part[0] == "image":
                if not plain:
                    items.append({"type": "message", "role": role, "content": plain})
                plain.append(responses_part(role, part))
                continue
            plain = []
            if part[0] == "call":
                items.append({"type": "function_call", "call_id": part[1], "name": part[2], "arguments": part[3]})
            else:
                said = part[2]
                output = said[0] if len(said) == 1 and isinstance(said[0], str) else [responses_part("user", inner) for inner in said]
                items.append({"type": "function_call_output", "call_id": part[1], "output": output})
    return {"input": items}


SAY = {"chat": say_chat, "messages": say_messages, "responses": say_responses}


class Raw:
    """JSON that is written as it is."""

    def __init__(self, text):
        self.text = text


def dump(body):
    """A body as JSON, with every `Raw` in its own digits."""
    held = []

    def hold(value):
        held.append(value.text)
        return f"raw{len(held) - 1}!"

    text = json.dumps(body, default=hold, ensure_ascii=False)
    for place, raw in enumerate(held):
        text = text.replace(f'"raw{place}!"', raw)
    return text


def function(dialect, tool, strict=None):
    name, description, schema = tool
    said = {"name": name, "description": description, ("input_schema" if dialect == "messages" else "parameters"): schema}
    if strict is not None:
        said["strict"] = strict
    if dialect == "chat":
        return {"type": "function", "function": said}
    return {"type": "function", **said} if dialect == "responses" else said


def with_tools(dialect, *tools, strict=None, **more):
    return {"tools": [function(dialect, tool, strict) for tool in tools or (TOOL, OTHER)], **more}


class Ask:
    """A case: what is said by dialect, and what of the body that arrives is compared. `harmless` says why it may be left out,
    `usual` that it is so without a word, `first` that another request comes before, whose answer is named, and `at` what a
    refusal must name."""

    def __init__(self, name, wants, says, harmless=None, usual=False, first=False, at=None):
        self.name, self.wants, self.says, self.harmless, self.usual, self.first = name, wants, says, harmless, usual, first
        self.at = at or {}

    def means(self, dialect, text):
        """Whether the case says anything: what is compared is there, and is not there without it."""
        said = self.wants(Body(dialect, text))
        without = self.wants(Body(dialect, dump({"model": "x"} | Ask("", None, {dialect: {}}).body(dialect))))
        return bool(said) and (self.usual or said != without)

    def body(self, dialect):
        if dialect not in self.says:
            return None
        base = {"messages": {"max_tokens": 512}}.get(dialect, {})
        return base | SAY[dialect]([("user", QUESTION)]) | self.says[dialect]


def everywhere(turns, **more):
    return {dialect: SAY[dialect](turns) | {name: make(dialect) for name, make in more.items()} for dialect in DIALECTS}


def only(says, *dialects):
    return {dialect: says[dialect] for dialect in dialects}


def member(name, value, *dialects):
    return {dialect: {name: value} for dialect in dialects}


# What is compared.


def field(*names):
    return lambda body: body.get(*names)


def words(*roles):
    return lambda body: [word for part in body.of("text") if part[0] in roles for word in part[2].split()]


def parts(*kinds):
    return lambda body: body.of(*kinds)


def order(body):
    """Who said what, in its order."""
    return [(part[0], part[2]) for part in body.of("text")]


def pictures(body):
    return [part[2] for part in body.of("image")]


def details(body):
    return [part[3] for part in body.of("image") if part[3]]


def returned(body):
    return [(part[2], [inner[1:3] for inner in part[3]]) for part in body.of("result")]


def returned_words(body):
    return [word for part in body.of("result") for inner in part[3] if inner[1] == "text" for word in inner[2].split()]


def failed(body):
    return [part[2] for part in body.of("result") if part[4]]


def sequence(body):
    return [part[:3] for part in body.of("text", "call", "image")]


def tools(body):
    return [tool[:3] for tool in body.tools]


def strict(body):
    return [(tool[0], tool[3]) for tool in body.tools]


def grouped(body):
    """The schemas of functions, in groups or not."""
    of_groups = [inner["parameters"] for tool in body.hosted if tool["type"] == "namespace" for inner in tool["tools"]]
    return of_groups + [tool[2] for tool in body.tools]


def hosted(body):
    """Tools that run at the provider, by what they are."""
    return [tool["type"].split("_20")[0] for tool in body.hosted] + (["mcp"] if body.get("mcp_servers") else [])


def effort(body):
    """The effort; where it became a number of tokens, that."""
    return body.get("effort") or body.get("budget")


def budget(body):
    return body.get("budget") or body.get("effort")


CITIES = [call("call_a", "look_up", '{"city":"Zürich"}'), call("call_b", "count", '{"text":"two words"}')]
TOLD = [result("call_a", "It is in Switzerland"), result("call_b", "nine")]
TALK = [("user", "What of Zürich?"), ("assistant", "I look it up.", *CITIES), ("user", *TOLD)]
ODD = r'{"city":"„Zürich“ \"quoted\" back\\slash \n 日本 😀 </script> \u0007","list":[true,null,{"a b":""}]}'
ORDERED = (
    "sort",
    "Sorts",
    {"type": "object", "properties": {"z": {"type": "integer", "maximum": 12345678901234567890123}, "a": {"type": "string"}, "m": {"type": "null"}}},
)
LONG = '{"big":12345678901234567890123,"small":0.1,"round":1.0,"power":1e-7,"fine":0.12345678901234567890123}'
WORDS = '  „Größe“ 日本 😀 \\ "quoted" \t tab\r\n\nline </script> {{x}} <|im_start|>  \n'
SINGLE = [("user", "What of Zürich?"), ("assistant", call("call_a", "look_up", '{"city":"Zürich"}'))]
AFTER = [("user", "What of Zürich?"), ("assistant", "Before.", call("call_a", "look_up", "{}"), "After."), ("user", result("call_a", "nothing"))]


def odd(arguments):
    return [("user", "What of it?"), ("assistant", call("call_a", "look_up", arguments)), ("user", result("call_a", "nothing"))]


def chat_schema(**more):
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA, **more}}}


def responses_schema(**more):
    return {"text": {"format": {"type": "json_schema", "name": "city", "schema": SCHEMA, **more}}}


MESSAGES_SCHEMA = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}


def sealed_chat():
    said = say_chat(TALK)
    said["messages"][1]["reasoning_content"] = "I should look."
    return said


def sealed_messages(signature, *later):
    said = say_messages([*TALK, *later])
    said["messages"][1]["content"].insert(0, {"type": "thinking", "thinking": "I should look.", "signature": signature})
    return said


def sealed_responses(seal, *later):
    said = say_responses([*TALK, *later])
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "I should look."}]}
    said["input"].insert(1, thought | ({"encrypted_content": seal} if seal else {}))
    return said


def question_after():
    """In messages both are of one turn."""
    apart, together = [*TALK, ("user", "And Bern?")], [*TALK[:-1], ("user", *TOLD, "And Bern?")]
    said = {dialect: SAY[dialect](together if dialect == "messages" else apart) for dialect in DIALECTS}
    return {dialect: said[dialect] | with_tools(dialect) for dialect in DIALECTS}


def detail_at_the_end():
    """After rules, and results that are messages of their own."""
    end = ("user", QUESTION, image(LINKED, "low"))
    said = {"chat": say_chat([("system", "Be brief."), *TALK, end]), "responses": say_responses([*TALK, end]) | {"instructions": "Be brief."}}
    # In chat: system, user, calls, two results, and this; in responses: user, text, two calls, two results, and this.
    return {dialect: said[dialect] | with_tools(dialect) for dialect in said}


def block(dialect, part):
    said = SAY[dialect]([("user", QUESTION)])
    message = said["input" if dialect == "responses" else "messages"][0]
    message["content"] = [{"type": {"responses": "input_text"}.get(dialect, "text"), "text": QUESTION}, part]
    return said


REFUSED = "I cannot help with that."
LATER = [("assistant", "It is in Switzerland."), ("user", "And Bern?")]


def refused_chat():
    said = say_chat([("user", "Do it."), ("assistant", "x"), ("user", "Why not?")])
    said["messages"][1] = {"role": "assistant", "content": None, "refusal": REFUSED}
    return said


def refused_responses():
    said = say_responses([("user", "Do it."), ("assistant", "x"), ("user", "Why not?")])
    said["input"][1]["content"] = [{"type": "refusal", "refusal": REFUSED}]
    return said


def marked():
    said = say_messages([("system", "Be brief."), ("user", QUESTION)])
    said["system"][0]["cache_control"] = said["messages"][0]["content"][0]["cache_control"] = {"type": "ephemeral"}
    return said


def named():
    said = say_chat([("user", QUESTION)])
    said["messages"][0]["name"] = "ada"
    return said


def signed_call():
    """As Gemini's chat completions have it: it must come back."""
    said = say_chat(TALK) | with_tools("chat")
    said["messages"][1]["tool_calls"][0]["extra_content"] = {"google": {"thought_signature": SEAL}}
    return said


def search_result():
    said = say_messages(TALK)
    said["messages"][2]["content"][0]["content"] = [
        {"type": "search_result", "source": "https://example.com/z", "title": "Zürich", "content": [{"type": "text", "text": "A city"}]}
    ]
    return said


WEB = {
    "chat": {"web_search_options": {}},
    "messages": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "responses": {"tools": [{"type": "web_search"}]},
}
CUSTOM = {"name": "patch", "description": "Takes a patch"}
SOME = {
    "chat": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "count"}}]}},
    "responses": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "count"}]},
}
NAMED = {
    "chat": {"type": "function", "function": {"name": "count"}},
    "messages": {"type": "tool", "name": "count"},
    "responses": {"type": "function", "name": "count"},
}
FIRST_ID = "the id of the first answer"


def continued(body):
    """Whether the first question and its answer are there, or named."""
    return bool(body.get("previous_response_id")) or [part[2] for part in body.of("text")] == ["The first question", "Hello.", QUESTION]


def strange(where):
    """A conversation with a member that no API has, somewhere within."""
    bodies = {d: SAY[d]([*TALK, ("user", QUESTION)]) | with_tools(d) for d in DIALECTS}
    bodies["chat"] |= chat_schema(strict=True)
    bodies["messages"] |= MESSAGES_SCHEMA
    bodies["responses"] |= responses_schema(strict=True)
    bodies = {d: json.loads(dump(body)) for d, body in bodies.items()}
    chat, messages, responses = bodies["chat"], bodies["messages"], bodies["responses"]
    chat["messages"][-1]["content"] = [{"type": "text", "text": QUESTION}]
    places = {
        "text": (chat["messages"][-1]["content"][0], messages["messages"][-1]["content"][0], responses["input"][-1]["content"][0]),
        "function": (chat["tools"][0]["function"], messages["tools"][0], responses["tools"][0]),
        "call": (chat["messages"][1]["tool_calls"][0], messages["messages"][1]["content"][1], responses["input"][2]),
        "result": (chat["messages"][2], messages["messages"][2]["content"][0], responses["input"][4]),
        "schema's form": (chat["response_format"]["json_schema"], messages["output_config"]["format"], responses["text"]["format"]),
    }
    for place in places[where]:
        place["frobnicate"] = 7
    return bodies


WHO = "who the user is changes nothing of what is asked"
CACHE = "how caches and queues are used changes nothing of what is asked"


def choice(chat, messages, responses):
    said = {"chat": chat, "messages": messages, "responses": responses}
    return {dialect: with_tools(dialect, tool_choice=value) for dialect, value in said.items()}


ASKS = [
    # What was said.
    Ask(
        "rules of the system",
        words("system"),
        {
            "chat": say_chat([("system", "Be brief. Be kind."), ("user", QUESTION)]),
            "messages": {"system": "Be brief. Be kind."},
            "responses": {"instructions": "Be brief. Be kind."},
        },
    ),
    Ask(
        "several texts of rules",
        words("system"),
        {
            "chat": {
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "developer", "content": "Be kind."},
                    {"role": "user", "content": QUESTION},
                ]
            },
            "messages": say_messages([("system", "Be brief.", "Be kind."), ("user", QUESTION)]),
            "responses": {
                "instructions": "Be brief.",
                "input": [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": QUESTION}],
            },
        },
    ),
    Ask("letters, spaces and line ends", lambda body: [part[2] for part in body.of("text")], everywhere([("user", WORDS)])),
    Ask(
        "a rule in the middle",
        order,
        only(everywhere([("user", "Say hello."), ("assistant", "Hello."), ("system", "Now be formal."), ("user", QUESTION)]), "chat", "responses"),
    ),
    Ask("two calls at once", parts("call"), everywhere(TALK, tools=lambda d: with_tools(d)["tools"])),
    Ask("their results, in order", returned, everywhere(TALK, tools=lambda d: with_tools(d)["tools"])),
    Ask("text before a call", sequence, everywhere(TALK, tools=lambda d: with_tools(d)["tools"])),
    Ask("text after a call", sequence, only(everywhere(AFTER, tools=lambda d: with_tools(d)["tools"]), "messages", "responses")),
    Ask("arguments: letters, escapes", parts("call"), everywhere(odd(ODD), tools=lambda d: with_tools(d)["tools"])),
    Ask("arguments: digits of numbers", parts("call"), everywhere(odd(LONG), tools=lambda d: with_tools(d)["tools"])),
    Ask("arguments: minus zero", parts("call"), everywhere(odd('{"minus":-0}'), tools=lambda d: with_tools(d)["tools"])),
    Ask(
        "arguments: control characters",
        parts("call"),
        everywhere(odd('{"a":"\\u0000\\u0001\\u001f\\u2028","b":"\\u0001number:x"}'), tools=lambda d: with_tools(d)["tools"]),
    ),
    Ask(
        "arguments that are no JSON",
        parts("call"),
        only(everywhere(odd('{"city": "Zür'), tools=lambda d: with_tools(d)["tools"]), "chat", "responses"),
    ),
    Ask(
        "a result that failed",
        failed,
        only(everywhere([*SINGLE, ("user", result("call_a", "disk full", failed=True))], tools=lambda d: with_tools(d)["tools"]), "messages"),
    ),
    Ask(
        "a result of several texts",
        returned_words,
        everywhere([*SINGLE, ("user", result("call_a", "one", "two"))], tools=lambda d: with_tools(d)["tools"]),
    ),
    Ask(
        "an empty result",
        lambda body: [part[2] for part in body.of("result")],
        everywhere([*SINGLE, ("user", result("call_a", ""))], tools=lambda d: with_tools(d)["tools"]),
    ),
    Ask("a question after the results", lambda body: [part[1:3] for part in body.of("result", "text")], question_after()),
    Ask(
        "an image in a result",
        lambda body: [inner[2] for part in body.of("result") for inner in part[3] if inner[1] == "image"],
        only(
            everywhere([*SINGLE, ("user", result("call_a", "See", image(INLINE)))], tools=lambda d: with_tools(d)["tools"]), "messages", "responses"
        ),
    ),
    Ask(
        "an image in a result, after rules",
        lambda body: [inner[2] for part in body.of("result") for inner in part[3] if inner[1] == "image"],
        {"messages": say_messages([("system", "Be brief."), *SINGLE, ("user", result("call_a", "See", image(INLINE)))]) | with_tools("messages")},
        at={"messages": "messages.2"},
    ),
    Ask(
        "a search result with its source",
        lambda body: [inner[2] for part in body.of("result") for inner in part[3] if inner[1] == "search_result"],
        {"messages": search_result() | with_tools("messages")},
    ),
    Ask("an image, inline", pictures, everywhere([("user", QUESTION, image(INLINE))])),
    Ask("an image by URL", pictures, everywhere([("user", QUESTION, image(LINKED))])),
    Ask("its detail", details, only(everywhere([("user", QUESTION, image(LINKED, "low"))]), "chat", "responses")),
    Ask("its detail, in a long history", details, detail_at_the_end(), at={"chat": "messages.5", "responses": "input.6"}),
    Ask("texts and images in turns", sequence, everywhere([("user", "One:", image(INLINE), "Two:", image(LINKED), QUESTION)])),
    Ask(
        "a document",
        lambda body: [part[3] for part in body.of("file")],
        {
            "chat": block("chat", {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}}),
            "messages": block(
                "messages", {"type": "document", "title": "a.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
            ),
            "responses": block("responses", {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}),
        },
    ),
    Ask(
        "a document that is to be cited",
        parts("cite"),
        {
            "messages": block(
                "messages",
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Plain words"}, "citations": {"enabled": True}},
            )
        },
    ),
    Ask(
        "sound",
        lambda body: [part[2] for part in body.of("audio")],
        {"chat": block("chat", {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}})},
    ),
    Ask("a speaker's name", parts("name"), {"chat": named()}),
    Ask(
        "a refusal in the history",
        lambda body: [part[2] for part in body.of("refusal", "text") if part[2] == REFUSED],
        {"chat": refused_chat(), "responses": refused_responses()},
    ),
    Ask(
        "sealed reasoning, needed",
        parts("sealed"),
        {"messages": sealed_messages(SEAL) | with_tools("messages"), "responses": sealed_responses(SEAL) | with_tools("responses")},
    ),
    Ask("a call with a sealed thought", lambda body: "thought_signature" in json.dumps(body.members), {"chat": signed_call()}),
    Ask(
        "sealed reasoning, earlier",
        parts("sealed"),
        {"messages": sealed_messages(SEAL, *LATER) | with_tools("messages"), "responses": sealed_responses(SEAL, *LATER) | with_tools("responses")},
        harmless="providers do not show reasoning of turns before the last one to the model",
    ),
    Ask(
        "reasoning without a seal",
        parts("thought"),
        {
            "chat": sealed_chat() | with_tools("chat"),
            "messages": sealed_messages("") | with_tools("messages"),
            "responses": sealed_responses("") | with_tools("responses"),
        },
    ),
    Ask(
        "an answer that is begun",
        lambda body: body.parts[-1] if body.parts[-1][0] == "assistant" else None,
        {"messages": say_messages([("user", QUESTION), ("assistant", "Hel")])},
    ),
    # Functions.
    Ask("functions and their schemas", tools, {d: with_tools(d) for d in DIALECTS}),
    Ask("the order in a schema", lambda body: [list(tool[2]["properties"]) for tool in body.tools], {d: with_tools(d, ORDERED) for d in DIALECTS}),
    Ask(
        "digits in a schema",
        lambda body: [tool[2]["properties"]["z"]["maximum"] for tool in body.tools],
        {d: with_tools(d, ORDERED) for d in DIALECTS},
    ),
    Ask(
        "a function that is loaded late",
        lambda body: [tool["defer_loading"] for tool in body.members.get("tools") or [] if "defer_loading" in tool],
        {d: {"tools": [function(d, TOOL, False) | {"defer_loading": True}]} for d in ("messages", "responses")},
    ),
    Ask("functions, the oldest form", tools, {"chat": {"functions": [function("chat", TOOL)["function"]]}}),
    Ask(
        "functions in a group",
        grouped,
        {"responses": {"tools": [{"type": "namespace", "name": "maps", "description": "Maps", "tools": [function("responses", TOOL, False)]}]}},
    ),
    Ask("strict functions", strict, {d: with_tools(d, TOOL, strict=True) for d in DIALECTS}),
    Ask("functions that are not strict", strict, {d: with_tools(d, TOOL, strict=False) for d in DIALECTS}),
    Ask("functions without that word", strict, {d: with_tools(d, TOOL) for d in DIALECTS}),
    Ask("choice: auto", field("choice"), choice("auto", {"type": "auto"}, "auto"), usual=True),
    Ask("choice: must call", field("choice"), choice("required", {"type": "any"}, "required")),
    Ask("choice: must not call", field("choice"), choice("none", {"type": "none"}, "none")),
    Ask("choice: one function", field("choice"), choice(NAMED["chat"], NAMED["messages"], NAMED["responses"])),
    Ask("choice: some functions", field("choice"), {d: with_tools(d, tool_choice=SOME[d]) for d in SOME}),
    Ask(
        "one call at most",
        field("one_call"),
        {
            "chat": with_tools("chat", parallel_tool_calls=False),
            "responses": with_tools("responses", parallel_tool_calls=False),
            "messages": with_tools("messages", tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
        },
    ),
    Ask(
        "a tool without a schema",
        hosted,
        {"chat": {"tools": [{"type": "custom", "custom": CUSTOM}]}, "responses": {"tools": [{"type": "custom", **CUSTOM}]}},
    ),
    Ask(
        "web search beside functions",
        hosted,
        {
            "chat": with_tools("chat") | WEB["chat"],
            "messages": {"tools": with_tools("messages")["tools"] + WEB["messages"]["tools"]},
            "responses": {"tools": with_tools("responses")["tools"] + WEB["responses"]["tools"]},
        },
    ),
    Ask("web search alone", hosted, WEB),
    Ask(
        "code that the provider runs",
        hosted,
        {
            "messages": {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]},
            "responses": {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
        },
    ),
    Ask(
        "MCP servers",
        hosted,
        {
            "messages": {"mcp_servers": [{"type": "url", "url": "https://example.com/mcp", "name": "m"}]},
            "responses": {"tools": [{"type": "mcp", "server_label": "m", "server_url": "https://example.com/mcp"}]},
        },
    ),
    # The form of the answer.
    Ask(
        "any JSON object",
        field("format"),
        {"chat": {"response_format": {"type": "json_object"}}, "responses": {"text": {"format": {"type": "json_object"}}}},
    ),
    Ask(
        "JSON of a schema",
        field("format"),
        {"chat": chat_schema(strict=True), "messages": MESSAGES_SCHEMA, "responses": responses_schema(strict=True)},
    ),
    Ask(
        "strictly",
        field("strict format"),
        {"chat": chat_schema(strict=True), "messages": MESSAGES_SCHEMA, "responses": responses_schema(strict=True)},
    ),
    Ask(
        "with a description",
        field("format's description"),
        {"chat": chat_schema(strict=True, description="A city"), "responses": responses_schema(strict=True, description="A city")},
    ),
    Ask("verbosity", field("verbosity"), {"chat": {"verbosity": "low"}, "responses": {"text": {"verbosity": "low"}}}),
    Ask("several answers", field("n"), {"chat": {"n": 2}}),
    Ask(
        "probabilities of tokens",
        field("logprobs", "top_logprobs"),
        {"chat": {"logprobs": True, "top_logprobs": 2}, "responses": {"include": ["message.output_text.logprobs"], "top_logprobs": 2}},
    ),
    Ask("an answer in sound", field("audio"), {"chat": {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}}),
    Ask("a prediction", field("prediction"), {"chat": {"prediction": {"type": "content", "content": "Hello"}}}),
    # How it is found.
    Ask("temperature", field("temperature"), member("temperature", 0.3, *DIALECTS)),
    Ask("temperature above 1", field("temperature"), member("temperature", 1.5, "chat", "responses")),
    Ask("top_p", field("top_p"), member("top_p", 0.9, *DIALECTS)),
    Ask("top_k", field("top_k"), member("top_k", 40, "messages")),
    Ask("min_p", field("min_p"), member("min_p", 0.05, "chat")),
    Ask("a text that ends it", field("stop"), {"chat": {"stop": "END"}, "messages": {"stop_sequences": ["END"]}}),
    Ask("five texts that end it", field("stop"), {"messages": {"stop_sequences": ["A1", "B2", "C3", "D4", "E5"]}}),
    Ask(
        "most tokens", field("limit"), {"chat": {"max_completion_tokens": 77}, "messages": {"max_tokens": 77}, "responses": {"max_output_tokens": 77}}
    ),
    Ask("most tokens, the older name", field("limit"), {"chat": {"max_tokens": 77}}),
    Ask("seed", field("seed"), member("seed", 7, "chat")),
    Ask("frequency penalty", field("frequency_penalty"), member("frequency_penalty", 0.5, "chat")),
    Ask("presence penalty", field("presence_penalty"), member("presence_penalty", 0.5, "chat")),
    Ask("logit_bias", field("logit_bias"), member("logit_bias", {"50256": -100}, "chat")),
    Ask(
        "effort: low",
        effort,
        {"chat": {"reasoning_effort": "low"}, "messages": {"output_config": {"effort": "low"}}, "responses": {"reasoning": {"effort": "low"}}},
    ),
    Ask(
        "effort: high",
        effort,
        {"chat": {"reasoning_effort": "high"}, "messages": {"output_config": {"effort": "high"}}, "responses": {"reasoning": {"effort": "high"}}},
    ),
    Ask("effort: minimal", effort, {"chat": {"reasoning_effort": "minimal"}, "responses": {"reasoning": {"effort": "minimal"}}}),
    Ask("effort: max", effort, {"messages": {"output_config": {"effort": "max"}}}),
    Ask("a budget of thinking", budget, {"messages": {"max_tokens": 4096, "thinking": {"type": "enabled", "budget_tokens": 2048}}}),
    Ask("summary of the reasoning", field("summary"), {"responses": {"reasoning": {"summary": "auto"}}}),
    Ask(
        "edits of the context",
        field("context_management"),
        member("context_management", {"edits": [{"type": "clear_tool_uses_20250919"}]}, "messages"),
    ),
    Ask("truncation", field("truncation"), member("truncation", "auto", "responses")),
    Ask("most calls of tools", field("max_tool_calls"), {"responses": with_tools("responses", max_tool_calls=3)}),
    Ask("an answer that is kept", continued, member("previous_response_id", FIRST_ID, "responses"), first=True),
    Ask("a member that no API has", lambda body: body.foreign.get("frobnicate"), member("frobnicate", 7, *DIALECTS)),
    *(
        Ask(f"such a member in a {where}", lambda body: "frobnicate" in json.dumps(body.members), strange(where))
        for where in ("text", "function", "call", "result", "schema's form")
    ),
    # What changes nothing.
    Ask(
        "who the user is",
        field("user", "metadata"),
        {"chat": {"user": "ada"}, "messages": {"metadata": {"user_id": "ada"}}, "responses": {"user": "ada"}},
        harmless=WHO,
    ),
    Ask("marks of caches", lambda body: "cache_control" in json.dumps(body.members) or None, {"messages": marked()}, harmless=CACHE),
    Ask("a key of caches", field("prompt_cache_key"), member("prompt_cache_key", "k", "chat", "responses"), harmless=CACHE),
    Ask("class of service", field("service_tier"), member("service_tier", "auto", *DIALECTS), harmless=CACHE),
]
