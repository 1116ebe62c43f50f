"""What Schemathesis cannot guess: names of what there is. Without them every request would end at the first look-up."""

import json
import os
import urllib.request

import schemathesis

INFO = json.load(open(os.environ["STEAM_INFO"]))
MODEL = INFO["models"][0]


def ask(path, body=None):
    headers = {"Authorization": f"Bearer {INFO['api_key']}", "Content-Type": "application/json"}
    request = urllib.request.Request(INFO["base_url"] + path, json.dumps(body).encode() if body else None, headers)
    return json.load(urllib.request.urlopen(request, timeout=20))


# An answer of this key's own, to be looked up.
ask("/chat/completions", {"model": MODEL, "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]})
GENERATION = ask("/receipts")["data"][0]["id"]

KNOWN = {
    "getModel": {"id": MODEL},
    "getGeneration": {"id": GENERATION},
    "getReceipt": {"id": GENERATION},
    "getVault": {"address": INFO["vault"]},
    "getAccount": {"address": INFO["relayer"]},
    "getPayLabel": {"vault": INFO["vault"]},
    "makePayDeposit": {"vault": INFO["vault"]},
}


def half(case):
    """Half of all cases, by what they are."""
    return sum(map(ord, json.dumps(case, default=str, sort_keys=True))) % 2 == 0


@schemathesis.hook
def map_body(context, body):
    """A model that somebody offers, where any name is one."""
    if isinstance(body, dict) and isinstance(body.get("model"), str) and half(body):
        body["model"] = MODEL
    return body


@schemathesis.hook
def map_query(context, query):
    """The same in a query."""
    if isinstance(query, dict) and isinstance(query.get("model"), str) and half(query):
        query["model"] = MODEL
    return query


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """What there is, where any name is one."""
    known = KNOWN.get(context.operation.definition.raw.get("operationId"), {})
    for name, value in known.items():
        if path_parameters and isinstance(path_parameters.get(name), str) and half(path_parameters):
            path_parameters[name] = value
    return path_parameters
