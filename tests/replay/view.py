#!/usr/bin/env python3
"""`coldcase replay` in a terminal: driven in tmux, its screens held against goldens beside this file. usage: view.py [--bless]"""
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))
import case

FIXTURE = case.ROOT / "fixtures/shop-lock.case"
WIDTH, HEIGHT = 110, 30
SOCKET = f"coldcase-view-{os.getpid()}"


def tmux(*argv):
    return subprocess.run(["tmux", "-L", SOCKET, "-f", "/dev/null", *argv], capture_output=True, text=True).stdout


class Terminal:
    """One that runs the command, and keeps what it left behind."""

    def __init__(self, folder, *options):
        self.left = folder / "left"
        command = shlex.join([case.COLDCASE, "replay", str(FIXTURE), *options])
        tmux("new-session", "-d", "-s", "t", "-x", str(WIDTH), "-y", str(HEIGHT), f"sh -c {shlex.quote(f'{command}; echo $? > {self.left}; sleep 60')}")

    def keys(self, *names):
        tmux("send-keys", "-t", "t", *names)

    def screen(self):
        return tmux("capture-pane", "-p", "-t", "t")

    def until(self, what, seconds=20):
        """The screen once it has what is waited for, and stands still."""
        end, before = time.time() + seconds, None
        while time.time() < end:
            now = self.screen()
            if what(now) and now == before:
                return now
            before = now
            time.sleep(0.3)
        return self.screen()

    def exit(self):
        end = time.time() + 10
        while time.time() < end and not (self.left.exists() and self.left.read_text().strip()):
            time.sleep(0.1)
        return self.left.read_text().strip() if self.left.exists() else None

    def close(self):
        tmux("kill-server")
        time.sleep(0.2)


def golden(verdicts, name, screen):
    path = HERE / f"view-{name}.txt"
    text = "\n".join(line.rstrip() for line in screen.splitlines()).rstrip() + "\n"
    if "--bless" in sys.argv:
        path.write_text(text)
    same = path.exists() and path.read_text() == text
    verdicts.check(f"{name}: the screen is the golden", same)
    if not same:
        print(text)


def main():
    verdicts = case.Verdicts()
    if not shutil.which("tmux"):
        verdicts.skip("the view in a terminal", "no tmux")
        verdicts.end()
    with tempfile.TemporaryDirectory(prefix="coldcase-view-") as made:
        folder = pathlib.Path(made)
        try:
            t = Terminal(folder, "--speed", "max")
            golden(verdicts, "end", t.until(lambda s: " end" in s.splitlines()[0] if s.strip() else False))
            t.keys("Home")
            again = t.until(lambda s: " end" in s.splitlines()[0] if s.strip() else False)
            verdicts.check("after the end it plays again from where it is sent", " end" in again.splitlines()[0])
            t.keys("q")
            verdicts.check("q leaves it", t.exit() == "0", t.exit())
            left = t.until(lambda s: "replay" not in s.splitlines()[0])
            verdicts.check("and the terminal is as before, with the summary", "space pause" not in left and "events" in left, left.strip()[:300])
            t.close()

            t = Terminal(folder, "--speed", "step")
            t.until(lambda s: "paused" in s)
            for _ in range(40):
                t.keys(".")
            golden(verdicts, "forty-steps", t.until(lambda s: "paused" in s))
            t.keys("Space")
            moved = t.until(lambda s: "paused" not in s, 5)
            verdicts.check("space lets it go on at the pace that it happened", "1x" in moved.splitlines()[0] and "playing" in moved.splitlines()[0], moved.splitlines()[0])
            t.keys("+")
            verdicts.check("+ makes it faster", "2x" in t.until(lambda s: "2x" in s, 5).splitlines()[0])
            t.keys("C-c")
            verdicts.check("Ctrl-C leaves it", t.exit() == "0", t.exit())
        finally:
            t.close()
    verdicts.end()


main()
