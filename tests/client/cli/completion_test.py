#!/usr/bin/env python3
"""The completion scripts in their own shells: bash, zsh and fish each complete a real line.

Words come from the built program without a scheduler: commands and flags. A shell that is not
installed is skipped by name; with none at all the exit status is 77.
Usage: completion_test.py BUILD_FOLDER
"""
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
failures = []


def check(good, what):
    if not good:
        failures.append(what)


def environment(build, home):
    return {
        "HOME": home,
        "PATH": f"{build}/bin:{os.environ['PATH']}",
        "TERM": "xterm",
        "LC_ALL": "C.UTF-8",
        "XDG_CONFIG_HOME": f"{home}/config",
    }


def bash(env, line):
    """Candidates as readline gets them: the function is called with its variables set."""
    words = line.split(" ")
    script = (
        "source <(trainyard completion bash)\n"
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _trainyard; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", *words],
        env=env,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    check(done.returncode == 0 and not done.stderr, f"bash: {done}")
    return done.stdout.split()


def fish(env, line):
    script = "trainyard completion fish | source; complete -C $argv[1]"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script, line],
        env=env,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    check(done.returncode == 0, f"fish: {done}")
    return [word.split("\t")[0] for word in done.stdout.splitlines()]


class Terminal:
    """zsh completes at a terminal alone, so one is held for it."""

    def __init__(self, argv, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, env)

    def type(self, text, until, seconds=60):
        """Types and reads until the pattern shows; all that was shown since."""
        os.write(self.fd, text.encode())
        shown, deadline = "", time.monotonic() + seconds
        while not re.search(until, shown):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                return shown
            shown += os.read(self.fd, 65536).decode(errors="replace")
        return shown

    def close(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def zsh(env, line):
    """Types the line and Tab; the widget itself says what was offered."""
    folder = pathlib.Path(env["HOME"], "zfunc")
    folder.mkdir(exist_ok=True)
    with open(folder / "_trainyard", "w", encoding="utf-8") as script:
        subprocess.run(["trainyard", "completion", "zsh"], env=env, stdout=script, check=True)
    terminal = Terminal(["zsh", "-f", "-i"], env)
    terminal.type(
        f"PS1='rea''dy> '; fpath=({folder} $fpath); autoload -Uz compinit; "
        "compinit -u -D; zstyle ':completion:*' menu no; setopt no_list_ambiguous "
        "no_always_last_prompt; LISTMAX=1000\n",
        r"ready> ",
    )
    # Tab lists (or completes) the line; Ctrl-U and a marker end the reading at a known place.
    shown = terminal.type(line + "\t", r"\n[^\n]*\n[^\n]*ready> |  ?$", 20)
    shown += terminal.type("\x15echo mar''ker\n", r"marker")
    terminal.close()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    return re.findall(r"[A-Za-z_][\w-]*|--[\w-]+", text)


CASES = (
    ("trainyard jobs desc", {"describe"}, {"submit", "up"}),
    ("trainyard jobs c", {"cancel"}, {"describe"}),
    ("trainyard jobs list --stat", {"--state"}, {"--limit"}),
    ("trainyard completio", {"completion"}, {"custom-jobs"}),
)


def main():
    build = str(pathlib.Path(sys.argv[1]).resolve())
    ran = 0
    for name, shell in (("bash", bash), ("zsh", zsh), ("fish", fish)):
        if shutil.which(name) is None:
            print(f"skipped: {name} is not installed")
            continue
        ran += 1
        with tempfile.TemporaryDirectory() as home:
            for line, wanted, unwanted in CASES:
                offered = set(shell(environment(build, home), line))
                check(wanted <= offered, f"{name}: {line!r} does not offer {wanted}: {offered}")
                check(not unwanted & offered, f"{name}: {line!r} offers {unwanted & offered}")
    for failure in failures:
        print("FAILED", failure)
    print(f"{ran} shells, {len(failures)} failures")
    return 1 if failures else SKIPPED if ran == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
