// Digests of blobs against the definition, for sizes around the chunk's.
#include <gtest/gtest.h>

#include <fstream>

#include "common/blob/blob.h"
#include "common/file.h"
#include "common/sha256.h"

namespace trainyard::blob {
namespace {

TEST(DigestTest, EmptyBlobIsTheHashOfNothing) {
  const FileDigest digest = DigestOfBytes("");
  EXPECT_EQ(HexOf(digest.digest),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_TRUE(digest.chunks.empty());
}

TEST(DigestTest, OneChunkIsHashedTwice) {
  const FileDigest digest = DigestOfBytes("abc");
  ASSERT_EQ(digest.chunks.size(), 1u);
  EXPECT_EQ(HexOf(digest.chunks[0]),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest.digest, Sha256Of(digest.chunks[0]));
}

TEST(DigestTest, FileAndBytesAgree) {
  const std::string path = testing::TempDir() + "/digest_test.bin";
  for (const int64_t size : {int64_t{0}, int64_t{5}, kChunkBytes - 1, kChunkBytes, kChunkBytes + 1,
                             2 * kChunkBytes, 2 * kChunkBytes + 9}) {
    std::string bytes(static_cast<size_t>(size), '\0');
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31 + i / 977);
    std::ofstream(path, std::ios::binary) << bytes;
    const FileDigest from_bytes = DigestOfBytes(bytes);
    const auto from_file = DigestOfFile(path);
    ASSERT_TRUE(from_file.ok());
    EXPECT_EQ(from_file->digest, from_bytes.digest) << size;
    EXPECT_EQ(from_file->chunks, from_bytes.chunks) << size;
    EXPECT_EQ(from_file->size, size);
    EXPECT_EQ(static_cast<int64_t>(from_bytes.chunks.size()),
              (size + kChunkBytes - 1) / kChunkBytes);
  }
  ASSERT_TRUE(RemoveTree(path).ok());
}

TEST(DigestTest, AbsentFileIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(DigestOfFile("/nonexistent/file").status()));
}

}  // namespace
}  // namespace trainyard::blob
