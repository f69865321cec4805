#!/usr/bin/env python3
"""The runtime is installed to a folder of its own, and the C++ example of docs, copied out of the
tree, is built against it and finds its line on two ranks.  usage: install_test.py BUILD
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]


# As the example's page shows them.
COMMANDS = [
    'cmake --install build/release --component development --prefix "$HOME/trainyard"',
    'cmake -S docs/examples/cpp -B "$HOME/example" -DCMAKE_PREFIX_PATH="$HOME/trainyard"',
    'cmake --build "$HOME/example"',
]


def shell(command, environment):
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False,
                          env=environment)
    if done.returncode != 0:
        print(command, f"exit {done.returncode}", done.stdout, done.stderr, sep="\n")
        sys.exit(1)
    return done.stdout


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    cached = (build / "CMakeCache.txt").read_text(encoding="utf-8").splitlines()
    flags = [f"'-D{line}'" for line in cached
             if line.startswith(("CMAKE_CXX_COMPILER:", "CMAKE_CXX_FLAGS:", "TRAINYARD_SANITIZE:"))]
    if any("TRAINYARD_SANITIZE:" in flag and not flag.endswith("='") for flag in flags):
        print("skipped: libraries with sanitizers are not installed")
        return 77
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prefix, source = folder / "trainyard", folder / "source"
        shutil.copytree(ROOT / "docs" / "examples" / "cpp", source)
        environment = dict(os.environ, HOME=str(folder), OMPI_ALLOW_RUN_AS_ROOT="1",
                           OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        install, configure, compile_it = COMMANDS
        shell(install.replace("build/release", str(build)), environment)
        config = (prefix / "lib/cmake/trainyard/trainyardConfig.cmake").read_text(encoding="utf-8")
        assert str(ROOT) not in config and str(build) not in config, "it points into the tree"
        shell(" ".join([configure.replace("docs/examples/cpp", str(source)), *flags]), environment)
        shell(compile_it, environment)
        lines = len((source / "trainer.cc").read_text(encoding="utf-8").splitlines())
        assert lines < 60, f"the example has {lines} lines"
        moved = prefix.rename(folder / "elsewhere")  # nothing of it is needed any more
        said = shell(f"mpirun -np 2 --oversubscribe {folder}/example/example_trainer "
                     "--learning_rate=0.1", environment)
        assert said.startswith("y = 2.9") or said.startswith("y = 3.0"), said
        print(f"built outside the tree against {len(list(moved.rglob('*.h')))} headers: {said}",
              end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
