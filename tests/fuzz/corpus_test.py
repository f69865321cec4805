#!/usr/bin/env python3
"""Every fuzzer is declared and has a corpus that is small enough for the repository."""
import pathlib
import re
import unittest

HERE = pathlib.Path(__file__).resolve().parent
WANTED = {
    "spec", "search_space", "journal_record", "agent_messages", "http", "hypertune", "reporter",
    "tar", "safetensors", "manifest", "http_server", "grant", "fact_log",
}


class CorpusTest(unittest.TestCase):
    def test_every_parser_has_a_declared_fuzzer(self):
        lists = (HERE / "CMakeLists.txt").read_text()
        declared = set(re.findall(r"trainyard_fuzzer\((\w+)_fuzz", lists))
        sources = {path.stem.removesuffix("_fuzz") for path in HERE.glob("*_fuzz.cc")}
        self.assertEqual(declared, sources)
        self.assertEqual(WANTED - declared, set())

    def test_every_fuzzer_has_a_small_corpus(self):
        for source in HERE.glob("*_fuzz.cc"):
            files = [path for path in (HERE / "corpus" / source.stem).glob("*") if path.is_file()]
            self.assertGreaterEqual(len(files), 3, source.stem)
            self.assertLess(sum(path.stat().st_size for path in files), 64 << 10, source.stem)


if __name__ == "__main__":
    unittest.main(argv=["corpus_test"])
