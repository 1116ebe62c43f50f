"""Each gate of the guide serves a relayer's requests, and refuses every call that no relayer made for this provider."""

import base64
import hashlib
import json
import ssl
import time
import urllib.error
import urllib.request

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conftest import Engine, base58, wait
from guide import GATES

BODY = b'{"model":"m","messages":[]}'
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
PATH = "/v1/chat/completions"


def unbase58(text):
    number = 0
    for letter in text:
        number = number * 58 + ALPHABET.index(letter)
    return number.to_bytes(32, "big")


def call(url, body, headers, context=None):
    """The status of a call."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def signed(key, provider, offer, stamp, url, body):
    message = b"steam-upstream:v2" + unbase58(provider) + unbase58(offer) + int(stamp).to_bytes(8, "little", signed=True)
    message += hashlib.sha256(url.encode()).digest() + hashlib.sha256(body).digest()
    return base64.b64encode(key.sign(message)).decode()


class Caller:
    """Makes calls as the relayer does, and others."""

    def __init__(self, world, provider, target=None):
        self.world, self.provider = world, provider
        keypair = json.loads(open(world.info["receipt_keypair"]).read())
        self.key = Ed25519PrivateKey.from_private_bytes(bytes(keypair[:32]))
        self.target = target or f"https://localhost:{provider.tls}"
        self.context = ssl.create_default_context(cafile=world.folder / "ca.pem")

    def send(self, path=PATH, body=BODY, leave_out=(), headers=None, **signed_over):
        """A call that holds, unless what is sent or what is signed is changed."""
        provider = self.provider
        sent = {
            "Steam-Relayer": self.world.info["relayer"],
            "Steam-Provider": signed_over.get("provider", provider.address),
            "Steam-Offer": signed_over.get("offer", provider.offer_address),
            "Steam-Timestamp": str(signed_over.get("stamp", int(time.time()))),
        }
        url = signed_over.get("url", f"https://localhost:{provider.tls}{path}")
        over = (sent["Steam-Provider"], sent["Steam-Offer"], sent["Steam-Timestamp"], url, signed_over.get("body", body))
        sent["Steam-Signature"] = signed(signed_over.get("key", self.key), *over)
        sent |= headers or {}
        sent = {name: value for name, value in sent.items() if name not in leave_out}
        context = self.context if self.target.startswith("https") else None
        return call(self.target + path, body, sent, context)

    def false_calls(self):
        """Calls that must be refused, by what is false about them."""
        other = self.world.info["providers"][0]["address"]
        stranger = Ed25519PrivateKey.generate()
        now = int(time.time())
        signature = base64.b64encode(bytes(64)).decode()
        yield "no signature", dict(leave_out=["Steam-Signature"])
        for name in ("Relayer", "Provider", "Offer", "Timestamp"):
            yield f"no {name}", dict(leave_out=[f"Steam-{name}"])
        yield "a signature of nothing", dict(headers={"Steam-Signature": signature})
        yield "a signature that is none", dict(headers={"Steam-Signature": "?"})
        yield "signed for another provider and sent to this one", dict(provider=other)
        yield "another provider's name on a call for this one", dict(headers={"Steam-Provider": other})
        yield "another provider's offer", dict(offer=other)
        yield "another offer on a call for this one", dict(headers={"Steam-Offer": other})
        yield "an address that is none", dict(headers={"Steam-Offer": "0OIl"})
        yield "another host", dict(url=f"https://elsewhere.example{PATH}")
        yield "another path", dict(url=f"https://localhost:{self.provider.tls}/v1/embeddings")
        yield "http instead of https", dict(url=f"http://localhost:{self.provider.tls}{PATH}")
        yield "a query that was not signed", dict(path=f"{PATH}?a=b", url=f"https://localhost:{self.provider.tls}{PATH}")
        yield "an old call", dict(stamp=now - 70)
        yield "a call from the future", dict(stamp=now + 70)
        yield "a time that is none", dict(headers={"Steam-Timestamp": "now"})
        yield "a time beyond all", dict(headers={"Steam-Timestamp": "9" * 30})
        yield "another time than the signed one", dict(headers={"Steam-Timestamp": str(now - 5)}, stamp=now)
        yield "another body", dict(body=BODY + b" ", signed_body=BODY)
        yield "a stranger's key", dict(key=stranger)
        address = base58(stranger.public_key().public_bytes_raw())
        yield "a relayer that nobody knows", dict(key=stranger, headers={"Steam-Relayer": address})

    def served(self):
        """The false calls that reach the engine or are not answered 401."""
        found = []
        for what, change in self.false_calls():
            before = len(Engine.calls)
            if "signed_body" in change:
                sent = change.pop("body")
                status = self.forged(sent, change.pop("signed_body"))
            else:
                status = self.send(**change)
            if status != 401 or len(Engine.calls) != before:
                found.append(what)
        return found

    def forged(self, sent, signed_body):
        """A call whose body is not the signed one."""
        stamp = str(int(time.time()))
        over = (self.provider.address, self.provider.offer_address, stamp, f"https://localhost:{self.provider.tls}{PATH}", signed_body)
        headers = dict(zip(("Steam-Provider", "Steam-Offer", "Steam-Timestamp"), over))
        headers |= {"Steam-Relayer": self.world.info["relayer"], "Steam-Signature": signed(self.key, *over)}
        return call(self.target + PATH, sent, headers, self.context if self.target.startswith("https") else None)


def ask(world, model, **more):
    """A request of a client at the relayer: status and text."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16, **more}
    headers = {"Authorization": f"Bearer {world.info['api_key']}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{world.info['base_url']}/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture(params=GATES)
def provider(request, world):
    return world.open(request.param)


def test_a_request_through_the_relayer_is_served(world, provider):
    """Over TLS, by a provider whose origin nginx proves."""
    def first():
        status, text = ask(world, provider.model)
        return text if status == 200 else None

    text = wait(f"the relayer asks {provider.name}", first)
    before = len(Engine.calls)
    assert "Served by the engine." in json.loads(text)["choices"][0]["message"]["content"]
    status, stream = ask(world, provider.model, stream=True)
    assert status == 200 and stream.count("data: ") >= 5 and stream.rstrip().endswith("[DONE]"), stream
    assert len(Engine.calls) == before + 1


def test_a_stream_passes_as_it_comes(world, provider):
    caller = Caller(world, provider)
    body = b'{"model":"m","stream":true}'
    stamp = str(int(time.time()))
    over = (provider.address, provider.offer_address, stamp, f"https://localhost:{provider.tls}{PATH}", body)
    headers = dict(zip(("Steam-Provider", "Steam-Offer", "Steam-Timestamp"), over)) | {"Content-Type": "application/json"}
    headers |= {"Steam-Relayer": world.info["relayer"], "Steam-Signature": signed(caller.key, *over)}
    request = urllib.request.Request(caller.target + PATH, body, headers)
    with urllib.request.urlopen(request, timeout=30, context=caller.context) as answer:
        times = [time.monotonic() for line in answer if line.startswith(b"data:")]
    assert times[-1] - times[0] > 0.2, "the pieces came all at once"


def test_a_call_that_holds_is_served_and_false_ones_are_refused(world, provider):
    caller = Caller(world, provider)
    before = len(Engine.calls)
    assert caller.send() == 200 and len(Engine.calls) == before + 1
    assert caller.send(stamp=int(time.time()) - 50) == 200, "a minute is allowed"
    assert caller.served() == []
    assert caller.send() == 200


def test_without_a_gate_every_false_call_is_served(world):
    """The engine alone refuses nothing: what the gates refuse is their doing."""
    bare = Caller(world, world.open("python"), world.engine)
    assert bare.served() == [what for what, _ in bare.false_calls()]
