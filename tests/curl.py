"""``curl`` command lines as documents show them: run by curl, or done by Python's own client."""

from __future__ import annotations

import argparse
import http.client
import json
import shlex
import ssl
import subprocess
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from tests.processes import environment

SECONDS = 20.0
Curl = Callable[[list[str]], str]


def read_as_curl(words: list[str]) -> str:
    """What the answer to such a line holds, without curl; knows the options that are used here."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-X", dest="method")
    parser.add_argument("-d", dest="data", action="append", default=[])
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("--cacert")
    parser.add_argument("url")
    found = parser.parse_args(words[1:])
    url = urlsplit(found.url)
    assert words[0] == "curl" and url.hostname is not None
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=SECONDS)
    if url.scheme == "https":
        trust = ssl.create_default_context(cafile=found.cacert)
        connection = http.client.HTTPSConnection(
            url.hostname, url.port, timeout=SECONDS, context=trust
        )
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if found.data else {}
    headers.update(line.split(": ", 1) for line in found.headers)
    body = "&".join(found.data) or None
    connection.request(found.method or ("POST" if body else "GET"), url.path, body, headers)
    with connection.getresponse() as answer:
        text = answer.read().decode()
    connection.close()
    return text


def run_curl(words: list[str]) -> str:
    """What curl prints."""
    done = subprocess.run(
        [*words, "-sS", "--noproxy", "*"],
        capture_output=True, text=True, env=environment(), timeout=SECONDS, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def answer(line: str, *options: str, curl: Curl) -> Any:
    """The JSON that a ``curl`` command line gets."""
    return json.loads(curl([*shlex.split(line.replace("\\\n", " ")), *options]))
