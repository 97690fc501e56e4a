#!/usr/bin/env python3
"""The composite action and the GitLab job of docs/ci.md: both are read as YAML, and the action's shell steps run as GitHub runs them, against the demo's shop,
with a stand-in for `gh` that notes what it is asked."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from capture import free_port  # noqa: E402
from case import COLDCASE, ROOT, Verdicts  # noqa: E402

try:
    import yaml
except ImportError:
    print("skipped: the files of CI: no PyYAML (pip install -r tests/requirements.txt)")
    sys.exit(0)

DEMO = os.environ.get("DEMO", str(ROOT / "target/debug/coldcase-demo"))
ACTION = ROOT / ".github/actions/compare/action.yml"
GH = """#!/usr/bin/env bash
printf '%s\\n' "$*" >> "$GH_LOG"
case "$*" in *--jq*) echo "${GH_COMMENT:-}" ;; esac
"""


def step(action, name, folder, **env):
    """Runs the script of a step in a folder, as the runner does. Nothing of GitHub's own syntax may be left in it."""
    script = next(s["run"] for s in action["runs"]["steps"] if s["name"] == name)
    if "${{" in script:
        sys.exit(f"{name}: an expression in a script would run what a pull request says")
    (folder / "step.sh").write_text(script)
    env = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "GITHUB_OUTPUT": str(folder / "output"), "GITHUB_STEP_SUMMARY": str(folder / "summary"),
           "GH_LOG": str(folder / "gh.log"), "FOLDER": str(folder / "out"), **env}
    return subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "step.sh"], cwd=folder, env=env, capture_output=True, text=True)


def page(v, file):
    """The page in a real browser: its scripts run under its policy, and nothing is complained of."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not browser:
        return v.skip("the page in a browser", "no chromium (apt-get install chromium)")
    with tempfile.TemporaryDirectory() as profile:
        # Its sandbox refuses root; the page is our own.
        shown = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={profile}", "--dump-dom", f"file://{file}"],
                               capture_output=True, text=True, timeout=120)
    said = [line for line in shown.stderr.splitlines() if "CONSOLE" in line]
    v.check("the browser's console says nothing", not said, "; ".join(said)[:300])
    v.check("its scripts ran: of the flame graphs one is shown", shown.stdout.count('class="flame"') == 1 and 'class="flame off"' in shown.stdout, "")
    v.check("it shows the distributions of both sides, and no NaN", "in base and head" in shown.stdout and "NaN" not in shown.stdout, "")


def main():
    v = Verdicts()
    action = yaml.safe_load(ACTION.read_text())
    steps = {s["name"]: s for s in action["runs"]["steps"]}
    v.check("the action is a composite one with three steps", action["runs"]["using"] == "composite" and len(steps) == 3, ", ".join(steps))
    inputs = set(re.findall(r"inputs\.([a-z-]+)", ACTION.read_text()))
    v.check("each input is declared, and none for nothing", inputs == set(action["inputs"]), str(inputs ^ set(action["inputs"])))
    for s in steps.values():
        named = set(re.findall(r"\$\{?([A-Z][A-Z_]+)", s["run"])) - {"PATH", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"}
        v.check(f"'{s['name']}' is given what it uses", named == set(s["env"]) - {"GH_TOKEN"}, str(named ^ set(s["env"])))
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/ci.md").read_text(), re.S)
    workflow, gitlab = (yaml.safe_load(b) for b in blocks)
    used = next(s for s in workflow["jobs"]["compare"]["steps"] if "actions/compare" in s.get("uses", ""))
    v.check("the workflow uses the action with inputs that it has", set(used["with"]) <= set(action["inputs"]), str(used["with"]))
    lines = [line for part in ("script", "after_script") for line in gitlab["compare"][part]]
    for line in lines:
        done = subprocess.run(["bash", "-n"], input=line, text=True, capture_output=True)
        v.check(f"GitLab: {line[:48]}… is shell", done.returncode == 0, done.stderr)
    options = set(re.findall(r"--[a-z-]+", next(line for line in lines if "coldcase compare" in line)))
    told = subprocess.run([COLDCASE, "compare", "--help"], capture_output=True, text=True).stdout
    v.check("GitLab's options of compare are there", all(o in told for o in options), " ".join(options))

    with tempfile.TemporaryDirectory(prefix="coldcase-ci-") as folder:
        folder = pathlib.Path(folder)
        (folder / "bin").mkdir()
        (folder / "bin/gh").write_text(GH)
        (folder / "bin/gh").chmod(0o755)
        http, grpc = free_port(), free_port()
        (folder / "coldcase.toml").write_text(f"[otlp]\nhttp = '127.0.0.1:{http}'\ngrpc = '127.0.0.1:{grpc}'\n[[compare.gate]]\nmetric = 'latency *'\nrelative = '500%'\n")
        shop = f"'{DEMO}' all --dir shop --for 3s --otlp http://127.0.0.1:{http}"
        both = {"COLDCASE": COLDCASE, "RUNS": "2", "GATES": "coldcase.toml", "CONFIG": "coldcase.toml", "BASE": shop}
        done = step(action, "Record in turns and compare", folder, **both, HEAD=f"{shop} --fault query")
        v.check("one query more is a regression, and the step goes on to the comment", done.returncode == 0, done.stderr[-600:])
        v.check("its verdict is an output", (folder / "output").read_text() == "verdict=regression\n", (folder / "output").read_text())
        comment = (folder / "out/comment.md").read_text()
        v.check("the comment names the query", "calls SELECT orders" in comment, comment[:300])
        v.check("it stands in the summary, and annotations in the log", comment in (folder / "summary").read_text() and "::error title=coldcase compare" in done.stdout, done.stdout[:300])
        v.check("page and JUnit are there", all((folder / "out" / f).stat().st_size > 0 for f in ("compare.html", "junit.xml")), "")

        page(v, folder / "out/compare.html")

        pull = {"GH_TOKEN": "none", "NUMBER": "7", "REPOSITORY": "o/r"}
        first = step(action, "Comment on the pull request", folder, **pull)
        again = step(action, "Comment on the pull request", folder, **pull, GH_COMMENT="4711")
        asked = (folder / "gh.log").read_text().splitlines()
        v.check("the first comment is made, a later one takes its place", first.returncode == again.returncode == 0 and "POST repos/o/r/issues/7/comments" in asked[1]
                and "PATCH repos/o/r/issues/comments/4711" in asked[3], json.dumps(asked))
        for verdict, strict, code in (("pass", "false", 0), ("inconclusive", "false", 0), ("inconclusive", "true", 1), ("regression", "false", 1), ("error", "false", 1)):
            done = step(action, "Verdict", folder, VERDICT=verdict, STRICT=strict)
            v.check(f"{verdict} (strict: {strict}) ends with {code}", done.returncode == code, done.stdout)
        failed = step(action, "Record in turns and compare", folder, **{**both, "BASE": "exit 3"}, HEAD="true")
        v.check("a command that fails is an error, and no verdict", failed.returncode == 0 and (folder / "output").read_text().endswith("verdict=error\n"), failed.stderr[-300:])
    v.end()


if __name__ == "__main__":
    main()
