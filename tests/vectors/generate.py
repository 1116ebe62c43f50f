#!/usr/bin/env python3
"""Golden vectors of the protocol, written from the specification and not from the Rust: with the standard library only,
so that two independent implementations agree. `generate.py` writes the JSON files beside it; `generate.py --check` exits
with 1 if they differ from what it would write.

Bytes are hex, integers are decimal strings, `null` means "refused" (for arithmetic: out of range).
"""

import base64
import hashlib
import json
import string
import struct
import sys
from pathlib import Path

import ed25519

U16, U32, U64, U128 = 2**16 - 1, 2**32 - 1, 2**64 - 1, 2**128 - 1
MICRO = 10**6
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def blob(name, length=32):
    """Deterministic bytes that look random."""
    return b"".join(sha256(name.encode(), bytes([i])) for i in range((length + 31) // 32))[:length]


def text(value):
    """JSON form: bytes as hex, integers as decimal strings, everything else as it is."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return {key: text(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [text(item) for item in value]
    return value


def fits(value, limit):
    return value if value <= limit else None


# Units

PRICE = ("input", "cached", "cache_write", "cache_write_long", "output", "request")
USAGE = ("requests", "input", "cached", "cache_write", "cache_write_long", "output")
PROMPT = ("input", "cached", "cache_write", "cache_write_long")


def price(input, cached, output, request, cache_write=None, cache_write_long=None):
    """Writes cost what other input costs, unless they have a price of their own."""
    writes = [input if own is None else own for own in (cache_write, cache_write_long)]
    return dict(zip(PRICE, (input, cached, *writes, output, request), strict=True))


def usage(requests, input, cached, output, cache_write=0, cache_write_long=0):
    return dict(zip(USAGE, (requests, input, cached, cache_write, cache_write_long, output), strict=True))


def tariff(standard, long_from=0, long=None):
    return {"standard": standard, "long_from": long_from, "long": long or price(0, 0, 0, 0)}


def charge(p, u):
    return sum(u[part] * p[part] for part in (*PROMPT, "output")) + u["requests"] * p["request"] * MICRO


def prompt(u):
    return sum(u[part] for part in PROMPT)


def is_long(t, u):
    return t["long_from"] != 0 and prompt(u) > t["long_from"]


def receipt_charge(t, u):
    return charge(t["long"] if is_long(t, u) else t["standard"], u)


def may_be_long(t, u):
    return t["long_from"] != 0 and prompt(u) >= u["requests"] * (t["long_from"] + 1)


def is_valid_price(p):
    return p["cached"] <= p["input"] and max(p.values()) <= 10**12


def is_valid(t):
    no_lower = all(t["standard"][part] <= t["long"][part] for part in PRICE)
    long = no_lower if t["long_from"] else not any(t["long"].values())
    return is_valid_price(t["standard"]) and is_valid_price(t["long"]) and long


def within(p, limit):
    return all(p[part] <= limit[part] for part in PRICE)


def is_within(t, limit):
    """Whether no request costs more than by `limit`."""
    long = t["long_from"] == 0 or limit["long_from"] != 0 and t["long_from"] >= limit["long_from"] and within(t["long"], limit["long"])
    return within(t["standard"], limit["standard"]) and long


def in_place_of(t, quoted):
    long = price(0, 0, 0, 0) if quoted["long_from"] == 0 else t["standard"] if t["long_from"] == 0 else t["long"]
    return {"standard": t["standard"], "long_from": quoted["long_from"], "long": long}


def ceiling(t, prompt, output):
    p = t["long"] if t["long_from"] != 0 and prompt > t["long_from"] else t["standard"]
    return prompt * max(p[part] for part in PROMPT) + output * p["output"] + p["request"] * MICRO


def fee_down(amount, bps):
    return fits(amount * bps, U128) and amount * bps // 10_000


def fee_up(amount, bps):
    return fits(amount * bps, U128) and -(-amount * bps // 10_000)


def units():
    top = 10**12
    charges = [
        (price(0, 0, 0, 0), usage(0, 0, 0, 0)),
        (price(0, 0, 0, 0), usage(U32, U32, U32, U32)),
        (price(1, 1, 1, 1), usage(1, 1, 1, 1)),
        (price(3, 0, 0, 0), usage(0, 7, 0, 0)),
        (price(0, 3, 0, 0), usage(0, 0, 7, 0)),
        (price(0, 0, 3, 0), usage(0, 0, 0, 7)),
        (price(0, 0, 0, 3), usage(7, 0, 0, 0)),
        (price(150_000, 75_000, 600_000, 100), usage(1, 1_234, 567, 89)),
        (price(2_500_000, 1_250_000, 10_000_000, 0), usage(12, 100_000, 80_000, 20_001)),
        (price(top, top, top, top), usage(U32, U32, U32, U32)),
        (price(U64, U64, U64, U64), usage(U32, U32, U32, U32)),
        (price(0, 0, 0, 0, 3, 0), usage(0, 0, 0, 0, 7, 0)),
        (price(0, 0, 0, 0, 0, 3), usage(0, 0, 0, 0, 0, 7)),
        (price(U64, U64, U64, U64, U64, U64), usage(U32, U32, U32, U32, U32, U32)),
    ]
    low = price(3_000_000, 300_000, 15_000_000, 0, 3_750_000, 6_000_000)
    high = price(6_000_000, 600_000, 22_500_000, 0, 7_500_000, 12_000_000)
    tariffs = [
        (tariff(low), usage(1, U32, U32, U32, U32, U32)),
        (tariff(low, 200_000, high), usage(1, 200_000, 0, 1_000)),
        (tariff(low, 200_000, high), usage(1, 200_001, 0, 1_000)),
        (tariff(low, 200_000, high), usage(1, 10, 199_000, 100, 991, 0)),
        (tariff(low, 200_000, high), usage(1, 10, 100_000, 100, 50_000, 49_991)),
        (tariff(low, 200_000, high), usage(2, 400_001, 0, 100)),
        (tariff(low, 200_000, high), usage(2, 400_002, 0, 100)),
        (tariff(low, U32, high), usage(1, U32, 0, 0)),
        (tariff(low, U32, high), usage(1, U32, 0, 0, 1, 0)),
        (tariff(low, U32, high), usage(U32, U32, U32, U32, U32, U32)),
        (tariff(low, 1, low), usage(0, 0, 0, 0)),
        (tariff(high, 200_000, low), usage(1, 1, 1, 1)),
        (tariff(low, 0, high), usage(1, 1, 1, 1)),
        (tariff(low, 5, {**high, "cache_write_long": 5_999_999}), usage(1, 1, 1, 1)),
    ]
    mixed = {**low, "output": 22_500_001}
    posted = [tariff(low), tariff(high), tariff(mixed), tariff(low, 200_000, high), tariff(low, 100_000, high), tariff(low, 200_000, low), tariff(high, 200_000, high), tariff(low, 200_000, mixed)]
    amounts = [0, 1, 9_999, 10_000, 10_001, 185_100_000, charge(*charges[9]), charge(*charges[10]), U128]
    steps = [
        (0, 0), (0, 999_999), (0, 1_000_000), (999_999, 1), (999_999, 999_999), (1, 999_999), (1_999_999, 2),
        (U128 - 1, 1), (U128, 0), (U128, 1), (0, U64 * MICRO), (0, U64 * MICRO + 999_999), (0, U64 * MICRO + MICRO), (1, U64 * MICRO + 999_999),
    ]
    pico = [0, 1, 999_999, 1_000_000, 1_000_001, 1_500_000_000_000, U64 * MICRO, U64 * MICRO + 1, U64 * MICRO + MICRO, U128]
    return {
        "charge": [{"price": p, "usage": u, "charge": charge(p, u)} for p, u in charges],
        "tariff": [
            {"tariff": t, "usage": u, "valid": is_valid(t), "long": is_long(t, u), "may_be_long": may_be_long(t, u), "charge": receipt_charge(t, u)}
            for t, u in tariffs
        ],
        "posted": posted,
        # By their places in `posted`. Only a tariff within the one quoted settles in its place.
        "within": [
            {"tariff": i, "limit": j, "within": is_within(t, q), "in_place_of": in_place_of(t, q) if is_within(t, q) else None}
            for i, t in enumerate(posted) for j, q in enumerate(posted)
        ],
        "ceiling": [
            {"tariff": t, "prompt": n, "output": o, "charge": ceiling(t, n, o)}
            for t in (tariff(low), tariff(low, 200_000, high), tariff(price(5, 3, 7, 2, 4, 1), 9, price(6, 9, 7, 2, 8, 7)), tariff(price(U64, U64, U64, U64)))
            for n, o in [(0, 0), (9, 1), (10, 1), (200_000, 1_000), (200_001, 1_000), (U32, U32)]
        ],
        "fee": [
            {"charge": a, "bps": b, "group": fee_down(a, b), "receipt": fee_up(a, b)}
            for a in amounts
            for b in (0, 1, 333, 2_000, 10_000, U16)
        ],
        "floor_step": [
            {"before": b, "amount": a, "micro": fits(b + a, U128) and fits((b + a) // MICRO - b // MICRO, U64)}
            for b, a in steps
        ],
        "pico": [
            {
                "pico": n,
                "floor": fits(n // MICRO, U64),
                "ceil": fits(-(-n // MICRO), U64),
                "text": f"{n // 10**12}.{n % 10**12:012}",
            }
            for n in pico
        ],
        "micro": [{"micro": n, "text": f"{n // MICRO}.{n % MICRO:06}"} for n in (0, 1, 1_500_000, U64)],
        "valid_price": [
            {"price": p, "valid": v}
            for p, v in [
                (price(0, 0, 0, 0), True),
                (price(top, top, top, top), True),
                (price(top + 1, 0, 0, 0), False),
                (price(0, 0, top + 1, 0), False),
                (price(0, 0, 0, 0, top + 1, 0), False),
                (price(0, 0, 0, 0, 0, top + 1), False),
                (price(0, 0, 0, top + 1), False),
                (price(1, 2, 0, 0), False),
                (price(U64, U64, 0, 0), False),
            ]
        ],
    }


# Domain and names

PROGRAM, GENESIS = blob("program"), blob("genesis")
DOMAIN = sha256(b"steam-router:v1", PROGRAM, GENESIS)


def domains():
    pairs = [(PROGRAM, GENESIS), (bytes(32), bytes(32)), (b"\xff" * 32, bytes(32)), (GENESIS, PROGRAM)]
    allowed = set(string.ascii_letters + string.digits + "._:/-")
    models = ["a", "openai/gpt-oss-20b", "openai/GPT-oss-20B", "qwen3:8b", "x" * 64, "x" * 65, "", "GPT", "a b", "a\n", "é"]
    models += ["a_b.c-d:e/f", "a@b", "a:floor", "a:NITRO", "a:Free", ":online", "a:freed", "free"]
    return {
        "domain": [{"program": p, "genesis": g, "domain": sha256(b"steam-router:v1", p, g)} for p, g in pairs],
        "model": [
            {
                "model": m,
                "valid": 1 <= len(m) <= 64 and set(m) <= allowed,
                "reserved": m.lower().endswith((":floor", ":nitro", ":free", ":online")),
                "hash": sha256((m.lower() if len(m.encode()) <= 64 and m.isascii() else m).encode()),
            }
            for m in models
        ],
    }


# Voucher

def voucher_message(v):
    numbers = struct.pack("<QIQ", v["generation"], v["epoch"], v["authorized"])
    return b"steam-voucher:1" + sha256(v["domain"], v["vault"], numbers, v["request_hash"])


def vouchers():
    cases = []
    for name, generation, epoch, authorized in [
        ("first", 1, 0, 0), ("usual", 348_112_233, 7, 1_250_000), ("last", U64, U32, U64), ("order", 2**56, 1, 2**32),
    ]:
        seed = blob("voucher key " + name)
        v = {
            "domain": DOMAIN, "vault": blob("vault " + name), "generation": generation, "epoch": epoch,
            "authorized": authorized, "request_hash": blob("request " + name),
        }
        message = voucher_message(v)
        assert len(message) == 47
        cases.append({"seed": seed, "key": ed25519.public(seed), **v, "message": message, "signature": ed25519.sign(seed, message)})
    return {"voucher": cases}


def signatures():
    """Edge cases of verification, by the classes of Chalkias et al.; each expectation is also computed."""
    L, B, T = ed25519.L, ed25519.BASE, ed25519.torsion()
    encode, multiply, add, challenge = ed25519.encode, ed25519.multiply, ed25519.add, ed25519.challenge
    scalar = lambda name: int.from_bytes(blob(name), "little") % L
    cases = []

    def case(name, key, message, r, s, valid):
        signature = r + s.to_bytes(32, "little")
        assert ed25519.verify_strict(key, message, signature) == valid, name
        cases.append({"name": name, "key": key, "message": message, "signature": signature, "valid": valid})

    def search(name, key, r, holds):
        """A message whose challenge satisfies `holds`."""
        for i in range(4096):
            message = sha256(name.encode(), struct.pack("<I", i)) + b"47 bytes, as ours"[:15]
            if holds(challenge(r, key, message)):
                return message
        raise AssertionError(name)

    a, n = scalar("a"), scalar("n")
    seed, message = blob("strict"), blob("strict message", 47)
    key, good = ed25519.public(seed), ed25519.sign(blob("strict"), message)
    r, s = good[:32], int.from_bytes(good[32:], "little")
    case("valid", key, message, r, s, True)
    case("valid, empty message", key, b"", ed25519.sign(seed, b"")[:32], int.from_bytes(ed25519.sign(seed, b"")[32:], "little"), True)
    case("S + L", key, message, r, s + L, False)
    case("S + 8 L, beyond 2^255", key, message, r, s + 8 * L, False)
    case("S = 2^256 - 1", key, message, r, 2**256 - 1, False)
    case("S = L", key, message, r, L, False)
    case("S of another message", key, message + b"\0", r, s, False)
    case("R negated", key, message, r[:31] + bytes([r[31] ^ 128]), s, False)
    case("A negated", key[:31] + bytes([key[31] ^ 128]), message, r, s, False)
    case("all zero", bytes(32), message, bytes(32), 0, False)
    off_curve = next(bytes([i]) + bytes(31) for i in range(2, 99) if ed25519.decode(bytes([i]) + bytes(31)) is None)
    case("A off the curve", off_curve, message, r, s, False)
    case("R off the curve", key, message, off_curve, s, False)
    for i, point in enumerate(T):
        # The equation holds without the cofactor: only the order gives it away.
        r = encode(multiply(n, B))
        m = search(f"A{i}", encode(point), r, lambda k: k % 8 == 0)
        case(f"A of small order {i}", encode(point), m, r, n, False)
        case(f"A and R of small order {i}", encode(point), m, encode(ed25519.IDENTITY), 0, False)
        mixed = encode(add(multiply(a, B), T[1]))
        m = search(f"R{i}", mixed, encode(point), lambda k: multiply(-k % 8, T[1]) == point)
        case(f"R of small order {i}, A of mixed order", mixed, m, encode(point), challenge(encode(point), mixed, m) * a % L, False)
    case("R the identity, A of prime order", encode(multiply(a, B)), message, encode(ed25519.IDENTITY),
         challenge(encode(ed25519.IDENTITY), encode(multiply(a, B)), message) * a % L, False)
    r = encode(multiply(n, B))
    m = search("mixed A", mixed, r, lambda k: k % 8 == 0)
    case("A of mixed order, holds without the cofactor", mixed, m, r, (n + challenge(r, mixed, m) * a) % L, True)
    m = search("mixed A not", mixed, r, lambda k: k % 8 != 0)
    case("A of mixed order, holds with the cofactor only", mixed, m, r, (n + challenge(r, mixed, m) * a) % L, False)
    r = encode(add(multiply(n, B), T[1]))
    pure = encode(multiply(a, B))
    case("R of mixed order, holds with the cofactor only", pure, message, r, (n + challenge(r, pure, message) * a) % L, False)
    m = search("mixed both", mixed, r, lambda k: k % 8 == 7)
    case("A and R of mixed order, holds without the cofactor", mixed, m, r, (n + challenge(r, mixed, m) * a) % L, True)
    r = encode(multiply(n, B))
    for y in (0, 1):
        for sign in (0, 1):
            odd = (ed25519.P + y | sign << 255).to_bytes(32, "little")
            case(f"A not canonical: p + {y}, sign {sign}", odd, search(f"c{y}{sign}", odd, r, lambda k: k % 8 == 0), r, n, False)
            case(f"R not canonical: p + {y}, sign {sign}", pure, message, odd, challenge(odd, pure, message) * a % L, False)
    odd = (1 | 1 << 255).to_bytes(32, "little")
    case("A not canonical: negative zero", odd, message, r, n, False)
    case("R not canonical: negative zero", pure, message, odd, challenge(odd, pure, message) * a % L, False)
    for y in range(2, 19):  # no one knows their logarithm, but the encodings must be refused by the same rule
        if ed25519.decode((ed25519.P + y).to_bytes(32, "little"), canonical=False):
            case(f"A not canonical: p + {y}", (ed25519.P + y).to_bytes(32, "little"), message, r, n, False)
    return {"signature": cases}


# Request

def with_length(data):
    return struct.pack("<I", len(data)) + data


SIGNATURE_HEADERS = {"steam-" + name for name in ("key", "vault", "authorized", "max-cost", "not-after", "nonce", "signature")}
CONTROL_HEADERS = {"anthropic-beta", "anthropic-version", "idempotency-key", "openai-beta"}


def is_control(name):
    return name in CONTROL_HEADERS or name.startswith("steam-") and name not in SIGNATURE_HEADERS


def control_hash(headers):
    control = sorted((n.lower().encode(), v) for n, v in headers if is_control(n.lower()))
    return sha256(*(with_length(part) for header in control for part in header))


def requests():
    chat = json.dumps({"model": "openai/gpt-oss-20b", "messages": [{"role": "user", "content": "Grüße"}]}, ensure_ascii=False).encode()
    cases = []
    for method, path, body, headers, max_cost, not_after in [
        ("POST", "/v1/chat/completions", chat, [], 25_000, 1_767_225_600),
        ("POST", "/v1/chat/completions", chat, [("Steam-Route-Prefer", b"price"), ("Content-Type", b"application/json")], U64, 2**63 - 1),
        ("POST", "/v1/chat/completions", b"", [("steam-route-b", b"2"), ("STEAM-ROUTE-A", b"1"), ("steam-route-b", b"1")], 0, 0),
        ("GET", "/", b"\0", [("steam-route-", b""), ("steam", b"not one"), ("x-steam-route-a", b"nor this")], 1, -1),
        ("POST", "/v1/messages", b"{}", [("Steam-", b""), ("Steam-Nonce-2", b"one"), ("OpenAI-Beta", b"a=v1"), ("Anthropic-Beta", b"b,c"), ("ANTHROPIC-VERSION", b"2023-06-01"), ("Idempotency-Key", b"1")], 7, 8),
        ("POST", "/v1/messages", b"{}", [("Steam-" + n, b"covered by itself") for n in ("Key", "Vault", "Authorized", "Max-Cost", "Not-After", "Nonce", "Signature")], 7, 8),
        ("DELETE", "/v1/%C3%A9/..", b"x" * 1000, [("steam-route-x", bytes([0xE9, 0x20, 0x7F]))], 2**32, -(2**63)),
        ("", "", b"", [], 0, 0),
    ]:
        relayer, nonce = blob("relayer"), blob(method + path, 16)
        body_hash, control = sha256(body), control_hash(headers)
        numbers = struct.pack("<Qq", max_cost, not_after)
        cases.append({
            "relayer": relayer, "method": method, "path": path, "body": body, "body_hash": body_hash,
            "headers": [[n, v] for n, v in headers], "control_hash": control, "max_cost": max_cost, "not_after": not_after, "nonce": nonce,
            "content_digest": "sha-256=:" + base64.b64encode(body_hash).decode() + ":",
            "hash": sha256(b"steam-request:v1", relayer, with_length(method.encode()), with_length(path.encode()), body_hash, control, numbers, nonce),
        })
    return {"request": cases}


# Group

def numbers_of(c):
    return struct.pack("<7I", c["version"], *(c["usage"][name] for name in USAGE))


def group_hash(previous, header, charges):
    head = struct.pack("<QIIH", header["generation"], header["seq"], header["receipts"], header["fee_bps"])
    lines = [bytes([c["slot"] | c["long"] << 7]) + c["offer"] + numbers_of(c) for c in charges]
    return sha256(previous, b"steam-group:v1", header["vault"], head, bytes([len(lines)]), *lines)


def groups():
    previous, cases = bytes(32), []
    for seq, (n, receipts, fee_bps) in enumerate([(1, 3, 500), (0, 0, 0), (2, 1, 2_000), (16, U32, U16)], start=1):
        header = {"vault": blob("vault"), "generation": 348_112_233, "seq": seq, "receipts": receipts, "fee_bps": fee_bps}
        charges = [
            {"slot": i % 8, "offer": blob(f"offer {i}"), "version": i + 1, "long": i % 3 == 1, "usage": usage(i + 1, i * 1000, i * 10, U32 - i, i % 4, i % 5)}
            for i in range(n)
        ]
        digest = group_hash(previous, header, charges)
        cases.append({"previous": previous, **header, "charges": charges, "hash": digest})
        previous = digest
    header = {"vault": b"\xff" * 32, "generation": U64, "seq": U32, "receipts": 0, "fee_bps": 0}
    top = [{"slot": 31, "offer": b"\xff" * 32, "version": U32, "long": True, "usage": usage(U32, U32, U32, U32, U32, U32)}]
    cases.append({"previous": previous, **header, "charges": top, "hash": group_hash(previous, header, top)})
    return {"group": cases}


# Batch

def batch_bytes(batch):
    out = batch["root"] + bytes([len(batch["groups"])])
    for g in batch["groups"]:
        listed = 128 if g["memberships"] else 0
        out += struct.pack("<IIHBB", g["seq"], g["receipts"], g["fee_bps"], len(g["vouchers"]), len(g["charges"]) | listed)
        for v in g["vouchers"]:
            out += bytes([v["slot"]]) + struct.pack("<Q", v["authorized"]) + v["request_hash"] + v["signature"]
        for c in g["charges"]:
            out += charge_bytes(c)
        if listed:
            out += bytes([len(g["memberships"])]) + b"".join(membership_bytes(steps) for steps in g["memberships"])
    return out


def charge_bytes(c):
    """Counts of cache writes follow where they are not zero, and the upper bits of the slot say which do."""
    u = c["usage"]
    writes = [u["cache_write"], u["cache_write_long"]]
    flags = (writes[0] != 0) << 5 | (writes[1] != 0) << 6 | c["long"] << 7
    numbers = (c["version"], u["requests"], u["input"], u["cached"], u["output"], *filter(None, writes))
    return bytes([c["slot"] | flags, c["offer_ix"]]) + b"".join(struct.pack("<I", number) for number in numbers)


def membership_bytes(steps):
    """The sides from the lowest bit, a one above them; then the siblings."""
    sides = "".join("1" if step["left"] else "0" for step in reversed(steps))
    return bytes([int("1" + sides, 2)]) + b"".join(step["sibling"] for step in steps)


def sample_batch(*shape, proofs=()):
    return {
        "root": blob(f"root {shape}"),
        "groups": [
            {
                "seq": i + 1, "receipts": i * 7, "fee_bps": i * 100,
                "vouchers": [
                    {"slot": j, "authorized": U64 - j, "request_hash": blob(f"{i} {j}"), "signature": blob(f"sig {i} {j}", 64)}
                    for j in range(vouchers)
                ],
                "charges": [
                    {"slot": j % 8, "offer_ix": 255 - j, "version": j, "long": j % 4 == 3, "usage": usage(j + 1, 2**j, 2 ** (31 - j), U32 - j, j % 2 * j, j % 3 * j)}
                    for j in range(charges)
                ],
                "memberships": [sample_steps(depth) for depth in (proofs[i] if proofs else ())],
            }
            for i, (vouchers, charges) in enumerate(shape)
        ],
    }


def sample_steps(depth):
    return [{"left": (depth + i) % 3 == 0, "sibling": blob(f"sibling {depth} {i}")} for i in range(depth)]


def batches():
    valid = [sample_batch(*shape) for shape in ([(1, 1)], [(0, 0)], [(1, 1), (0, 0), (2, 3)], [(8, 16)], [(0, 1)] * 24)]
    one = batch_bytes(valid[0])
    invalid = [(one[:length], "Truncated") for length in (0, 31, 32, 33, 44, 45, 149, 150, len(one) - 1)]
    invalid += [
        (one + b"\0", "TrailingBytes"),
        (one + one[33:], "TrailingBytes"),
        (one[:32] + b"\0", "GroupCount"),
        (one[:32] + b"\0" + one[33:], "GroupCount"),
        (one[:32] + b"\x19" + one[33:], "GroupCount"),
        (one[:32] + b"\x02" + one[33:], "Truncated"),
        (one[:43] + b"\x11" + one[44:], "VoucherCount"),
        (one[:43] + b"\x02" + one[44:], "Truncated"),
        (one[:44] + b"\x11" + one[45:], "ChargeCount"),
        (one[:44] + b"\x00" + one[45:], "TrailingBytes"),
        (one[:44] + b"\x91" + one[45:], "ChargeCount"),
        (one[:44] + b"\xff" + one[45:], "ChargeCount"),
        (one[:44] + b"\x81" + one[45:], "Truncated"),
    ]
    # The charge begins at 150: of the bits above its slot, one says "long prompts", two that counts follow.
    flagged = lambda flags, *writes: one[:150] + bytes([one[150] | flags]) + one[151:] + struct.pack(f"<{len(writes)}I", *writes)
    invalid += [
        (flagged(0x20), "Truncated"),
        (flagged(0x40), "Truncated"),
        (flagged(0x60, 1), "Truncated"),
        (flagged(0x20, 0), "ZeroWrites"),
        (flagged(0x40, 0), "ZeroWrites"),
        (flagged(0x60, 1, 0), "ZeroWrites"),
        (flagged(0x60, 0, 1), "ZeroWrites"),
        (flagged(0xE0, 0, 0), "ZeroWrites"),
        (flagged(0x20, 1)[:-1], "Truncated"),
        (flagged(0x80, 1), "TrailingBytes"),
        (flagged(0x20, 1, 1), "TrailingBytes"),
    ]
    listed = [
        sample_batch((1, 1), proofs=[[0]]),
        sample_batch((1, 1), proofs=[[6]]),
        sample_batch((1, 1), (1, 1), (2, 3), proofs=[[], [3], []]),
        sample_batch((8, 16), proofs=[[n % 7 for n in range(16)]]),
        sample_batch((0, 0), proofs=[[1]]),
    ]
    two = batch_bytes(sample_batch((1, 1), proofs=[[2, 1]]))
    at = len(one)
    assert two[at] == 2 and (two[at + 1], two[at + 66]) == (0b110, 0b10), "the place of the proofs"
    invalid += [(two[:length], "Truncated") for length in (at, at + 1, at + 2, at + 33, at + 65, at + 66, len(two) - 1)]
    invalid += [(two[:at] + bytes([n]) + two[at + 1 :], "MembershipCount") for n in (0, 17, 128, 255)]
    invalid += [(two[: at + 1] + bytes([n]) + two[at + 2 :], "MembershipPath") for n in (0, 128, 255)]
    invalid += [
        (two[:at] + b"\x03" + two[at + 1 :], "Truncated"),
        (two[:at] + b"\x01" + two[at + 1 :], "TrailingBytes"),
        (two[: at + 1] + b"\x7f" + two[at + 2 :], "Truncated"),
        (two[: at + 66] + b"\x01" + two[at + 67 :], "TrailingBytes"),
        (two[:44] + b"\x01" + two[45:], "TrailingBytes"),
        (two + b"\0", "TrailingBytes"),
    ]
    return {
        "batch": [{**batch, "bytes": batch_bytes(batch)} for batch in valid + listed],
        "refused": [{"bytes": data, "error": error} for data, error in invalid],
    }


# Receipt

COUNTED = ("provider", "relayer", "capped")
FINISH = ("stop", "length", "tool_calls", "content_filter", "error", "client_gone", "other")


def tariff_bytes(t):
    prices = [struct.pack("<6Q", *(t[which][name] for name in PRICE)) for which in ("standard", "long")]
    return prices[0] + struct.pack("<I", t["long_from"]) + prices[1]


def receipt_bytes(r):
    u128 = lambda n: n.to_bytes(16, "little")
    return b"".join([
        struct.pack("<I", r["key_id"]), r["domain"], r["relayer"], r["vault"],
        struct.pack("<QIBQ", r["generation"], r["key_epoch"], r["key_slot"], r["number"]),
        r["request_hash"], r["response_hash"], r["provider"], r["offer"], struct.pack("<I", r["price_version"]),
        tariff_bytes(r["price"]), struct.pack("<6I", *(r["usage"][name] for name in USAGE)),
        bytes([COUNTED.index(r["counted_by"])]), u128(r["charge"]), struct.pack("<H", r["fee_bps"]), u128(r["fee"]),
        u128(r["key_cumulative"]), bytes([FINISH.index(r["finish_reason"])]),
        struct.pack("<qII", r["started_at_ms"], r["ttft_ms"], r["duration_ms"]), r["routing_hash"],
    ])


def receipts():
    seed, cases = blob("receipt key"), []
    key = ed25519.public(seed)

    def signed(i, p, u, fee_bps, charge_off=0, fee_off=0, **over):
        amount = receipt_charge(p, u) + charge_off
        fee = fee_up(amount, fee_bps) + fee_off
        r = {
            "key_id": i, "domain": DOMAIN, "relayer": blob("relayer"), "vault": blob("vault"), "generation": 348_112_233, "key_epoch": 7,
            "key_slot": i % 8, "number": i + 1, "request_hash": blob(f"request {i}"), "response_hash": blob(f"response {i}"),
            "provider": blob("provider"), "offer": blob("offer"), "price_version": 3, "price": p, "usage": u, "counted_by": COUNTED[i % 3],
            "charge": amount, "fee_bps": fee_bps, "fee": fee, "key_cumulative": 10**9 + amount + fee, "finish_reason": FINISH[i % 7],
            "started_at_ms": 1_767_225_600_000 + i, "ttft_ms": 120, "duration_ms": 3_456, "routing_hash": blob(f"routing {i}"), **over,
        }
        body = receipt_bytes(r)
        return {**r, "signed": body + ed25519.sign(seed, b"steam-receipt:v1" + body)}

    usual, tokens = tariff(price(150_000, 75_000, 600_000, 100)), usage(1, 1_234, 567, 89)
    cases = [{**signed(i, usual, tokens, 500 + i), "error": None} for i in range(7)]
    cases.append({**signed(7, tariff(price(0, 0, 0, 0)), usage(0, 0, 0, 0), 0), "error": None})
    most = price(10**12, 10**12, 10**12, 10**12)
    top = signed(8, tariff(most, U32, most), usage(U32, U32, U32, U32, U32, U32), 2_000, generation=U64, number=U64,
                 key_cumulative=U128, started_at_ms=-(2**63), ttft_ms=U32, duration_ms=U32)
    cases.append({**top, "error": None})
    cases.append({**signed(9, usual, tokens, 500, charge_off=1), "error": "Charge"})
    cases.append({**signed(10, usual, tokens, 500, charge_off=-1), "error": "Charge"})
    cases.append({**signed(11, usual, tokens, 501, fee_off=-1), "error": "Fee"})
    cases.append({**signed(12, usual, tokens, 501, fee_off=1), "error": "Fee"})
    low = price(3_000_000, 300_000, 15_000_000, 0, 3_750_000, 6_000_000)
    high = price(6_000_000, 600_000, 22_500_000, 0, 7_500_000, 12_000_000)
    tiered = tariff(low, 200_000, high)
    for i, input in enumerate((9, 10)):
        cases.append({**signed(13 + i, tiered, usage(1, input, 199_000, 1_000, 990, 1), 500), "error": None})
    # The prompt is long, and the charge that of one that is not.
    long = usage(1, 200_001, 0, 1_000)
    cases.append({**signed(15, tiered, long, 500, charge_off=charge(low, long) - charge(high, long)), "error": "Charge"})
    good = cases[0]["signed"]
    assert len(good) == 541
    cases.append({**{k: v for k, v in cases[0].items()}, "signed": good[:-1] + bytes([good[-1] ^ 1]), "error": "Signature"})

    def patch(at, value):
        return good[:at] + bytes([value]) + good[at + 1 :]

    refused = [b"", good[:64], good[:540], good + b"\0", patch(377, 3), patch(377, 255), patch(428, 7), patch(428, 255)]
    assert (good[377], good[428]) == (0, 0)
    return {"key": key, "seed": seed, "receipt": cases, "refused": refused}


# Merkle

def merkle_root(leaves):
    """RFC 6962 §2.1."""
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return sha256(b"\0", leaves[0])
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1", merkle_root(leaves[:k]), merkle_root(leaves[k:]))


def merkle_path(index, leaves):
    """RFC 6962 §2.1.1."""
    if len(leaves) == 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if index < k:
        return merkle_path(index, leaves[:k]) + [merkle_root(leaves[k:])]
    return merkle_path(index - k, leaves[k:]) + [merkle_root(leaves[:k])]


def merkle():
    data = [bytes([i]) * i for i in range(130)]
    trees = [{"count": n, "root": merkle_root(data[:n])} for n in (*range(18), 31, 32, 33, 63, 64, 65, 127, 128, 129, 130)]
    proofs = [
        {"index": i, "count": n, "path": merkle_path(i, data[:n]), "root": merkle_root(data[:n])}
        for n, indexes in [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (7, range(7)), (8, [0, 7]), (130, [0, 64, 127, 128, 129])]
        for i in indexes
    ]
    path = merkle_path(2, data[:7])
    refused = [
        {"index": 7, "count": 7, "path": path}, {"index": 0, "count": 0, "path": []}, {"index": 2, "count": 7, "path": path[:2]},
        {"index": 2, "count": 7, "path": path + [bytes(32)]}, {"index": 0, "count": 1, "path": [bytes(32)]},
        {"index": 6, "count": 7, "path": path}, {"index": U64, "count": U64, "path": path},
    ]
    return {"leaf": [{"data": d, "hash": sha256(b"\0", d)} for d in (b"", b"\0", data[9])], "leaves": data, "tree": trees, "proof": proofs, "refused": refused}


# Allow-lists

def provider_leaf(provider):
    """What merkle_root hashes as a leaf."""
    return b"steam-allow-list:v1" + provider


def climb(provider, steps):
    node = sha256(b"\0", provider_leaf(provider))
    for step in steps:
        left, right = (step["sibling"], node) if step["left"] else (node, step["sibling"])
        node = sha256(b"\1", left, right)
    return node


def allow_lists():
    """Steps are found from the places of nodes in their rows, not by splitting as merkle_path does."""
    every = [blob(f"provider {i}") for i in range(64)]

    def steps_of(index, leaves):
        row, steps = [sha256(b"\0", leaf) for leaf in leaves], []
        while len(row) > 1:
            if index ^ 1 < len(row):
                steps.append({"left": index % 2 == 1, "sibling": row[index ^ 1]})
            # A node without a sibling goes up as it is, which is RFC 6962's tree from below.
            row = [sha256(b"\1", *row[i : i + 2]) if i + 1 < len(row) else row[i] for i in range(0, len(row), 2)]
            index //= 2
        return steps

    lists = []
    for size, places in [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (5, [0, 4]), (8, [3]), (33, [31, 32]), (63, [0, 62]), (64, [0, 31, 63])]:
        providers = every[:size]
        ascending = sorted(providers)
        leaves = [provider_leaf(p) for p in ascending]
        root = merkle_root(leaves)
        members = [{"provider": ascending[i], "steps": steps_of(i, leaves)} for i in places]
        assert all(climb(m["provider"], m["steps"]) == root and len(m["steps"]) <= 6 for m in members)
        # Named in another order, and some twice.
        lists.append({"named": providers[::-1] + providers[: size // 2], "providers": ascending, "root": root, "member": members})
    stranger = blob("stranger")
    sample = lists[4]
    proof = sample["member"][0]
    turned = [{**step, "left": not step["left"]} for step in proof["steps"]]
    other = lists[2]["member"][0]["provider"]
    return {
        "list": lists,
        "refused": [
            {"named": [], "error": "Empty"},
            {"named": every + [stranger], "error": "TooLong"},
        ],
        # No proof: steps that lead elsewhere.
        "unproven": [
            {"provider": p, "steps": steps, "root": root}
            for p, steps, root in [
                (stranger, proof["steps"], sample["root"]),
                (proof["provider"], proof["steps"][1:], sample["root"]),
                (proof["provider"], proof["steps"][:-1], sample["root"]),
                (proof["provider"], turned, sample["root"]),
                (proof["provider"], proof["steps"], lists[3]["root"]),
                (other, [], lists[2]["root"]),
                (stranger, [], sha256()),
                (stranger, [], sha256(b"\0", stranger)),
                (stranger, [], stranger),
            ]
        ],
    }


# Key

def base58(data):
    number, out = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        out = ALPHABET[digit] + out
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + out


def keys():
    seeds = [blob("key"), bytes(32), b"\xff" * 32, bytes(31) + b"\1", bytes(8) + blob("zeros", 24)]
    zeros, encoded = base58(seeds[4]), base58(seeds[0])
    refused = [
        ("", "Prefix"), ("sk-steam", "Prefix"), (encoded, "Prefix"), ("sk-" + encoded, "Prefix"), ("SK-STEAM-" + encoded, "Prefix"),
        (" sk-steam-" + encoded, "Prefix"), ("sk_steam_" + encoded, "Prefix"), ("ｓk-steam-" + encoded, "Prefix"),
        ("sk-steam-", "Seed"), ("sk-steam-1", "Seed"), ("sk-steam-" + base58(seeds[0][:31]), "Seed"),
        ("sk-steam-" + base58(b"\1" + seeds[0]), "Seed"), ("sk-steam-1" + encoded, "Seed"), ("sk-steam-" + "1" * 31, "Seed"),
        ("sk-steam-" + "1" * 33, "Seed"), ("sk-steam-" + zeros[1:], "Seed"), ("sk-steam-1" + zeros, "Seed"), ("sk-steam-" + encoded + " ", "Seed"),
        ("sk-steam-" + encoded + "\n", "Seed"), ("sk-steam- " + encoded, "Seed"), ("sk-steam-0" + encoded[1:], "Seed"),
        ("sk-steam-" + encoded[:-1] + "l", "Seed"), ("sk-steam-" + encoded[:-1] + "é", "Seed"), ("sk-steam-" + "z" * 44, "Seed"),
        ("sk-steam-" + "z" * 500, "Seed"), ("sk-steam-sk-steam-" + encoded, "Seed"), ("sk-steam-" + seeds[0].hex(), "Seed"),
    ]
    return {
        "key": [{"seed": s, "text": "sk-steam-" + base58(s), "public": ed25519.public(s), "address": base58(ed25519.public(s))} for s in seeds],
        "refused": [{"text": t, "error": e} for t, e in refused],
    }


# Program: addresses, instructions, accounts, events. Layouts are those of SPEC.md, written down again.

def unbase58(encoded):
    number = 0
    for digit in encoded:
        number = number * 58 + ALPHABET.index(digit)
    return bytes(len(encoded) - len(encoded.lstrip("1"))) + number.to_bytes((number.bit_length() + 7) // 8, "big")


ROUTER = unbase58("DHRcWLfZiSoNKdX7bATwXHqPfwLLWgQEH8vSzNaLXBGV")
SYSTEM = bytes(32)
TOKEN = unbase58("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
ASSOCIATED = unbase58("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
LOADER = unbase58("BPFLoaderUpgradeab1e11111111111111111111111")
INSTRUCTIONS_SYSVAR = unbase58("Sysvar1nstructions1111111111111111111111111")

FIELDS = {
    "Delay": "seconds u32, slots u32",
    "Deadline": "time i64, slot u64",
    "Delays": "settle_interval Delay, max_pause Delay, price_grace Delay, revoke_grace Delay, withdraw_delay Delay, price_notice Delay, fee_notice Delay",
    "Prices": "input u64, cached u64, cache_write u64, cache_write_long u64, output u64, request u64",
    "PricePoint": "price Prices, long_price Prices, from Deadline, version u32, long_from u32",
    "FeeSchedule": "current u16, previous u16, previous_until Deadline, next u16, has_next bool, next_from Deadline, current_until Deadline",
    "ReceiptKey": "id u32, key u8[32], until_slot u64",
    "OfferTerms": "price Prices, long_from u32, long_price Prices, context_limit u32, output_limit u32, capabilities u64",
    "KeyGrant": "expires i64, limit_total u64, window_seconds u32, window_limit u64, max_price Prices, max_fee_bps u16, allow_root u8[32]",
    "KeyLimits": "limit_total u64, window_limit u64, max_price Prices, max_fee_bps u16",
    "Agreement": "generation u64, settle_seq u32, valid_until_slot u64",
    "ConfigUpdate": "guardian optional address, delays optional Delays",
    "RelayerUpdate": "settler optional address, receipt_key optional u8[32], fee_bps optional u16, url optional string, retired optional bool",
    "ProviderUpdate": "name optional string, url optional string, retired optional bool",
    "Limits": "total u64, window u64, max_price Prices, max_fee_bps u16, _padding u8[6]",
    "SessionKey": "key address, allow_root u8[32], settled_pico u128, window_spent u128, window_start i64, expires i64, revoked_at i64, settle_until Deadline, limits Limits, "
    "former Limits, former_until Deadline, window_seconds u32, epoch u32, _reserved u8[16]",
    "Config": "domain u8[32], mint address, admin address, pending_admin address, guardian address, paused_until Deadline, next_pause_from Deadline, delays Delays, floors Delays, "
    "bump u8, _reserved u8[72]",
    "Relayer": "authority address, settler address, fee_token address, receipt_key u8[32], receipt_key_id u32, previous_receipt_keys ReceiptKey[4], fee FeeSchedule, "
    "registered_slot u64, status Status, bump u8, _reserved u8[64], url string",
    "Provider": "authority address, token address, rent_payer address, rent_paid u64, token_rent_paid u64, registered_slot u64, offers u32, status Status, status_before Status, "
    "bump u8, _reserved u8[63], name string, url string",
    "Offer": "provider address, token address, rent_payer address, model u8[64], previous PricePoint, current PricePoint, next PricePoint, previous_until Deadline, "
    "current_until Deadline, retired_at Deadline, settle_until Deadline, rent_paid u64, capabilities u64, last_version u32, context_limit u32, output_limit u32, status u8, "
    "model_len u8, bump u8, _padding u8[1], _reserved u8[64]",
    "Vault": "owner address, relayer address, token address, rent_payer address, settle_hash u8[32], settled_pico u128, fee_pico u128, generation u64, receipts_settled u64, "
    "pending_withdrawal u64, unlock_at Deadline, rent_paid u64, token_rent_paid u64, settle_seq u32, epochs u32, bump u8, _padding u8[7], _reserved u8[32]",
}
ENUMS = {"Status": ("Active", "Suspended", "Retired"), "PriceChange": ("Unchanged", "Now", "Announced")}
SIZES = {"Config": 385, "Relayer": 577, "Provider": 366, "Offer": 688, "Vault": 304, "SessionKey": 320, "Limits": 72, "PricePoint": 120, "FeeSchedule": 55}


def fields_of(layout):
    return [field.split(" ", 1) for field in layout.split(", ")] if layout else []


def pack(kind, value):
    """The bytes of a value of a type, as under Types in SPEC.md."""
    if kind.startswith("optional "):
        return b"\0" if value is None else b"\1" + pack(kind.removeprefix("optional "), value)
    if kind in FIELDS:
        return pack_fields(FIELDS[kind], value)
    if kind in ENUMS:
        return bytes([ENUMS[kind].index(value)])
    if kind == "batch":
        return value
    if kind == "string":
        return with_length(value.encode())
    if kind == "bool":
        return bytes([value])
    if kind == "address" or kind.startswith("u8["):
        assert len(value) == (32 if kind == "address" else int(kind[3:-1])), kind
        return value
    if kind.endswith("]"):
        item, count = kind[:-1].split("[")
        assert len(value) == int(count)
        return b"".join(pack(item, one) for one in value)
    return value.to_bytes(int(kind[1:]) // 8, "little", signed=kind[0] == "i")


def pack_fields(layout, values):
    fields = fields_of(layout)
    assert [name for name, _ in fields] == list(values), (layout, list(values))
    return b"".join(pack(kind, values[name]) for name, kind in fields)


def zero(kind):
    """A value of a type, all of it zero."""
    if kind in FIELDS:
        return {name: zero(part) for name, part in fields_of(FIELDS[kind])}
    if kind in ENUMS:
        return ENUMS[kind][0]
    if kind == "address" or kind.startswith("u8["):
        return bytes(32 if kind == "address" else int(kind[3:-1]))
    if kind.endswith("]"):
        item, count = kind[:-1].split("[")
        return [zero(item) for _ in range(int(count))]
    return {"string": "", "bool": False}.get(kind, 0)


def made(kind, **values):
    """A value of a structure of which what is not named is zero."""
    assert values.keys() <= zero(kind).keys(), (kind, values.keys() - zero(kind).keys())
    return {**zero(kind), **values}


def is_point(data):
    """Whether an address has a y that is one of the curve: its highest bit and its being reduced do not matter."""
    y = (int.from_bytes(data, "little") & 2**255 - 1) % ed25519.P
    square = (y * y - 1) * pow(ed25519.D * y * y + 1, -1, ed25519.P) % ed25519.P
    return square == 0 or pow(square, (ed25519.P - 1) // 2, ed25519.P) == 1


def derive(*seeds, program=ROUTER):
    for bump in range(255, -1, -1):
        address = sha256(*seeds, bytes([bump]), program, b"ProgramDerivedAddress")
        if not is_point(address):
            return address, bump
    raise AssertionError("no bump")


def offer_seeds(provider, model):
    return b"offer", provider, sha256(model.lower().encode())


def associated(owner, mint):
    return derive(owner, TOKEN, mint, program=ASSOCIATED)[0]


MODEL = "openai/GPT-oss-20B"


def people():
    """Every address of a deployment by its name."""
    key = lambda name: ed25519.public(blob(name))
    who = {name: key(name) for name in (
        "upgrade authority", "payer", "admin", "guardian", "relayer authority", "settler", "receipt key", "provider authority", "owner", "session key", "mint", "other mint",
    )}
    who["config"] = derive(b"config")[0]
    who["relayer"] = derive(b"relayer", who["relayer authority"])[0]
    who["provider"] = derive(b"provider", who["provider authority"])[0]
    who["offer"] = derive(*offer_seeds(who["provider"], MODEL))[0]
    who["vault"] = derive(b"vault", who["owner"], who["relayer"])[0]
    who["program data"] = derive(ROUTER, program=LOADER)[0]
    who |= {holder + " token": associated(who[holder], who["mint"]) for holder in ("relayer", "provider", "vault", "owner")}
    who |= {"nested": associated(who["vault token"], who["mint"]), "nested earnings": associated(who["provider token"], who["mint"])}
    who |= {"stray": associated(who["vault"], who["other mint"]), "owner's other": associated(who["owner"], who["other mint"])}
    return who


def addresses():
    who = people()
    cases = [
        ("config", ROUTER, [b"config"]),
        ("relayer", ROUTER, [b"relayer", who["relayer authority"]]),
        ("provider", ROUTER, [b"provider", who["provider authority"]]),
        ("offer", ROUTER, offer_seeds(who["provider"], MODEL)),
        ("vault", ROUTER, [b"vault", who["owner"], who["relayer"]]),
        ("program_data", LOADER, [ROUTER]),
        ("token account of the relayer", ASSOCIATED, [who["relayer"], TOKEN, who["mint"]]),
        ("token account of the provider", ASSOCIATED, [who["provider"], TOKEN, who["mint"]]),
        ("token account of the vault", ASSOCIATED, [who["vault"], TOKEN, who["mint"]]),
        ("nested token account of the vault", ASSOCIATED, [who["vault token"], TOKEN, who["mint"]]),
        ("nested token account of the provider", ASSOCIATED, [who["provider token"], TOKEN, who["mint"]]),
    ]
    # More of one kind, for the bumps.
    cases += [("provider", ROUTER, [b"provider", blob(f"authority {i}")]) for i in range(12)]
    found = [{"name": name, "program": program, "seeds": list(seeds), **dict(zip(("address", "bump"), derive(*seeds, program=program)))} for name, program, seeds in cases]
    assert len({case["bump"] for case in found}) > 3
    texts = {name: value for name, value in who.items() if name in ("config", "relayer", "provider", "offer", "vault", "program data")}
    return {
        "address": found,
        "model": [{"provider": who["provider"], "model": m, "address": derive(*offer_seeds(who["provider"], m))[0]} for m in (MODEL, MODEL.lower(), MODEL.upper(), "a")],
        "text": [{"bytes": b, "text": base58(b)} for b in (ROUTER, SYSTEM, TOKEN, ASSOCIATED, LOADER, INSTRUCTIONS_SYSVAR, *texts.values())],
    }


DELAYS = dict(zip(
    ("settle_interval", "max_pause", "price_grace", "revoke_grace", "withdraw_delay", "price_notice", "fee_notice"),
    ({"seconds": n, "slots": n * 5 // 2} for n in (60, 1_800, 2_700, 2_701, 3_600, 600, 86_400)),
))
FLOORS = {name: {"seconds": n, "slots": n + 1} for n, name in enumerate(DELAYS)}
LOW, HIGH = price(3_000_000, 300_000, 15_000_000, 11, 3_750_000, 6_000_000), price(6_000_000, 600_000, 22_500_000, 12, 7_500_000, 12_000_000)
TERMS = {"price": LOW, "long_from": 200_000, "long_price": HIGH, "context_limit": 1_048_576, "output_limit": 32_768, "capabilities": 0b11 | 5 << 24 | 1 << 63}
GRANT = {"expires": 2**63 - 1, "limit_total": 20_000_000, "window_seconds": 3_600, "window_limit": 5_000_000, "max_price": HIGH, "max_fee_bps": 500, "allow_root": blob("root")}
LIMITS = {"limit_total": 15_000_000, "window_limit": 4_000_000, "max_price": LOW, "max_fee_bps": 400}
AGREEMENT = {"generation": 348_112_233, "settle_seq": 7, "valid_until_slot": 348_112_999}
NOTHING = {name: {field: None for field, _ in fields_of(FIELDS[name])} for name in ("ConfigUpdate", "RelayerUpdate", "ProviderUpdate")}
# Accounts of instructions: the name, how it is passed (s signs, w is written), and whose address it is if the name does not say it.
SYSTEM_ROW, TOKEN_ROW, ASSOCIATED_ROW = "system_program -", "token_program -", "associated_token_program -"
OWNER, VAULT_TOKEN = "owner s", "token w vault token"
ACCOUNTS = {
    "init_config": ["authority s upgrade authority", "payer sw", "config w", "mint -", "program_data - program data", SYSTEM_ROW],
    "set_config": ["admin s", "config w"],
    "transfer_admin": ["admin s", "config w"],
    "accept_admin": ["pending_admin s guardian", "config w"],
    "pause": ["guardian s", "config w"],
    "register_relayer": ["authority s relayer authority", "payer sw", "config -", "relayer w", "mint -", "fee_token w relayer token", TOKEN_ROW, ASSOCIATED_ROW, SYSTEM_ROW],
    "update_relayer": ["authority s relayer authority", "config -", "relayer w"],
    "register_provider": ["authority s provider authority", "payer sw", "config -", "provider w", "mint -", "token w provider token", TOKEN_ROW, ASSOCIATED_ROW, SYSTEM_ROW],
    "update_provider": ["authority s provider authority", "provider w"],
    "suspend_provider": ["guardian s", "config -", "provider w"],
    "withdraw_earnings": ["authority s provider authority", "config -", "provider -", "token w provider token", "destination w owner token", "mint -", TOKEN_ROW],
    "withdraw_fees": ["authority s relayer authority", "config -", "relayer -", "fee_token w relayer token", "destination w owner token", "mint -", TOKEN_ROW],
    "put_offer": ["authority s provider authority", "payer sw", "config -", "provider w", "offer w", SYSTEM_ROW],
    "retire_offer": ["authority s provider authority", "config -", "provider -", "offer w"],
    "close_offer": ["authority sw provider authority", "rent_payer w payer", "provider w", "offer w"],
    "close_provider": ["authority sw provider authority", "rent_payer w payer", "provider w", "token w provider token", TOKEN_ROW],
    "open_vault": [OWNER, "payer sw", "config -", "relayer -", "vault w", "mint -", VAULT_TOKEN, TOKEN_ROW, ASSOCIATED_ROW, SYSTEM_ROW],
    "authorize_key": [OWNER, "session_key s session key", "payer sw", "config -", "vault w", SYSTEM_ROW],
    "update_key": [OWNER, "config -", "vault w"],
    "revoke_key": [OWNER, "config -", "vault w", "relayer -", "settler s"],
    "request_withdraw": [OWNER, "config -", "vault w"],
    "cancel_withdraw": [OWNER, "vault w"],
    "execute_withdraw": [OWNER, "vault w", VAULT_TOKEN, "destination w owner token", "mint -", TOKEN_ROW],
    "withdraw_now": [OWNER, "settler s", "relayer -", "vault -", VAULT_TOKEN, "destination w owner token", "mint -", TOKEN_ROW, "instructions -"],
    "close_vault": ["owner sw", "rent_payer w payer", "vault w", VAULT_TOKEN, "destination w owner token", "mint -", TOKEN_ROW],
    "recover_tokens": [OWNER, "vault -", "source w stray", "destination w owner's other", "mint - other mint", TOKEN_ROW],
    "recover_nested": ["owner sw", "vault w", VAULT_TOKEN, "nested w", "mint -", TOKEN_ROW, ASSOCIATED_ROW],
    "recover_nested_earnings": ["authority sw provider authority", "provider w", "token w provider token", "nested w nested earnings", "mint -", TOKEN_ROW, ASSOCIATED_ROW],
    "recover_lamports": ["owner sw", "vault w"],
    "settle_batch": ["settler sw", "relayer -", "config -", "fee_token w relayer token", "mint -", TOKEN_ROW],
}
ARGUMENTS = {
    "init_config": "genesis_hash u8[32], admin address, guardian address, delays Delays, floors Delays",
    "set_config": "update ConfigUpdate",
    "transfer_admin": "pending_admin address",
    "register_relayer": "settler address, receipt_key u8[32], fee_bps u16, url string",
    "update_relayer": "update RelayerUpdate",
    "register_provider": "name string, url string",
    "update_provider": "update ProviderUpdate",
    "suspend_provider": "suspended bool",
    "withdraw_earnings": "amount u64",
    "withdraw_fees": "amount u64",
    "put_offer": "model string, terms OfferTerms",
    "authorize_key": "slot u8, grant KeyGrant",
    "update_key": "slot u8, limits KeyLimits",
    "revoke_key": "slot u8",
    "request_withdraw": "amount u64",
    "withdraw_now": "amount u64, agreement Agreement",
    "settle_batch": "batch batch",
}


def instructions():
    who = people()
    fixed = {"system_program": SYSTEM, "token_program": TOKEN, "associated_token_program": ASSOCIATED, "instructions": INSTRUCTIONS_SYSVAR}

    def account(row):
        name, flags, *whose = row.split(" ", 2)
        address = fixed.get(name) or who[whose[0] if whose else name]
        return {"name": name, "address": address, "signer": "s" in flags, "writable": "w" in flags}

    def instruction(name, /, **args):
        data = sha256(b"global:", name.encode())[:8] + pack_fields(ARGUMENTS.get(name, ""), args)
        accounts = [account(row) for row in ACCOUNTS[name]]
        return {"name": name, "args": args, "data": data, "accounts": accounts}

    # The settler does not sign: the program's own address stands in its place.
    alone = instruction("revoke_key", slot=31)
    alone["accounts"][4] |= {"address": ROUTER, "signer": False}
    batch = sample_batch((1, 1))
    batch["groups"][0]["charges"][0]["offer_ix"] = 0
    settled = instruction("settle_batch", batch=batch_bytes(batch))
    rest = [("vault", True), ("vault token", True), ("offer", False), ("provider token", True)]
    settled["accounts"] += [{"name": name.replace(" ", "_"), "address": who[name], "signer": False, "writable": writable} for name, writable in rest]
    named = {
        "init_config": {"genesis_hash": GENESIS, "admin": who["admin"], "guardian": who["guardian"], "delays": DELAYS, "floors": FLOORS},
        "set_config": {"update": {"guardian": who["guardian"], "delays": DELAYS}},
        "transfer_admin": {"pending_admin": who["guardian"]},
        "register_relayer": {"settler": who["settler"], "receipt_key": who["receipt key"], "fee_bps": 333, "url": "https://relayer.example/v1"},
        "update_relayer": {"update": {"settler": who["settler"], "receipt_key": who["receipt key"], "fee_bps": 2_000, "url": "https://é.example", "retired": True}},
        "register_provider": {"name": "Prövider", "url": "https://provider.example"},
        "update_provider": {"update": {"name": "Provider", "url": "https://provider.example/v2", "retired": False}},
        "suspend_provider": {"suspended": True},
        "withdraw_earnings": {"amount": U64},
        "withdraw_fees": {"amount": 1_500_000},
        "put_offer": {"model": MODEL, "terms": TERMS},
        "authorize_key": {"slot": 0, "grant": GRANT},
        "update_key": {"slot": 1, "limits": LIMITS},
        "revoke_key": {"slot": 0},
        "request_withdraw": {"amount": U64},
        "withdraw_now": {"amount": 1_250_000, "agreement": AGREEMENT},
    }
    cases = [instruction(name, **named.get(name, {})) for name in ACCOUNTS if name != "settle_batch"]
    cases += [
        settled, alone,
        instruction("set_config", update=NOTHING["ConfigUpdate"]),
        instruction("update_relayer", update={**NOTHING["RelayerUpdate"], "fee_bps": 0}),
        instruction("update_provider", update={**NOTHING["ProviderUpdate"], "retired": True}),
        instruction("suspend_provider", suspended=False),
    ]
    return {"program": ROUTER, "instruction": cases}


def deadline(time, slot):
    return {"time": time, "slot": slot}


def accounts():
    who = people()
    point = lambda version, time, low=LOW, high=HIGH: {"price": low, "long_price": high, "from": deadline(time, version * 2), "version": version, "long_from": 200_000}
    limits = lambda total, low: {"total": total, "window": total // 4, "max_price": low, "max_fee_bps": 500, "_padding": bytes(6)}
    session = made(
        "SessionKey", key=who["session key"], allow_root=blob("root"), settled_pico=1_234_567_890_123, window_spent=U64 * MICRO, window_start=1_767_225_600, expires=2**63 - 1,
        revoked_at=1_767_229_200, settle_until=deadline(1_767_231_901, 348_119_752), limits=limits(15_000_000, LOW), former=limits(20_000_000, HIGH),
        former_until=deadline(1_767_231_000, 348_118_000), window_seconds=3_600, epoch=3,
    )
    bump = lambda *seeds: derive(*seeds)[1]
    relayer = made(
        "Relayer", authority=who["relayer authority"], settler=who["settler"], fee_token=who["relayer token"], receipt_key=who["receipt key"], receipt_key_id=1,
        fee=made("FeeSchedule", current=333), registered_slot=348_000_000, bump=bump(b"relayer", who["relayer authority"]), url="https://relayer.example/v1",
    )
    provider = made(
        "Provider", authority=who["provider authority"], token=who["provider token"], rent_payer=who["payer"], rent_paid=3_438_240, token_rent_paid=2_039_280,
        registered_slot=348_000_001, bump=bump(b"provider", who["provider authority"]), name="Prövider", url="https://provider.example",
    )
    offer = made(
        "Offer", provider=who["provider"], token=who["provider token"], rent_payer=who["payer"], model=MODEL.encode().ljust(64, b"\0"), current=point(1_767_225_600, 1_767_225_600),
        rent_paid=5_679_360, capabilities=TERMS["capabilities"], last_version=1_767_225_600, context_limit=1_048_576, output_limit=32_768, status=1, model_len=len(MODEL),
        bump=bump(*offer_seeds(who["provider"], MODEL)),
    )
    vault = made(
        "Vault", owner=who["owner"], relayer=who["relayer"], token=who["vault token"], rent_payer=who["payer"], generation=348_112_233, rent_paid=5_233_920,
        token_rent_paid=0, bump=bump(b"vault", who["owner"], who["relayer"]),
    )
    config = made(
        "Config", domain=sha256(b"steam-router:v1", ROUTER, GENESIS), mint=who["mint"], admin=who["admin"], guardian=who["guardian"], delays=DELAYS, floors=FLOORS, bump=bump(b"config"),
    )
    previous = [{"id": n, "key": blob(f"receipt key {n}"), "until_slot": 348_000_000 + n} for n in (4, 3, 2, 1)]
    fee = {"current": 333, "previous": 400, "previous_until": deadline(-1, 7), "next": 500, "has_next": True, "next_from": deadline(2**63 - 1, U64), "current_until": deadline(3, 4)}
    cases = [
        ("Config", config, {}),
        ("Config", {**config, "pending_admin": who["owner"], "paused_until": deadline(1_767_225_600, 5), "next_pause_from": deadline(1_767_229_200, 6)}, {}),
        ("Relayer", relayer, {}),
        ("Relayer", {**relayer, "receipt_key_id": 5, "previous_receipt_keys": previous, "fee": fee, "status": "Retired", "url": "u"}, {}),
        # What a longer URL left behind is no part of the account.
        ("Relayer", {**relayer, "url": "https://relayer"}, {"left": b".example/v1"}),
        ("Provider", provider, {}),
        ("Provider", {**provider, "offers": U32, "status": "Suspended", "status_before": "Retired", "name": "x" * 32, "url": "u" * 128}, {}),
        ("Offer", offer, {}),
        ("Offer", {
            **offer, "previous": point(7, 1, HIGH, LOW), "current": point(8, 2), "next": point(9, 3, HIGH), "previous_until": deadline(4, 5), "current_until": deadline(6, 7),
            "retired_at": deadline(8, 9), "settle_until": deadline(10, 11), "last_version": U32, "status": 2, "capabilities": U64,
        }, {}),
        ("Vault", vault, {"keys": [zero("SessionKey")]}),
        ("Vault", {
            **vault, "settle_hash": blob("head"), "settled_pico": U128, "fee_pico": 2**64 + 1, "receipts_settled": 12, "pending_withdrawal": U64, "unlock_at": deadline(12, 13),
            "settle_seq": 7, "epochs": 3,
        }, {"keys": [session, zero("SessionKey"), {**session, "epoch": 2, "revoked_at": 0, "allow_root": bytes(32), "former_until": deadline(0, 0)}]}),
    ]
    found = []
    for kind, fields, more in cases:
        data = sha256(b"account:", kind.encode())[:8] + pack(kind, fields) + more.get("left", b"")
        data = data.ljust(SIZES[kind], b"\0") + b"".join(pack("SessionKey", key) for key in more.get("keys", []))
        assert len(data) == SIZES[kind] + 320 * len(more.get("keys", [])), kind
        found.append({"kind": kind, "fields": fields, "keys": more.get("keys", []), "data": data})
    for kind in ("SessionKey", "Limits", "PricePoint", "FeeSchedule"):
        assert len(pack(kind, zero(kind))) == SIZES[kind], kind
    return {"account": found}


EVENTS = {
    "ConfigInitialized": "domain u8[32], mint address, admin address, guardian address, delays Delays, floors Delays",
    "ConfigChanged": "guardian address, delays Delays",
    "AdminOffered": "pending_admin address",
    "AdminAccepted": "admin address",
    "PauseStarted": "until Deadline",
    "RelayerRegistered": "relayer address, authority address, settler address, receipt_key u8[32], fee_bps u16, url string",
    "RelayerUpdated": "relayer address, settler address, receipt_key u8[32], receipt_key_id u32, fee FeeSchedule, status Status, url string",
    "ProviderRegistered": "provider address, authority address, name string, url string",
    "ProviderUpdated": "provider address, status Status, name string, url string",
    "ProviderSuspended": "provider address, suspended bool",
    "ProviderClosed": "provider address, authority address",
    "EarningsWithdrawn": "account address, destination address, amount u64",
    "OfferPut": "offer address, provider address, model string, terms OfferTerms, change PriceChange, version u32",
    "OfferWithdrawn": "offer address, settle_until Deadline",
    "OfferClosed": "offer address, provider address, last_version u32",
    "VaultOpened": "vault address, owner address, relayer address, token address, rent_payer address, generation u64",
    "KeyAuthorized": "vault address, key address, slot u8, epoch u32, grant KeyGrant",
    "KeyUpdated": "vault address, key address, slot u8, epoch u32, limits KeyLimits, former_until Deadline",
    "KeyEnded": "vault address, key address, slot u8, epoch u32, settle_until Deadline",
    "WithdrawalRequested": "vault address, amount u64, unlock_at Deadline",
    "WithdrawalCancelled": "vault address, amount u64",
    "WithdrawalExecuted": "vault address, destination address, amount u64",
    "WithdrawnNow": "vault address, destination address, amount u64, agreement Agreement",
    "VaultClosed": "vault address, generation u64, destination address, amount u64",
    "Recovered": "account address, mint address, destination address, amount u64",
    "Settled": "vault address, seq u32, receipts u32, paid u64, fee u64",
    "Skipped": "vault address, seq u32, total u64",
}


def sample(name, kind):
    """A value of a type that tells its place: no two fields of an event have the same."""
    if kind in FIELDS:
        return {field: sample(f"{name}.{field}", part) for field, part in fields_of(FIELDS[kind])}
    if kind in ENUMS:
        return ENUMS[kind][-1]
    if kind == "address" or kind.startswith("u8["):
        return blob(name)
    if kind in ("string", "bool"):
        return {"string": name, "bool": True}[kind]
    return int.from_bytes(blob(name)[: int(kind[1:]) // 8], "little", signed=kind[0] == "i")


def events():
    cases = []
    for name, layout in EVENTS.items():
        fields = {field: sample(f"{name}.{field}", kind) for field, kind in fields_of(layout)}
        data = sha256(b"event:", name.encode())[:8] + pack_fields(layout, fields)
        cases.append({"name": name, "fields": fields, "data": data, "line": "Program data: " + base64.b64encode(data).decode()})
    return {"event": cases}


FILES = {
    "units": units, "domain": domains, "voucher": vouchers, "ed25519": signatures, "request": requests, "group": groups, "batch": batches,
    "receipt": receipts, "merkle": merkle, "allow_list": allow_lists, "key": keys,
    "address": addresses, "instruction": instructions, "account": accounts, "event": events,
}


def main():
    here, drifted = Path(__file__).parent, []
    for name, build in FILES.items():
        content = json.dumps(text(build()), indent=1, ensure_ascii=True) + "\n"
        path = here / f"{name}.json"
        if "--check" not in sys.argv:
            path.write_text(content)
        elif not path.exists() or path.read_text() != content:
            drifted.append(path.name)
    if drifted:
        sys.exit("these vectors differ from what generate.py writes: " + ", ".join(drifted))


main()
