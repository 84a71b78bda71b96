"""A headless Chromium, by the Chrome DevTools protocol over two pipes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

KEYS = {"Tab": 9, "Enter": 13, "Escape": 27}


class Tab:
    """One of its pages. errors: exceptions of scripts, and what the console calls an error."""

    def __init__(self, send: Callable[[dict[str, Any]], None], receive: Callable[[], dict[str, Any]]) -> None:
        self._send, self._receive, self._number, self._session = send, receive, 0, ""
        self.errors: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._send(message | ({"sessionId": self._session} if self._session else {}))
        while (answer := self._receive()).get("id") != self._number:
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(answer["params"]["exceptionDetails"]))
            if answer.get("method") == "Log.entryAdded" and answer["params"]["entry"]["level"] == "error":
                self.errors.append(answer["params"]["entry"]["text"])
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def value(self, script: str) -> Any:
        """Of an expression of JavaScript."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script: str) -> None:
        """Until an expression is true."""
        end = time.monotonic() + 30
        while not self.value(f"!!({script})"):
            assert time.monotonic() < end, script
            time.sleep(0.02)

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.wait(f"document.readyState == 'complete' && location.href.startsWith({json.dumps(address)})")

    def type(self, text: str) -> None:
        for character in text:
            self.call("Input.dispatchKeyEvent", type="keyDown", text=character, key=character)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=character)

    def press(self, key: str) -> None:
        code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def screen(self, *, width: int, dark: bool) -> None:
        """A phone's or a desk's, in light or dark mode."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """With a folder for its profile; the test is skipped where there is no Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium")
    (its_in, our_out), (our_in, its_out) = os.pipe(), os.pipe()

    def as_3_and_4() -> None:
        os.dup2(its_in, 3)
        os.dup2(its_out, 4)

    # As root Chromium needs --no-sandbox.
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    with (
        subprocess.Popen(
            [path, *options, f"--user-data-dir={profile}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=as_3_and_4,
            pass_fds=(3, 4),
        ) as process,
        os.fdopen(our_out, "wb", buffering=0) as outgoing,
        os.fdopen(our_in, "rb", buffering=0) as incoming,
    ):
        os.close(its_in)
        os.close(its_out)
        pending = bytearray()

        def send(message: dict[str, Any]) -> None:
            outgoing.write(json.dumps(message).encode() + b"\0")

        def receive() -> dict[str, Any]:
            while b"\0" not in pending:
                piece = incoming.read(1 << 16)
                assert piece, "Chromium has ended"
                pending.extend(piece)
            end = pending.index(b"\0")
            found: dict[str, Any] = json.loads(pending[:end])
            del pending[: end + 1]
            return found

        try:
            yield Tab(send, receive)
        finally:
            process.kill()
