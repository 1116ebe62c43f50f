"""The relayer under test."""

import json
import os

INFO = json.load(open(os.environ["STEAM_INFO"]))
MODEL, KEY, URL = INFO["models"][0], INFO["api_key"], INFO["base_url"]
ROOT = URL.removesuffix("/v1")
