"""The gates of docs/PROVIDERS.md, taken out of the page and started as it says."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
GUIDE = (ROOT / "docs/PROVIDERS.md").read_text()


def block(section, language):
    """The one block of a language in a section."""
    text = GUIDE.split(f"\n### {section}\n")[1].split("\n### ")[0].split("\n## ")[0]
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)
    assert len(found) == 1, f"{section} has {len(found)} blocks of {language}"
    return found[0]


def build(command, folder, environment=None):
    built = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, env=environment)
    assert built.returncode == 0, built.stdout + built.stderr
    return built


def python(folder):
    (folder / "gate.py").write_text(block("Python", "python"))
    return [sys.executable, folder / "gate.py"]


def typescript(folder):
    """Compiled with the strictest settings."""
    node = pathlib.Path(os.environ["STEAM_GUIDES_NODE"])
    (folder / "gate.ts").write_text(block("TypeScript", "typescript"))
    (folder / "package.json").write_text('{"type": "module"}')
    types = ["--typeRoots", node / "node_modules/@types", "--types", "node"]
    build([node / "node_modules/.bin/tsc", "--strict", "--target", "es2022", "--module", "nodenext", *types, "gate.ts"], folder)
    return ["node", folder / "gate.js"]


def rust(folder):
    """Compiled with the versions that the workspace has, where it has them."""
    (folder / "src").mkdir()
    (folder / "Cargo.toml").write_text(block("Rust", "toml"))
    (folder / "src/main.rs").write_text(block("Rust", "rust"))
    shutil.copy(ROOT / "Cargo.lock", folder / "Cargo.lock")
    shutil.copy(ROOT / "rust-toolchain.toml", folder)
    target = pathlib.Path(os.environ["STEAM_GUIDES_TARGET"])
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target), "RUSTFLAGS": "-D warnings"}
    # Compiling takes all the processor that it is given; others may need some.
    build(["bash", "-c", "echo 5 > /proc/self/autogroup 2>/dev/null; exec cargo build --quiet"], folder, environment)
    return [target / "debug/gate"]


GATES = {"python": python, "typescript": typescript, "rust": rust}
