// Cutting a byte stream into lines must not depend on how the stream was cut into chunks, nor on
// chunks that come again.
#include "scheduler/store/log_lines.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/random.h"

namespace trainyard::store {
namespace {

std::string Lines(const std::string& bytes, bool end = true) {
  LogStream stream;
  return TakeLines(0, bytes, end, &stream);
}

TEST(LogLinesTest, EndsOfLines) {
  EXPECT_EQ(Lines("a\nb\n"), "a\nb\n");
  EXPECT_EQ(Lines("a\r\nb\r\n"), "a\nb\n");
  EXPECT_EQ(Lines("a\n\nb"), "a\n\nb\n");
  EXPECT_EQ(Lines(""), "");
  EXPECT_EQ(Lines("\n"), "\n");
  EXPECT_EQ(Lines("no end", false), "");
}

TEST(LogLinesTest, ProgressBarsAreLines) {
  EXPECT_EQ(Lines("\r10%\r20%\rdone\n"), "10%\n20%\ndone\n");
  EXPECT_EQ(Lines("\r\r\r"), "");
  EXPECT_EQ(Lines("50%\r", false), "");
  EXPECT_EQ(Lines("50%\r"), "50%\n");
}

TEST(LogLinesTest, BinaryBytesPass) {
  const std::string bytes("\0\x01\xff\n\x80", 5);
  EXPECT_EQ(Lines(bytes), bytes + "\n");
}

TEST(LogLinesTest, LongLineIsCutWithAMarkerAndTheNextIsWhole) {
  const std::string full(kLogLineBytesMax, 'x');
  EXPECT_EQ(Lines(full + "\nnext\n"), full + "\nnext\n");
  const std::string cut = absl::StrCat(full, kLogLineCut, "\n");
  EXPECT_EQ(Lines(full + "y\nnext\n"), cut + "next\n");
  EXPECT_EQ(Lines(std::string(10 << 20, 'x') + "\nnext\n"), cut + "next\n");
  EXPECT_EQ(Lines(std::string(10 << 20, 'x')), cut);
}

TEST(LogLinesTest, PendingTextIsBounded) {
  LogStream stream;
  for (int64_t offset = 0; offset < 10 << 20; offset += 4096) {
    TakeLines(offset, std::string(4096, 'x'), false, &stream);
    ASSERT_LE(stream.pending.size(), kLogLineBytesMax);
  }
}

TEST(LogLinesTest, GapLeavesAMarker) {
  LogStream stream;
  EXPECT_EQ(TakeLines(0, "a\nhalf", false, &stream), "a\n");
  EXPECT_EQ(TakeLines(16, "end\n", false, &stream),
            "half\n[trainyard: 10 bytes of output are missing here]\nend\n");
  EXPECT_EQ(stream.next_offset, 20);
}

TEST(LogLinesTest, ReplayedBytesAreSkipped) {
  LogStream stream;
  EXPECT_EQ(TakeLines(0, "a\nb", false, &stream), "a\n");
  EXPECT_EQ(TakeLines(0, "a\nb", false, &stream), "");
  EXPECT_EQ(TakeLines(1, "\nbc\n", false, &stream), "bc\n");
  EXPECT_EQ(TakeLines(0, "a", true, &stream), "");
  EXPECT_TRUE(stream.ended);
  EXPECT_EQ(stream.next_offset, 5);
}

// Text of many shapes: ends of lines of all kinds, empty lines, lines around the limit.
std::string AnyText(Random* random) {
  static const char* const kEnds[] = {"\n", "\r\n", "\r", "\n\n", "\r\r", "\n\r", "\r\n\r\n"};
  std::string text;
  for (uint64_t parts = random->Below(30); parts > 0; --parts) {
    const uint64_t shape = random->Below(40);
    size_t length = random->Below(20);
    if (shape == 0) length = kLogLineBytesMax - 1 + random->Below(3);
    if (shape == 1) length = 3 * kLogLineBytesMax;
    text.append(length, static_cast<char>('a' + random->Below(26)));
    text += kEnds[random->Below(std::size(kEnds))];
  }
  return text;
}

TEST(LogLinesProperty, ChunksDoNotMatter) {
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    Random random(seed);
    const std::string text = AnyText(&random);
    const std::string expected = Lines(text);
    LogStream stream;
    std::string seen;
    const auto size = static_cast<int64_t>(text.size());
    const uint64_t widest = seed % 3 == 0 ? 3 : (seed % 3 == 1 ? 50 : 70000);
    while (stream.next_offset < size) {
      // Now and then from before: a repeated or overlapping chunk.
      const int64_t back =
          random.Below(4) == 0
              ? static_cast<int64_t>(random.Below(static_cast<uint64_t>(stream.next_offset) + 1))
              : 0;
      const int64_t offset = stream.next_offset - std::min<int64_t>(back, 100);
      const auto length = static_cast<size_t>(random.Below(widest + 100) + 1);
      seen += TakeLines(offset, absl::string_view(text).substr(static_cast<size_t>(offset), length),
                        false, &stream);
    }
    seen += TakeLines(size, "", true, &stream);
    ASSERT_TRUE(seen == expected) << "seed " << seed;
    ASSERT_EQ(stream.next_offset, size) << "seed " << seed;
  }
}

}  // namespace
}  // namespace trainyard::store
