# SPDX-License-Identifier: MIT
"""browser: a headless Chromium of its own for a test, spoken to over two pipes (the DevTools protocol): no port, no
driver. What a page asked for, printed and threw is kept.

    with Browser() as b:
        page = b.open("http://127.0.0.1:8081/")
        page.wait("document.title == 'x'")
"""
import base64
import fcntl
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from wire import SLOW

CHROMIUM = os.environ.get("ELIO_CHROMIUM", "chromium")
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-sync",
             "--disable-default-apps", "--disable-background-timer-throttling",
             "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows", "--metrics-recording-only", "--mute-audio", "--hide-scrollbars",
             "--font-render-hinting=none", "--remote-debugging-pipe"]
ANSWER_S = 60 * SLOW


class Browser:
    def __init__(self):
        assert shutil.which(CHROMIUM), "chromium is not installed: .ci/deps test"
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="elio-chromium-"))
        self.pages, self.number, self.answers, self.lock = {}, 0, {}, threading.Lock()
        self.log = (self.directory / "log").open("wb")
        to_read, self.to_browser = os.pipe()
        self.from_browser, to_write = os.pipe()
        them = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (to_read, to_write)]
        env = {**os.environ, "HOME": str(self.directory), "XDG_CONFIG_HOME": str(self.directory / "config"), "TZ": "UTC"}
        # It wants 3 and 4.
        self.process = subprocess.Popen(["bash", "-c", f'exec "$@" 3<&{them[0]} 4>&{them[1]}', "bash", CHROMIUM, *ARGUMENTS,
                                         f"--user-data-dir={self.directory / 'profile'}", "about:blank"], pass_fds=them,
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=env, start_new_session=True)
        for fd in (to_read, to_write, *them):
            os.close(fd)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- the protocol ----

    def _read(self):
        rest = b""
        while True:
            data = os.read(self.from_browser, 1 << 20)
            if not data:
                break
            *whole, rest = (rest + data).split(b"\0")
            for text in whole:
                self._take(json.loads(text))
        for waiting in list(self.answers.values()):
            waiting.put({"error": "the browser has ended"})

    def _take(self, message):
        if "id" in message:
            self.answers.pop(message["id"]).put(message)
        elif message.get("sessionId") in self.pages:
            self.pages[message["sessionId"]].on(message["method"], message["params"])

    def call(self, method, session=None, **params):
        answer = queue.Queue()
        with self.lock:
            self.number += 1
            self.answers[self.number] = answer
            message = {"id": self.number, "method": method, "params": params, **({"sessionId": session} if session else {})}
            data = json.dumps(message).encode() + b"\0"
            while data:
                data = data[os.write(self.to_browser, data):]
        try:
            message = answer.get(timeout=ANSWER_S)
        except queue.Empty:
            raise AssertionError(f"chromium did not answer {method}:\n{self.told()}") from None
        assert "error" not in message, f"{method}: {message['error']}"
        return message["result"]

    def told(self):
        return (self.directory / "log").read_text(errors="replace")[-4000:]

    # ---- pages ----

    def open(self, url, width=1440, height=900, dark=False, first=None):
        """A page with a context of its own: nothing of it is kept for others. `first` runs before any script of it."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.size(width, height)
        page.colours(dark)
        page.call("Emulation.setFocusEmulationEnabled", enabled=True)
        if first:
            page.call("Page.addScriptToEvaluateOnNewDocument", source=first)
        page.call("Page.navigate", url=url)
        page.wait("document.readyState == 'complete'")
        return page

    def close(self):
        """Its end, whatever it does: with all processes that it has started."""
        try:
            self.call("Browser.close")
            self.process.wait(20 * SLOW)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        os.close(self.to_browser)
        self.reader.join()
        os.close(self.from_browser)
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Page:
    def __init__(self, browser, session, target):
        self.browser, self.session, self.target = browser, session, target
        self.urls, self.complaints, self.dialogs, self.sockets = [], [], [], []

    def on(self, method, params):
        if method == "Network.requestWillBeSent":
            self.urls.append(params["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.urls.append(params["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"].get("exception", {}).get("description") or str(params))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(str([a.get("value", a.get("description")) for a in params["args"]]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(params["message"])

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def size(self, width, height, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)

    def colours(self, dark):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def run(self, expression):
        """The value of an expression of the page's; what is thrown there is thrown here."""
        r = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in r, f"{expression}: {r['exceptionDetails']}"
        return r["result"].get("value")

    def wait(self, expression, seconds=20):
        """Until it is true; returns its value."""
        deadline = time.monotonic() + seconds * SLOW
        while time.monotonic() < deadline:
            value = self.run(expression)
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"not in time: {expression}\n{self.complaints}\n{self.text()[:3000]}")

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)

    def text(self, selector="body"):
        return self.run(f"(document.querySelector({json.dumps(selector)}) || {{innerText: ''}}).innerText")

    def click(self, selector):
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def press(self, key, code=None):
        more = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code or key,
                      windowsVirtualKeyCode={"Tab": 9, "Enter": 13, "Escape": 27}.get(key, 0), **more)
            more = {}

    def write(self, text):
        self.call("Input.insertText", text=text)

    def screenshot(self, path):
        """A PNG of all there is, as it looks in a window that is high enough for it."""
        width, scale = self.run("[innerWidth, devicePixelRatio]")
        height, before = self.run("[document.documentElement.scrollHeight, innerHeight]")
        self.size(width, height, scale)
        self.run("new Promise((done) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 400))")
        data = self.call("Page.captureScreenshot", format="png")["data"]
        self.size(width, before, scale)
        pathlib.Path(path).write_bytes(base64.b64decode(data))
        return path
