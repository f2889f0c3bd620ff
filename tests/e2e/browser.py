# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
"""Headless Chromium for the tests of the page: its own protocol over two pipes, nothing else needed.

Everything that the browser has to say of the page is kept: errors, messages of the console, requests, violations of the page's policy.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

PROGRAMS = ("chromium-headless-shell", "chromium")
READY = "!!document.documentElement && document.documentElement.dataset.ready === '1'"


def missing():
    """Why there is no browser, or None."""
    if any(shutil.which(p) for p in PROGRAMS):
        return None
    return "no Chromium to open the page with: apt-get install chromium-headless-shell"


class Page:
    def __init__(self, path, width=1400, height=900, dark=False, patience=60):
        self.patience = patience
        self.home = tempfile.mkdtemp()
        program = next(p for p in map(shutil.which, PROGRAMS) if p)
        ours, theirs = os.pipe(), os.pipe()  # its 3 is what we write, its 4 what we read
        command = f'exec "$@" 3<&{ours[0]} 4>&{theirs[1]}'
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", command, "sh", program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
             "--no-first-run", "--user-data-dir=" + self.home],
            pass_fds=(ours[0], theirs[1]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(ours[0])
        os.close(theirs[1])
        self.to, self.back, self.heard, self.calls, self.events, self.session = ours[1], theirs[0], b"", 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.media(dark)
        self.call("Page.addScriptToEvaluateOnNewDocument",
                  source="window.violations = []; document.addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective + ' ' + e.blockedURI))")
        self.begun = time.monotonic()
        self.call("Page.navigate", url="file://" + os.path.abspath(path))
        self.wait(READY)

    def media(self, dark):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def _message(self):
        end = time.monotonic() + self.patience
        while b"\0" not in self.heard:
            if not select.select([self.back], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            more = os.read(self.back, 1 << 20)
            if not more:
                raise EOFError("the browser ended")
            self.heard += more
        one, self.heard = self.heard.split(b"\0", 1)
        return json.loads(one)

    def call(self, method, **params):
        self.calls += 1
        message = {"id": self.calls, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        while True:
            answer = self._message()
            if answer.get("id") == self.calls:
                assert "error" not in answer, (method, answer)
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def js(self, text):
        """The value of an expression; a promise is waited for."""
        result = self.call("Runtime.evaluate", expression=text, returnByValue=True, awaitPromise=True, allowUnsafeEvalBlockedByCSP=False)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, condition):
        end = time.monotonic() + self.patience
        while not self.js(condition):
            assert time.monotonic() < end and not self.said(), (condition, self.said())
            time.sleep(0.03)

    def said(self):
        """Exceptions, console messages, and what the browser itself logs."""
        return [e["params"] for e in self.events if e["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")]

    def requests(self):
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]

    def key(self, name, text=None, shift=False):
        params = {"key": name, "modifiers": 8 if shift else 0}
        code = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36}.get(name)
        if code:
            params.update(windowsVirtualKeyCode=code, code=name)
        if name == "Enter":
            text = "\r"
        if text or len(name) == 1:
            params["text"] = text or name
        self.call("Input.dispatchKeyEvent", type="keyDown", **params)
        params.pop("text", None)
        self.call("Input.dispatchKeyEvent", type="keyUp", **params)

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x, y):
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, button="left", clickCount=1)
        self.mouse("mouseReleased", x, y, button="left", clickCount=1)

    def drag(self, x0, y0, x1, y1):
        self.mouse("mouseMoved", x0, y0)
        self.mouse("mousePressed", x0, y0, button="left", clickCount=1)
        for i in range(1, 6):
            self.mouse("mouseMoved", x0 + (x1 - x0) * i / 5, y0 + (y1 - y0) * i / 5, buttons=1)
        self.mouse("mouseReleased", x1, y1, button="left", clickCount=1)

    def place(self, selector, index=0):
        """Left, top, width and height of an element in the window, brought into view."""
        return self.js(f"(() => {{ const e = document.querySelectorAll({json.dumps(selector)})[{index}]; e.scrollIntoView({{block: 'center'}});"
                       " const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()")

    def press(self, selector, index=0):
        x, y, w, h = self.place(selector, index)
        self.click(x + w / 2, y + h / 2)

    def pdf(self):
        return base64.b64decode(self.call("Page.printToPDF", landscape=True, printBackground=True)["data"])

    def close(self):
        for fd in (self.to, self.back):
            os.close(fd)
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)
