"""Regenerates the tour in README.md: runs each command that stands in `<!-- run: … -->` and puts its real output below it.

usage: readme.py [--check]   with --check: fails when a block is missing its output, and writes nothing
`coldcase` in a command is target/debug/coldcase; the demo's bundle must be there (make demo).
"""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"<!-- run: (.+?) -->\n```console\n(.*?)```\n", re.S)


def output(command):
    env = dict(os.environ, PATH=f"{ROOT / 'target/debug'}:{os.environ['PATH']}", COLUMNS="120", NO_COLOR="1")
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    text = "\n".join(line.rstrip() for line in done.stdout.rstrip().splitlines())
    return text.replace(str(ROOT) + "/", "")


def main():
    readme = ROOT / "README.md"
    text = readme.read_text()
    if "--check" in sys.argv:
        empty = [m[1] for m in BLOCK.finditer(text) if m[2].count("\n") < 2]
        sys.exit(f"README.md: no output below: {empty}" if empty else 0)
    readme.write_text(BLOCK.sub(lambda m: f"<!-- run: {m[1]} -->\n```console\n$ {m[1]}\n{output(m[1])}\n```\n", text))


if __name__ == "__main__":
    main()
