#!/usr/bin/env python3
"""Runs every command that the docs show, file by file, on an embedded cluster of its own.

A fenced block says in its info string how it is checked:
  console            lines that begin with "$ " are run in order; others are sample output, of which
                     every line must be like one that the command prints: the same words but for
                     numbers, names with numbers and a few words that differ from run to run
  console fails=N    the block's last command must end with exit status N
  sh by=PATH         run by that script, which holds every command of the block, and which another
                     script or a CMakeLists.txt of the tests runs
  sh by=ctest        each command is one test of the suite: build/release/tests/NAME or a script
Blocks of any other language are data (yaml, json, text, python ...). A plain "sh" or "bash"
block is a fault, and so is a command in an indented block: nothing runs it. Every relative link
leads to a file, and to a heading of it when it names one.
Usage: docs_test.py BUILD_FOLDER [FILE...]
"""
import ast
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

LIKENESS = 0.6  # share of words that a line of sample output has in common with the real one
ROOT = pathlib.Path(__file__).resolve().parents[2]


def documents(only):
    files = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [f for f in files if f.exists() and (not only or str(f.relative_to(ROOT)) in only)]


def blocks(path):
    """(info string, first line number, lines) of each fenced block."""
    info, start, body = None, 0, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"^\s*```(.*)$", line)
        if fence and info is None:
            info, start, body = fence.group(1).strip(), number, []
        elif fence:
            yield info, start, body
            info = None
        elif info is not None:
            body.append(line)


# What a command line of ours begins with.
PROGRAM = re.compile(
    r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:trainyard|trainyard-[a-z]+|mpirun|bash|python3|cmake|ninja"
    r"|ctest|source|build/\S+|(?:\./)?(?:deploy|bench|tests)/\S+)(?:\s|$)"
)


def indented_commands(path):
    """(line number, text) of commands in indented blocks, which no test runs."""
    fenced, before = False, ""
    in_block = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if re.match(r"^\s*```", line):
            fenced = not fenced
        opens = line.startswith(("    ", "\t")) and not before.strip()
        heads = before.startswith("#") and line.startswith("    ")
        in_block = not fenced and line.startswith(("    ", "\t")) and (in_block or opens or heads)
        if in_block and PROGRAM.match(line):
            yield number, line.strip()
        before = line


def anchor_of(heading):
    """A heading's name in a link, as GitHub makes it."""
    words = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def prose(path):
    """The lines outside fences."""
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if re.match(r"^\s*```", line):
            fenced = not fenced
        elif not fenced:
            yield number, line


def broken_links(path):
    """(line number, target) of relative links that lead nowhere."""
    for number, line in prose(path):
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
            if re.match(r"^[a-z][a-z+.-]*:", target):
                continue
            name, _, anchor = target.partition("#")
            file = (path.parent / name).resolve() if name else path
            if not file.exists():
                yield number, target
            elif anchor and file.suffix == ".md":
                headings = [h for _, h in prose(file) if h.startswith("#")]
                if anchor not in {anchor_of(h.lstrip("#")) for h in headings}:
                    yield number, target


def check_text(path, faults):
    name = path.relative_to(ROOT)
    for number, text in indented_commands(path):
        faults.append(f"{name}:{number}: a command that no test runs (indented): {text}")
    for number, target in broken_links(path):
        faults.append(f"{name}:{number}: the link leads nowhere: {target}")


def code_of(file):
    """A script's text without its comments and, in Python, without its docstring."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        first = ast.parse(text).body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            text = "\n".join(text.splitlines()[first.end_lineno:])
    comment = "//" if file.suffix in (".cc", ".h") else "#"
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith(comment))


def test_lists():
    """What the CMakeLists.txt below tests/ say, without comments."""
    return "\n".join(code_of(one) for one in (ROOT / "tests").rglob("CMakeLists.txt"))


def check_ctest(where, body, faults):
    """Every command is a test of its own."""
    lists = test_lists()
    for command in filter(None, (line.split("#")[0].strip() for line in body)):
        program = pathlib.Path(command)
        if command.startswith("build/release/tests/"):
            known = re.search(rf"trainyard_test\({re.escape(program.name)}\s", lists)
        else:
            known = (ROOT / program).exists() and program.name in lists
        if not known:
            faults.append(f"{where}: no test of the suite: {command}")


def check_by(where, script, body, faults):
    """The script exists, something runs it, and it holds what the block shows."""
    if script == "ctest":
        check_ctest(where, body, faults)
        return
    file = ROOT / script
    if not file.exists():
        faults.append(f"{where}: {script} does not exist")
        return
    text = code_of(file)
    for line in body:
        command = line.split("#")[0].strip()
        if command and command not in text:
            faults.append(f"{where}: {script} does not run: {command}")
    if file.name not in code_of(ROOT / ".ci" / "run") + test_lists():
        faults.append(f"{where}: nothing runs {script}")


def commands(body):
    """(command, its sample output) of a console block; what ends with a backslash goes on."""
    found, going_on = [], False
    for line in body:
        text = line.strip()
        if going_on:
            found[-1][0] += "\n" + text
        elif text.startswith("$ "):
            found.append([text[2:], []])
        else:
            if found and text and text != "...":
                found[-1][1].append(line)
            continue
        going_on = text.endswith("\\")
    return [(command, sample) for command, sample in found]


def words_of(line):
    """The words of a line of output without what differs from run to run."""
    return ["#" if re.search(r"\d", word) else word for word in line.split()]


def unlike(sample, printed):
    """The lines of a sample that are like none that was printed."""
    shapes = [words_of(line) for line in printed.splitlines()]
    wrong = []
    for line in sample:
        shape = words_of(line)
        cut = len(shape) - 1 if shape[-1] == "..." else None  # the line goes on
        near = (difflib.SequenceMatcher(None, shape[:cut], one[:cut], autojunk=False).ratio()
                for one in shapes)
        if max(near, default=0) < LIKENESS:
            wrong.append(line)
    return wrong


def workspace(folder):
    """What a reader stands in: the repository's folder, but writable and thrown away."""
    for name in ("docs", "deploy", "bench", "README.md"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)


def run_block(where, body, want, folder, env, faults):
    all_commands = commands(body)
    for index, (command, sample) in enumerate(all_commands):
        last = index == len(all_commands) - 1
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        wanted = want if last else 0
        if done.returncode != wanted:
            faults.append(
                f"{where}: exit status {done.returncode}, expected {wanted}: {command}\n"
                f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
            return
        for line in unlike(sample, done.stdout + done.stderr):
            faults.append(
                f"{where}: nothing that is printed is like the sample line: {line}\n"
                f"of: {command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )


def check_file(path, env, faults):
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        workspace(pathlib.Path(folder))
        place = path.relative_to(ROOT).parent  # an example's page is read in the example's folder
        here = pathlib.Path(folder) / (place if place.parts[:2] == ("docs", "examples") else "")
        for info, line, body in blocks(path):
            where = f"{path.relative_to(ROOT)}:{line}"
            words = info.split()
            language, options = (words[0] if words else ""), dict(
                w.split("=", 1) for w in words[1:] if "=" in w
            )
            if language == "console":
                run_block(where, body, int(options.get("fails", 0)), here, env, faults)
                count += len(commands(body))
            elif language in ("sh", "bash"):
                if "by" not in options:
                    faults.append(f"{where}: a {language} block that no test runs")
                else:
                    check_by(where, options["by"], body, faults)
    return count


def starts_its_own(path):
    """Whether the page itself begins with trainyard up."""
    for info, _, body in blocks(path):
        if info.split()[:1] == ["console"]:
            ours = [command for command, _ in commands(body) if command.startswith("trainyard ")]
            if ours:
                return ours[0] == "trainyard up"
    return False


def with_cluster(build, path, faults):
    """Each file has a cluster of its own, so that names in one do not meet those of another."""
    state = tempfile.mkdtemp(prefix="trainyard-docs-")
    env = {
        **os.environ,
        "TRAINYARD_STATE": state,
        "HOME": state,
        "PATH": f"{build}/bin:{build}/bench:{os.environ['PATH']}",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "NO_COLOR": "1",
    }
    env.pop("XDG_STATE_HOME", None)
    trainyard = str(build / "bin/trainyard")
    try:
        if not starts_its_own(path):
            subprocess.run([trainyard, "up"], env=env, check=True, stdin=subprocess.DEVNULL,
                           capture_output=True)
        return check_file(path, env, faults)
    finally:
        subprocess.run([trainyard, "down", "--kill"], env=env, check=False, capture_output=True)
        shutil.rmtree(state, ignore_errors=True)


def main():
    build = pathlib.Path(sys.argv[1])
    faults, count = [], 0
    for path in documents(sys.argv[2:]):
        check_text(path, faults)
        has_commands = any(
            info.split()[:1] in (["console"], ["sh"], ["bash"]) for info, _, _ in blocks(path)
        )
        if has_commands:
            count += with_cluster(build, path, faults)
    for fault in faults:
        print(fault)
    print(f"{count} commands run, {len(faults)} faults")
    return 1 if faults or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
