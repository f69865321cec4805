#!/usr/bin/env python3
"""deploy/spot-notice.py against a metadata service that answers as each cloud's does."""
import http.server
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "spot-notice.py"
PATIENCE_SECONDS = 20
# As the docs show it; the test puts its own cloud and folder in.
SHOWN = "deploy/spot-notice.py --cloud aws --file /var/lib/trainyard/agent/leaving"


class Metadata(http.server.BaseHTTPRequestHandler):
    """`answers` by path: text, or a status; `wanted`: headers without which nothing is told."""
    answers = {}
    wanted = {}

    def do_GET(self):
        if any(self.headers.get(name) != value for name, value in self.wanted.items()):
            return self.say(403, "")
        answer = self.answers.get(self.path, 404)
        return self.say(answer, "") if isinstance(answer, int) else self.say(200, answer)

    def do_PUT(self):
        right = self.path == "/latest/api/token" and self.headers.get(
            "X-aws-ec2-metadata-token-ttl-seconds")
        return self.say(200, "secret") if right else self.say(400, "")

    def say(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class SpotNoticeTest(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.folder = tempfile.TemporaryDirectory()
        self.file = pathlib.Path(self.folder.name) / "leaving"
        self.watcher = None

    def tearDown(self):
        if self.watcher is not None:
            self.watcher.kill()
            self.watcher.communicate()
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def watch(self, cloud, answers, wanted):
        Metadata.answers, Metadata.wanted = answers, wanted
        address = f"http://127.0.0.1:{self.server.server_address[1]}"
        command = SHOWN.replace("aws", cloud).split()
        command[0], command[-1] = str(SCRIPT), str(self.file)
        self.watcher = subprocess.Popen(
            [sys.executable, *command, "--metadata", address, "--every", "0.05"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def await_text(self, text):
        end = time.monotonic() + PATIENCE_SECONDS
        found = None
        while time.monotonic() < end:
            found = self.file.read_text() if self.file.exists() else None
            if found == text:
                return
            self.assertIsNone(self.watcher.poll(), "it ended")
            time.sleep(0.02)
        self.fail(f"the file says {found!r}, not {text!r}")

    def test_aws(self):
        path = "/latest/meta-data/spot/instance-action"
        self.watch("aws", {}, {"X-aws-ec2-metadata-token": "secret"})
        time.sleep(0.3)
        self.assertFalse(self.file.exists())
        Metadata.answers[path] = '{"action": "terminate", "time": "2031-09-18T08:22:00Z"}'
        self.await_text("2031-09-18T08:22:00Z\n")

    def test_gcp_and_a_service_that_is_away_for_a_while(self):
        path = "/computeMetadata/v1/instance/preempted"
        self.watch("gcp", {path: "FALSE"}, {"Metadata-Flavor": "Google"})
        time.sleep(0.3)
        self.assertFalse(self.file.exists())
        Metadata.answers[path] = "TRUE"
        self.await_text("30s\n")
        Metadata.answers[path] = 503
        time.sleep(0.3)
        self.await_text("30s\n")  # silence takes nothing back
        Metadata.answers[path] = "FALSE"
        self.await_text(None)
        watcher, self.watcher = self.watcher, None
        watcher.kill()
        said = watcher.communicate()[1]
        self.assertEqual(said.count("does not answer as gcp does"), 1, said)

    def test_azure(self):
        path = "/metadata/scheduledevents?api-version=2020-07-01"
        event = {"EventType": "Freeze", "NotBefore": "Mon, 19 Sep 2031 18:29:47 GMT"}
        self.watch("azure", {path: json.dumps({"Events": [event]})}, {"Metadata": "true"})
        time.sleep(0.3)
        self.assertFalse(self.file.exists())
        events = [event, {"EventType": "Reboot", "NotBefore": "Mon, 19 Sep 2031 20:00:00 GMT"},
                  {"EventType": "Preempt", "NotBefore": "Mon, 19 Sep 2031 19:00:00 GMT"}]
        Metadata.answers[path] = json.dumps({"Events": events})
        self.await_text("2031-09-19T19:00:00Z\n")
        Metadata.answers[path] = json.dumps({"Events": []})
        self.await_text(None)

    def test_a_notice_of_an_earlier_one_is_kept_while_it_holds(self):
        path = "/computeMetadata/v1/instance/preempted"
        self.file.write_text("30s\n")
        told = self.file.stat().st_mtime_ns
        self.watch("gcp", {path: "TRUE"}, {"Metadata-Flavor": "Google"})
        time.sleep(0.5)
        self.assertEqual(self.file.stat().st_mtime_ns, told, "the 30 seconds began anew")
        Metadata.answers[path] = "FALSE"
        self.await_text(None)

    def test_a_folder_that_is_not_there_is_said_at_once(self):
        command = [sys.executable, str(SCRIPT), "--cloud", "aws", "--file", "/no/such/x"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS,
                              check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/no/such is no folder", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=["spot_notice_test"])
