"""What became of a case: `kept`, `refused`, `left out`, `LOST`, `changed` or `error`, each with its detail."""

import json

from answers import Failure
from bodies import Body
from clients import Broken, failure, read

OUTCOMES = {"kept": "k", "refused": "r", "left out": "o", "LOST": "L", "changed": "C", "error": "E"}
"""Outcomes after which client or model have something else than was said."""
BAD = ("LOST", "changed", "error")


def nothing(value):
    return value in (None, [], "", False, {}) or (isinstance(value, list) and all(one in (None, False) for one in value))


def short(value):
    return json.dumps(value, ensure_ascii=False, default=str)[:300]


def refusal(dialect, reply, asked, at=""):
    """A request that was not served. `at`: what must be named."""
    try:
        message, field = failure(dialect, json.loads(reply.raw))
    except (Broken, ValueError) as broken:
        return "error", f"{reply.status}: {broken}: {reply.raw[:300]!r}"
    if not 400 <= reply.status < 500:
        return "error", f"{reply.status}: {message}"
    if asked:
        return "error", f"{reply.status} though the provider has answered: {message}"
    if at and not f"{field}.".startswith(f"{at}."):
        return "changed", f"a refusal that names {field} in place of {at}: {message}"
    return "refused", f"{field or 'no field'}: {message}"


def request(ask, client, provider, sent, reply, asked):
    """A request case. `asked` is what the provider was asked."""
    if reply.status != 200:
        return refusal(client, reply, asked, ask.at.get(client))
    if len(asked) != 1 or asked[0][0] != provider:
        return "error", f"asked {[one[0] for one in asked]}"
    try:
        if not ask.means(client, sent):
            return "error", "the case says nothing"
        said, arrived = Body(client, sent), Body(provider, asked[0][1])
        wanted, found = ask.wants(said), ask.wants(arrived)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return "error", f"a body that cannot be read: {error!r}: {asked[0][1][:1500]}"
    everything = " ".join(word for text in arrived.texts() for word in text.split())
    missing = [text for text in said.texts() if " ".join(text.split()) not in everything]
    if missing:
        return "LOST", f"the text {missing[0][:80]!r}"
    if found == wanted or (ask.harmless and not nothing(found)):
        return "kept", ""
    if ask.harmless:
        return "left out", ask.harmless
    if told := reply.headers.get("Steam-Left-Out"):
        return "left out", f"told: {told}"
    foreign = f"; members that the API has not: {short(arrived.foreign)}" if arrived.foreign else ""
    if nothing(found):
        return "LOST", f"{short(wanted)}{foreign}"
    return "changed", f"{short(wanted)} is {short(found)}{foreign}"


def parsed(arguments):
    try:
        return json.loads(arguments or "{}", parse_int=str, parse_float=str)
    except ValueError:
        return arguments


def calls_of(answer):
    return [(call_id, name, parsed(arguments)) for _, call_id, name, arguments in answer.of("call")]


def same_calls(wanted, found, client):
    found = [(call_id, name, parsed(arguments)) for call_id, name, arguments in found]
    if wanted == found:
        return True
    # Arguments that are no JSON: messages have objects only, in which the text may stand.
    odd = [call for call in wanted if isinstance(call[2], str)]
    return (
        client == "messages"
        and bool(odd)
        and len(wanted) == len(found)
        and all(one[:2] == other[:2] and one[2] in json.dumps(other[2], ensure_ascii=False).replace('\\"', '"') for one, other in zip(wanted, found))
    )


def kinds(parts, client):
    said = [
        {"refusal": "text"}.get(part[0], part[0]) if client == "messages" else part[0]
        for part in parts
        if part[0] in ("text", "call", "refusal") and part[1]
    ]
    return [kind for at, kind in enumerate(said) if at == 0 or said[at - 1] != kind or kind == "call"]


def compare(case, client, provider, got):
    """What of an answer the client has otherwise: pairs of an outcome and its detail."""
    answer = case.answer
    wanted = {"thought": answer.words("thought"), "text": answer.words("text"), "refusal": answer.words("refusal")}
    if client == "messages":
        wanted = {"thought": wanted["thought"], "text": wanted["text"] + wanted["refusal"], "refusal": ""}
    for kind, text in wanted.items():
        if (found := got.words(kind)) != text:
            said = text in got.words("thought", "text", "refusal")
            yield ("LOST" if text and not found and not said else "changed"), f"{kind}: {text!r} is {found!r}"
    if case.check == "ids":
        ids = {call[0] for call in got.all_calls()} - {""}
        if len(ids) != len(answer.of("call")):
            yield "LOST", f"calls cannot be told apart: {short(got.all_calls())}"
    elif not same_calls(calls_of(answer), got.all_calls(), client):
        yield ("changed" if got.all_calls() else "LOST"), f"calls: {short(calls_of(answer))} are {short(got.all_calls())}"
    elif client != "chat" and kinds(answer.parts, client) != kinds(got.parts, client):
        yield "changed", f"the order {kinds(answer.parts, client)} is {kinds(got.parts, client)}"
    end = "stop" if answer.end == "text" and client != "messages" else case.end
    ends = ("stop", "filter") if answer.of("refusal") and client == "messages" else (end,)
    if got.end not in ends:
        yield ("LOST" if got.end == "stop" else "changed"), f"the end {end} is {got.end}"
    if answer.end == "text" and client == "messages" and got.stop != answer.stop:
        yield "LOST", f"the text that ended it: {answer.stop} is {got.stop}"


def usage(case, client, provider, got):
    stated = case.answer.usage
    if stated is None:
        # Messages cannot leave the counts out.
        if client != "messages" and got.usage is not None and not (got.usage["prompt"] and got.usage["answer"]):
            yield "changed", f"tokens that nobody counted are {short(got.usage)}"
        return
    if got.usage is None:
        yield "LOST", "no usage"
        return
    wanted = {"prompt": stated.prompt, "answer": stated.answer, "cached": stated.cached}
    if "messages" not in (client, provider):
        wanted["reasoning"] = stated.reasoning
    for name, count in wanted.items():
        if got.usage[name] != count:
            yield ("LOST" if not got.usage[name] else "changed"), f"{name}: {count} is {got.usage[name]}"


def answered(case, client, provider, streamed, reply, asked):
    """An answer case."""
    if case.check in ("failure", "failed"):
        return failed(case, client, streamed, reply)
    if case.check == "cut" and (reply.cut or reply.status >= 500):
        return "kept", ""
    if reply.status != 200:
        return refusal(client, reply, asked)
    try:
        got = read(client, reply, streamed)
    except Broken as broken:
        return ("kept", "") if case.check == "cut" and reply.cut else ("error", str(broken))
    if case.check == "cut":
        return ("kept", "") if got.error and not (got.end and got.error == "no [DONE]") else ("LOST", f"looks like an answer that ended: {got.end}")
    if case.check == "error":
        if not got.error:
            return "LOST", f"looks like an answer that ended: {got.end}"
        return (
            ("kept", "") if (case.answer.odd.get("error") or case.answer.odd["failed"]) in got.error else ("changed", f"the error says {got.error!r}")
        )
    if got.error:
        return "error", got.error
    faults = list(compare(case, client, provider, got))
    if case.check in ("usage", "no usage"):
        faults += usage(case, client, provider, got)
    if case.check == "cited" and (not got.cited or got.cited[0].get("url") != case.answer.odd["cited"]["url"]):
        faults.append(("LOST", f"the source is {short(got.cited)}"))
    if not faults:
        return "kept", ""
    worst = "LOST" if any(fault == "LOST" for fault, _ in faults) else "changed"
    return worst, "; ".join(detail for _, detail in faults)


def failed(case, client, streamed, reply):
    stated = case.answer if case.check == "failure" else Failure(500, "", case.answer.odd["failed"], hidden=True)
    try:
        if reply.status == 200 and streamed:
            got = read(client, reply, streamed)
            return ("changed", f"an error event in a stream of status 200: {got.error!r}") if got.error else ("LOST", "looks like an answer")
        if reply.status == 200 and "error" not in json.loads(reply.raw):
            return "LOST", f"looks like an answer: {reply.raw[:200].decode(errors='replace')}"
        message, _ = failure(client, json.loads(reply.raw))
    except (Broken, ValueError) as broken:
        return "error", f"{reply.status}: {broken}: {reply.raw[:300]!r}"
    if reply.status < 400:
        return "LOST", f"the status is {reply.status}"
    if stated.text not in message:
        return "LOST", f"the words are {message!r}"
    if not stated.hidden and reply.status != stated.status:
        return "changed", f"the status {stated.status} is {reply.status}"
    if stated.headers and not reply.headers.get("Retry-After"):
        return "LOST", "Retry-After"
    return "kept", ""
