"""A headless Chromium that is told what to do over a pipe (the DevTools protocol): nothing beyond the standard library."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))), None)


class Browser:
    """One window with one page. `complaints` are errors of its scripts and of its Content-Security-Policy, not refused requests."""

    def __init__(self, width=1000, height=700):
        self.home = tempfile.mkdtemp(prefix="browser")
        self.complaints, self.last_id, self.buffer, self.session = [], 0, b"", None
        to_read, self.to_write = os.pipe()
        self.to_read, to_write = os.pipe()
        fds = {3: os.dup(to_read), 4: os.dup(to_write)}

        def place():                          # the protocol is spoken on descriptors 3 and 4
            spare = {n: os.dup2(fd, 100 + n) for n, fd in fds.items()}
            for n, fd in spare.items():
                os.dup2(fd, n)

        self.process = subprocess.Popen(
            [PROGRAM, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking", f"--user-data-dir={self.home}", f"--window-size={width},{height}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=place,
            env={**os.environ, "HOME": self.home}, start_new_session=True)
        for fd in (to_read, to_write, *fds.values()):
            os.close(fd)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(domain + ".enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.to_write)               # it ends with its pipe
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.to_read)
        shutil.rmtree(self.home, ignore_errors=True)

    def _receive(self, deadline):
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.to_read], [], [], left)[0], "the browser does not answer"
            piece = os.read(self.to_read, 1 << 16)
            assert piece, "the browser has ended"
            self.buffer += piece
        message, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(message)
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(message["params"]["exceptionDetails"])
        if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["source"] != "network":
            self.complaints.append(message["params"]["entry"])
        return message

    def call(self, method, **params):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params, **({"sessionId": self.session} if self.session else {})}
        os.write(self.to_write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 30
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self.last_id:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, url):
        self.call("Page.navigate", url=url)

    def js(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression, seconds=20):
        """Until the expression is true; while a page loads it may fail."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(AssertionError):
                value = self.js(expression)
                if value:
                    return value
            if time.monotonic() > deadline:
                raise AssertionError(f"not true within {seconds} s: {expression}\nthe page says: {self.js('document.body.innerText')}")
            time.sleep(0.05)

    def type(self, text):
        """Into whatever has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key):
        code = {"Enter": 13, "Tab": 9}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def click(self, selector):
        self.wait(f"document.querySelector({selector!r})?.checkVisibility()")
        self.js(f"document.querySelector({selector!r}).click()")
