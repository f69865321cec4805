#!/usr/bin/env python3
"""Walks every command of the built program.

Help under 60 lines without escapes, examples first; the docs page equal to the help; wrong flags
answered with exit code 2 and the nearest name; data alone on standard output.

Usage: cli_walk_test.py BUILD_FOLDER [--write]     --write: writes docs/cli.md anew
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "cli.md"
HEAD = """# Commands

Every command of `trainyard`, as `trainyard COMMAND --help` prints it. Exit codes: 0 ok; 1 internal,
or not possible in the state that things are in (a job that has ended cannot be cancelled); 2 the
command line is wrong by itself (a flag, a word, a value that the command never takes); 3 not found;
4 what it names is wrong (a spec, a program, a tier) or taken; 5 denied; 6 unreachable (or too far
apart in version); 7 timed out; 8 job failed; 9 no capacity; 130 after Ctrl-C. Where several things
are wrong, the first one decides.

Data goes to standard output, everything else to standard error. `-o json` prints one document: the
API's own message with lowerCamel names, and for a list one array of them. `-o jsonl` prints a line
for each, `-o name` names alone; with json and jsonl errors are JSON too: `{"faults": [{"reason",
"message", "field", "fix", ...}]}`, and one answer has every fault. Reasons are explained in
[errors.md](errors.md). No colour and no progress bar unless the stream is a terminal; `NO_COLOR`
and `TERM=dumb` turn them off. Words of `gcloud ml-engine`, `gcloud ai-platform` and `gcloud ai` are
accepted as they are, those group names included.
"""
# Commands that print no data of their own, and those that change nothing in the cluster.
SILENT = {"up", "down", "local train", "completion", "config get", "config set", "config unset",
          "token revoke", "study delete", "study stream", "store cp",
          "queues delete", "quota delete", "reservations delete"}
WRITES = {"run", "jobs submit training", "jobs pause", "jobs resume", "jobs cancel", "jobs update",
          "hp-tuning-jobs create", "hp-tuning-jobs cancel", "custom-jobs create",
          "custom-jobs cancel", "study create", "study ask", "study tell", "study complete",
          "study delete", "jobs hold", "jobs release", "queues set", "queues delete", "quota set",
          "quota delete", "reservations create", "reservations delete", "drain", "revoke-node",
          "tiers set", "projects create", "token create", "token revoke", "join-token"}
failures = []


def check(good, what):
    if not good:
        failures.append(what)


class Program:
    def __init__(self, path, home):
        self.path = path
        # TERM is a colour terminal on purpose: a pipe alone must keep escapes away.
        self.environment = {
            "HOME": home, "PATH": os.environ.get("PATH", ""), "TERM": "xterm-256color"}

    def __call__(self, *words):
        return subprocess.run([self.path, *words], env=self.environment, capture_output=True,
                              text=True, timeout=60)


def words_of(text):
    """Command words in a help of a group."""
    block = text.split("Commands", 1)[1].split("Help of one")[0]
    return re.findall(r"^  ([a-z][a-z-]*)  ", block, re.M)


def walk(program, path=()):
    """Yields (words, help text) of every command below."""
    result = program(*path, "--help")
    check(result.returncode == 0, f"{path} --help: exit code {result.returncode}")
    check(result.stderr == "", f"{path} --help writes to standard error")
    if "Help of one" not in result.stdout:
        yield path, result.stdout
        return
    for word in words_of(result.stdout):
        yield from walk(program, (*path, word))


def check_help(words, text):
    name = " ".join(words)
    lines = text.splitlines()
    check(len(lines) < 60, f"{name}: help of {len(lines)} lines")
    check("\x1b" not in text, f"{name}: escape sequences in a pipe")
    check(len(lines) > 2 and lines[2] == "Examples:", f"{name}: help does not begin with examples")
    check(all(line == line.rstrip() for line in lines), f"{name}: spaces at a line's end")
    check(f"trainyard {name}" in text, f"{name}: help does not name the command")


def check_shared_flags(words, text):
    """Every read has -o, every write --request-id."""
    name = " ".join(words)
    check(name in SILENT or "-o, --output FORMAT" in text, f"{name} has no -o")
    check(name not in WRITES or "--request-id ID" in text, f"{name} has no --request-id")


def check_mistakes(program, words):
    name = " ".join(words)
    result = program(*words, "--endpiont", "x")
    if name == "run" or result.returncode == 2:
        check("did you mean --endpoint?" in result.stderr,
              f"{name}: no suggestion for --endpiont: {result.stderr}")
    check(result.returncode == 2, f"{name} --endpiont: exit code {result.returncode}")
    check(result.stdout == "", f"{name}: an error on standard output")


def check_unreachable(program, words):
    """A command that needs a scheduler says so once, with exit code 6, and prints no data."""
    result = program(*words, "--endpoint", "unix:/nonexistent/socket")
    name = " ".join(words)
    check(result.returncode == 6,
          f"{name} without scheduler: exit code {result.returncode}: {result.stderr}")
    check(result.stdout == "", f"{name}: data without a scheduler")
    check(result.stderr.count("error:") == 1, f"{name}: not one error: {result.stderr}")
    for part in ("/nonexistent/socket", "--endpoint", "trainyard up", "trainyard doctor"):
        check(part in result.stderr, f"{name}: {part} is missing in: {result.stderr}")


def check_completion(build, home):
    """The script for bash, in bash, offers what begins with the typed words."""
    script = """
        source <(trainyard completion bash)
        COMP_WORDS=(trainyard jobs des); COMP_CWORD=2; _trainyard; echo "${COMPREPLY[@]}"
        COMP_WORDS=(trainyard jobs list -o js); COMP_CWORD=4; _trainyard; echo "${COMPREPLY[@]}"
        COMP_WORDS=(trainyard study ""); COMP_CWORD=2; _trainyard; echo "${COMPREPLY[@]}"
    """
    environment = {"HOME": home, "PATH": f"{build / 'bin'}:{os.environ.get('PATH', '')}"}
    lines = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True,
                           timeout=60).stdout.splitlines()
    check(lines[:2] == ["describe", "json jsonl"], f"bash completion: {lines}")
    check(len(lines) > 2 and lines[2].startswith("create list"), f"bash completion: {lines}")


def page_of(helps):
    parts = [HEAD]
    for words, text in helps:
        parts.append(f"\n## trainyard {' '.join(words)}\n\n```text\n{text}```\n")
    return "".join(parts)


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as home:
        program = Program(str(build / "bin" / "trainyard"), home)
        helps = list(walk(program))
        check({" ".join(words) for words, _ in helps} >= WRITES | SILENT, "a command is missing")
        check(len(helps) >= 55, f"only {len(helps)} commands found")
        for words, text in helps:
            check_help(words, text)
            check_shared_flags(words, text)
            check_mistakes(program, words)
        for words in (["jobs", "list"], ["nodes"], ["study", "list"], ["jobs", "describe", "a"],
                      ["trials", "a"], ["best", "a"], ["pull", "a", home], ["token", "list"],
                      ["logs", "a"], ["jobs", "wait", "a"]):
            check_unreachable(program, words)
        colourless = program("jobs", "list", "-o", "json")
        check(colourless.stderr.lstrip().startswith("{"),
              f"no JSON error: {colourless.stderr}")
        check_completion(build, home)
        check(program("--version").returncode == 0, "--version")
        check(program("down").returncode == 0, "down without a cluster")
        check(not (pathlib.Path(home) / ".local").exists(),
              "a read left something behind in the home folder")
    page = page_of(helps)
    if "--write" in sys.argv:
        PAGE.write_text(page, encoding="utf-8")
    known = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    check(page == known,
          f"docs/cli.md differs from --help; write it anew: {sys.argv[0]} {sys.argv[1]} --write")
    for failure in failures:
        print("FAILED", failure)
    print(f"{len(helps)} commands, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
