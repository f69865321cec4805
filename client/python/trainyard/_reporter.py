"""The connection to the supervisor of the job: JSON lines over a unix stream socket, one reply per
request.

Invariants: a lost or silent supervisor never ends the training program; it is said once on stderr
and points are dropped. One that is there and silent holds the program up once; then nothing is sent
for as long, and for longer each time, but for checkpoints. A mistake of the program (a metric that
is no number) raises at once, in a job and outside.
"""
import json
import math
import os
import signal
import socket
import sys
import threading
import time

_REQUEST_BYTES_MAX = 64 * 1024
_TIMEOUT_SECONDS = 10.0
_QUIET_SECONDS_MAX = 60.0


class _Connection:
    """One socket of this process, opened at first use and again after a fork or a failure."""

    def __init__(self):
        self._lock = threading.RLock()
        self._socket = None
        self._input = None
        self._pid = None
        self._said = set()
        self._quiet, self._quiet_until = _TIMEOUT_SECONDS, 0.0
        self.stop = False

    def say_once(self, text):
        if text not in self._said:
            self._said.add(text)
            print("trainyard: " + text, file=sys.stderr, flush=True)

    def ask(self, request, always=False):
        """The reply to `request`, or None when nobody answers, or lately nobody did (unless
        `always`). Raises ValueError when it is refused."""
        line = json.dumps(request, allow_nan=False).encode("utf-8") + b"\n"
        if len(line) > _REQUEST_BYTES_MAX:
            raise ValueError(
                f"a report of {len(line)} bytes is too large: at most {_REQUEST_BYTES_MAX}")
        path = os.environ.get("TRAINYARD_SOCKET")
        if not path:
            self.say_once("not run by Trainyard; reports are not sent")
            return None
        with self._lock:
            if time.monotonic() < self._quiet_until and not always:
                return None
            # A connection that broke since the last call is opened again, once.
            for last in (False, True):
                try:
                    reply = self._exchange(path, line)
                    self._quiet = _TIMEOUT_SECONDS
                    break
                except (OSError, ValueError) as error:
                    self._close()
                    silent = isinstance(error, socket.timeout)
                    if silent:
                        self._quiet_until = time.monotonic() + self._quiet
                        self._quiet = min(2 * self._quiet, _QUIET_SECONDS_MAX)
                    if last or silent:
                        self.say_once(
                            f"the supervisor does not answer, reports are dropped: {error}")
                        return None
        if "error" in reply:
            raise ValueError(f"the report was refused: {reply['error']}")
        if reply.get("should_stop"):
            self.stop = True
        return reply

    def _exchange(self, path, line):
        if self._socket is None or self._pid != os.getpid():
            self._open(path)
        self._socket.sendall(line)
        return self._read()

    def _open(self, path):
        self._close()
        self._pid = os.getpid()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_TIMEOUT_SECONDS)
        self._socket.connect(path)
        self._input = self._socket.makefile("rb")
        hello = {"hello": {"rank": _int_of("RANK", 0), "pid": os.getpid()}}
        self._socket.sendall(json.dumps(hello).encode("utf-8") + b"\n")
        self._read()

    def _read(self):
        line = self._input.readline(_REQUEST_BYTES_MAX)
        if not line.endswith(b"\n"):
            raise OSError("the connection was closed")
        reply = json.loads(line)
        if not isinstance(reply, dict):
            raise ValueError("the reply is no object")
        return reply

    def _close(self):
        # A descriptor inherited by fork is only dropped: the parent goes on using the socket.
        for thing in (self._input, self._socket):
            try:
                if thing is not None:
                    thing.close()
            except OSError:
                pass
        self._input = None
        self._socket = None


_connection = _Connection()


def _renew_after_fork():
    """A forked child must not wait for a lock that another thread of its parent held."""
    global _connection
    said = _connection._said
    stop = _connection.stop
    _connection = _Connection()
    _connection._said = said
    _connection.stop = stop


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_after_fork)


def _int_of(name, default):
    try:
        return int(os.environ.get(name, ""))
    except ValueError:
        return default


def _step_of(step):
    value = int(step)
    if value != step or value < 0:
        raise ValueError(f"a step is a whole number from 0, not {step!r}")
    return value


def _value_of(name, value):
    if not isinstance(name, str) or not name:
        raise ValueError(f"a metric's name is a text, not {name!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"the metric {name} is no number: {value!r}") from None
    if math.isnan(number):
        return "nan"
    if math.isinf(number):
        return "inf" if number > 0 else "-inf"
    return number


def report(step=None, metrics=None, /, **named):
    """Reports metrics of `step`, for example report(5, accuracy=0.93) or report(5, {"val loss":
    0.3}).

    Values are anything float() takes (NumPy scalars, one-element tensors); nan and inf are reported
    as such. Returns what should_stop() would. Raises ValueError for a negative step or a value that
    is no number. The step may be given by name as well: report(step=5, accuracy=0.93).
    """
    if step is None:
        step = named.pop("step", None)
    if step is None:
        raise ValueError("a report needs its step: report(5, accuracy=0.9)")
    values = {name: _value_of(name, value) for name, value in {**(metrics or {}), **named}.items()}
    if not values:
        raise ValueError("a report needs at least one metric: report(step, accuracy=0.9)")
    _connection.ask({"report": {"step": _step_of(step), "metrics": values}})
    return _connection.stop


def should_stop():
    """True when the job is to end: cancelled, preempted, or stopped early by the study.

    The first call also makes SIGTERM set this flag instead of ending the process at once, unless
    the program has a handler of its own: what asks is expected to save its work and leave within
    the job's grace.
    """
    _watch_sigterm()
    if not _connection.stop:
        _connection.ask({"should_stop": True})
    return _connection.stop


def _watch_sigterm():
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not os.environ.get("TRAINYARD_SOCKET") or not in_main_thread:
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(_signal, _frame):
    _connection.stop = True


def _folder_of(variable, name):
    folder = os.environ.get(variable)
    if not folder:
        folder = os.path.abspath(name)
        os.makedirs(folder, exist_ok=True)
    return folder.rstrip("/") or "/"


def checkpoint_dir():
    """The folder for checkpoints. In a job it already holds what the attempt before committed last;
    outside a job it is ./checkpoints, made when absent."""
    return _folder_of("AIP_CHECKPOINT_DIR", "checkpoints")


def model_dir():
    """The folder whose content is published as the job's model; outside a job ./model, made when
    absent."""
    return _folder_of("AIP_MODEL_DIR", "model")


def save_checkpoint(step, path):
    """Commits the file or folder at `path`, which lies below checkpoint_dir(), as the checkpoint of
    `step`.

    It is uploaded in the background and must not be changed afterwards. Raises FileNotFoundError
    when nothing is there and ValueError when it lies elsewhere.
    """
    root = os.path.realpath(checkpoint_dir())
    full = os.path.realpath(path if os.path.isabs(path) else os.path.join(root, path))
    if not os.path.exists(full):
        raise FileNotFoundError(f"no checkpoint at {full}")
    if full == root or os.path.commonpath([full, root]) != root:
        raise ValueError(f"a checkpoint lies below {root}, not at {full}")
    _connection.ask({"checkpoint": {"step": _step_of(step), "path": os.path.relpath(full, root)}},
                    always=True)


def resume_step():
    """The step of the checkpoint that was restored into checkpoint_dir(), None for a fresh
    start."""
    return _int_of("TRAINYARD_RESUME_STEP", None)
