#!/usr/bin/env python3
"""Runs a program on a pseudo-terminal of 120 columns, as a person at a screen does.

Everything it shows goes to FILE, its exit status is ours. Standard input is the terminal, on which
nobody types.
Usage: on_terminal.py FILE PROGRAM [ARGS...]
"""
import fcntl
import os
import pty
import struct
import sys
import termios


def main():
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.environ.pop("NO_COLOR", None)
        os.execvp(sys.argv[2], sys.argv[2:])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    with open(sys.argv[1], "wb", buffering=0) as file:
        while True:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # how Linux says that the program has let go of the terminal
                break
            if not data:
                break
            file.write(data)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
