"""A sandbox process on a folder of its own, and the count of what was checked.

Shared by the scripts that drive the sandbox with foreign tools; the binary
under test is named by the environment variable TODOCTL.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

passed, failed = 0, 0


def check(name, truth, detail=""):
    """Counts one asserted result."""
    global passed, failed
    if truth:
        passed += 1
    else:
        failed += 1
        print(f"FAILED {name} {detail}")


def same(name, got, wanted):
    check(name, got == wanted, f"{got!r} instead of {wanted!r}")


def finish():
    """Says what was counted, and ends the script with it."""
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


class Sandbox:
    """A sandbox process of our own, on a state folder of our own."""

    def __init__(self, rate="600", seed="7"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="todoctl-interop-"))
        self.rate, self.seed = rate, seed
        self.process = None
        try:
            self.start()
        except BaseException:
            if self.process:
                self.process.kill()
            raise

    def start(self):
        """Starts the process and waits for it; a subclass looks around then."""
        command = [os.environ["TODOCTL"], "sandbox", "serve", "--state-dir", str(self.dir)]
        self.process = subprocess.Popen([*command, "--seed", self.seed, "--clock", self.rate])
        file = self.dir / "sandbox.json"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                self.info = json.loads(file.read_text())
                if self.info["pid"] == self.process.pid:
                    return
            except (OSError, ValueError):
                pass
            if self.process.poll() is not None:
                raise SystemExit("the sandbox ended before it was ready")
            time.sleep(0.02)
        raise SystemExit("the sandbox does not become ready")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.process.terminate()
        code = self.process.wait(timeout=10)
        check("SIGTERM ends the sandbox cleanly", code == 0, code)
        shutil.rmtree(self.dir)
