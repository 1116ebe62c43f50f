"""Defaults of the relayer's settings, read from relayer/src/config: the binary tells the names of its settings, not their defaults."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FILES = [ROOT / "relayer/src/config.rs", *(ROOT / f"relayer/src/config/{name}.rs" for name in ("ledger", "market", "sponsoring"))]
# The settings of a section stand in a struct, and its defaults in that struct's `impl Default`.
DEFAULT = re.compile(r"impl Default for (\w+) \{.*?Self \{(.*?)\}\n", re.S)
ASSIGNED = re.compile(r"(\w+): ((?:[^,(\[{]|\([^()]*(?:\([^()]*(?:\[[^\]]*\])?[^()]*\))*[^()]*\))+)")
EMPTY = {"Vec::new()": [], "BTreeMap::new()": {}, "PathBuf::new()": "", "String::new()": ""}


def value(expression):
    """The value of a default as a file has it, from how it is written in Rust."""
    expression = expression.strip()
    digits = expression.replace("_", "")
    if digits in ("true", "false"):
        return digits == "true"
    if shifted := re.fullmatch(r"(\d+) << (\d+)", digits):
        return int(shifted[1]) << int(shifted[2])
    if re.fullmatch(r"\d+(\.\d+)?", digits):
        return float(digits) if "." in digits else int(digits)
    if expression in EMPTY:
        return EMPTY[expression]
    if quoted := re.fullmatch(r'"([^"]*)"\.into\(\)', expression):
        return quoted[1]
    if address := re.fullmatch(r"SocketAddr::from\(\(\[([\d, ]+)\], (\d+)\)\)", expression):
        return f"{address[1].replace(', ', '.')}:{address[2]}"
    if variant := re.fullmatch(r"\w+::(\w+)", expression):
        return variant[1].lower()
    raise ValueError(f"`{expression}` is a default of a new kind: teach {__file__} to read it")


def defaults():
    """Defaults by section and setting."""
    config = re.search(r"pub struct Config \{(.*?)\n\}", FILES[0].read_text(), re.S)[1]
    section_of = {kind: section for section, kind in re.findall(r"pub (\w+): (\w+),", config)}
    return {
        section_of[kind]: {name: value(expression) for name, expression in ASSIGNED.findall(body)}
        for file in FILES
        for kind, body in DEFAULT.findall(file.read_text())
    }
