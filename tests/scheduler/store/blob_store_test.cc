// What every BlobStore promises, on the one made of files: content named by its hash, whole or not
// there, damage never handed on.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/blob/blob.h"
#include "common/errors.h"
#include "common/fault_point.h"
#include "common/sha256.h"
#include "scheduler/store/file_blob_store.h"
#include "tests/scheduler/store/store_fixture.h"

namespace trainyard::store {
namespace {

namespace fs = std::filesystem;
using blob::kChunkBytes;

class BlobStoreTest : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    Reopen();
  }
  void Reopen() {
    store_.reset();
    auto store = OpenFileBlobStore(folder_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  // Puts `bytes` as chunks and ties them.
  std::string Put(const std::string& bytes) {
    const auto digest = blob::DigestOfBytes(bytes);
    for (size_t i = 0; i < digest.chunks.size(); ++i) {
      const auto status = store_->PutChunk(
          digest.chunks[i], absl::string_view(bytes).substr(i * kChunkBytes, kChunkBytes));
      EXPECT_TRUE(status.ok()) << status;
    }
    const auto put = store_->PutBlob(digest.size, digest.chunks);
    EXPECT_TRUE(put.ok()) << put.status();
    return put.ok() ? *put : "";
  }
  std::string ChunkPath(const std::string& digest) const {
    const std::string hex = HexOf(digest);
    return folder_ + "/chunks/" + hex.substr(0, 2) + "/" + hex;
  }
  size_t Incoming() const { return ListFolder(folder_ + "/chunks/incoming")->size(); }

  std::unique_ptr<BlobStore> store_;
};

TEST_F(BlobStoreTest, BlobsOfEverySizeComeBackAlsoAfterReopen) {
  std::vector<std::pair<std::string, std::string>> put;
  for (const int64_t size :
       {int64_t{0}, int64_t{1}, kChunkBytes - 1, kChunkBytes, kChunkBytes + 1, 2 * kChunkBytes}) {
    const std::string bytes = RandomBytes(static_cast<size_t>(size), 7);
    put.emplace_back(Put(bytes), bytes);
    EXPECT_EQ(put.back().first, blob::DigestOfBytes(bytes).digest);
  }
  Reopen();
  for (const auto& [digest, bytes] : put) {
    const auto info = store_->Stat(digest);
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->size, static_cast<int64_t>(bytes.size()));
    const auto back = store_->GetBlob(digest, INT64_MAX);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_TRUE(*back == bytes) << bytes.size();
  }
}

TEST_F(BlobStoreTest, MissingNamesWhatIsAbsent) {
  const std::string here = Sha256Of("here"), absent = Sha256Of("absent");
  ASSERT_TRUE(store_->PutChunk(here, "here").ok());
  EXPECT_THAT(store_->Missing({here, absent, here}), testing::ElementsAre(absent));
  EXPECT_THAT(store_->Missing({"short"}), testing::ElementsAre("short"));
}

TEST_F(BlobStoreTest, WrongDigestIsRefused) {
  const auto status = store_->PutChunk(Sha256Of("a"), "b");
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(ReasonOf(status), "STORE_CORRUPT");
  EXPECT_EQ(store_->Missing({Sha256Of("a")}).size(), 1u);
  EXPECT_EQ(Incoming(), 0u);
}

TEST_F(BlobStoreTest, EmptyAndOversizedChunksAreRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(store_->PutChunk(Sha256Of(""), "")));
  const std::string big(kChunkBytes + 1, 'x');
  EXPECT_TRUE(absl::IsInvalidArgument(store_->PutChunk(Sha256Of(big), big)));
}

TEST_F(BlobStoreTest, TiesOnlyWhatFits) {
  const std::string full(kChunkBytes, 'f'), small = "small";
  const std::string f = Sha256Of(full), s = Sha256Of(small), absent = Sha256Of("absent");
  ASSERT_TRUE(store_->PutChunk(f, full).ok());
  ASSERT_TRUE(store_->PutChunk(s, small).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->PutBlob(5, {absent}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(store_->PutBlob(4, {s}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(store_->PutBlob(-1, {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(store_->PutBlob(0, {s}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(store_->PutBlob(5, {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(store_->PutBlob(5 + kChunkBytes, {s, f}).status()));
  EXPECT_TRUE(store_->PutBlob(5 + kChunkBytes, {f, s}).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(store_->PutBlob(5, {"short"}).status()));
}

TEST_F(BlobStoreTest, AbsentIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(store_->Stat(Sha256Of("x")).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->GetChunk(Sha256Of("x")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(store_->GetChunk("../../etc/passwd").status()));
}

TEST_F(BlobStoreTest, EveryFlippedBitOfAChunkIsFound) {
  const std::string bytes = RandomBytes(300, 3), digest = Sha256Of(bytes);
  for (size_t at = 0; at < bytes.size(); at += 13) {
    ASSERT_TRUE(store_->PutChunk(digest, bytes).ok());
    std::fstream file(ChunkPath(digest), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(bytes[at] ^ 4)).flush();
    EXPECT_EQ(ReasonOf(store_->GetChunk(digest).status()), "STORE_CORRUPT") << at;
    // Out of the way: the next upload mends it.
    EXPECT_EQ(store_->Missing({digest}).size(), 1u);
  }
}

TEST_F(BlobStoreTest, TornChunkCountsAsAbsentLengthAndIsRewritten) {
  const std::string bytes = RandomBytes(5000, 4), digest = Sha256Of(bytes);
  ASSERT_TRUE(store_->PutChunk(digest, bytes).ok());
  fs::resize_file(ChunkPath(digest), 100);
  EXPECT_EQ(ReasonOf(store_->GetChunk(digest).status()), "STORE_CORRUPT");
  ASSERT_TRUE(store_->PutChunk(digest, bytes).ok());
  EXPECT_EQ(*store_->GetChunk(digest), bytes);
}

TEST_F(BlobStoreTest, DamagedListOfChunksIsFound) {
  const std::string digest = Put("content");
  const std::string hex = HexOf(digest);
  const std::string path = folder_ + "/blobs/" + hex.substr(0, 2) + "/" + hex;
  std::string bytes = *ReadFile(path);
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string changed = bytes;
    changed[at] ^= 0x10;
    std::ofstream(path, std::ios::binary) << changed;
    const auto info = store_->Stat(digest);
    // The size is not in the digest, but must fit the number of chunks; the content is checked
    // against it when it is read.
    EXPECT_TRUE(!info.ok() || !store_->GetBlob(digest, INT64_MAX).ok()) << at;
  }
}

TEST_F(BlobStoreTest, HalfWrittenFilesOfACrashAreRemoved) {
  std::ofstream(folder_ + "/chunks/incoming/12") << "half";
  Reopen();
  EXPECT_EQ(Incoming(), 0u);
}

TEST_F(BlobStoreTest, KillAtEveryFaultPointLeavesWholeOrNothing) {
  const std::string bytes = RandomBytes(10000, 5), digest = Sha256Of(bytes);
  for (const char* point :
       {"store.before_sync", "store.before_rename", "store.before_folder_sync"}) {
    EXPECT_EXIT(
        {
          fault::Arm(std::string(point) + "=exit@1");
          store_->PutChunk(digest, bytes).IgnoreError();
          _exit(0);
        },
        [](int status) { return !(WIFEXITED(status) && WEXITSTATUS(status) == 0); }, "")
        << point;
    Reopen();
    const auto back = store_->GetChunk(digest);
    EXPECT_TRUE(back.ok() ? *back == bytes : absl::IsNotFound(back.status())) << point;
    ASSERT_TRUE(store_->PutChunk(digest, bytes).ok());
    EXPECT_EQ(*store_->GetChunk(digest), bytes);
    fs::remove(ChunkPath(digest));
  }
}

TEST_F(BlobStoreTest, ConcurrentPutsOfTheSameAndOtherChunks) {
  constexpr int kThreads = 8, kChunks = 20;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < kChunks; ++i) {
        const std::string bytes = RandomBytes(1000, static_cast<uint64_t>((i + t * 7) % kChunks));
        EXPECT_TRUE(store_->PutChunk(Sha256Of(bytes), bytes).ok());
        EXPECT_TRUE(store_->Missing({Sha256Of(bytes)}).empty());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < kChunks; ++i) {
    const std::string bytes = RandomBytes(1000, static_cast<uint64_t>(i));
    EXPECT_EQ(*store_->GetChunk(Sha256Of(bytes)), bytes);
  }
  EXPECT_EQ(Incoming(), 0u);
}

TEST_F(BlobStoreTest, ManySmallBlobsComeBackAlsoAfterReopen) {
  std::vector<std::string> contents = {"", "a", "a", std::string(300000, 'x')};
  for (uint64_t i = 0; i < 500; ++i) contents.push_back(RandomBytes(i, i));
  const auto digests = store_->PutSmall({contents.begin(), contents.end()});
  ASSERT_TRUE(digests.ok()) << digests.status();
  ASSERT_EQ(digests->size(), contents.size());
  EXPECT_EQ(Put("a"), (*digests)[1]) << "the same blob as one put by itself";
  EXPECT_EQ(*store_->PutSmall({contents.begin(), contents.end()}), *digests) << "again";
  Reopen();
  for (size_t i = 0; i < contents.size(); ++i) {
    EXPECT_EQ((*digests)[i], blob::DigestOfBytes(contents[i]).digest);
    const auto back = store_->GetBlob((*digests)[i], 1 << 20);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, contents[i]);
  }
  EXPECT_EQ(Incoming(), 0u);
}

TEST_F(BlobStoreTest, SmallBlobsAreWholeOrAbsentAfterAKill) {
  std::vector<std::string> contents;
  for (uint64_t i = 0; i < 40; ++i) contents.push_back(RandomBytes(1000, 100 + i));
  for (const char* point :
       {"store.before_sync", "store.before_rename", "store.before_folder_sync"}) {
    for (const char* time : {"=exit@1", "=exit@2"}) {  // among the chunks, among the lists
      EXPECT_EXIT(
          {
            fault::Arm(absl::StrCat(point, time));
            store_->PutSmall({contents.begin(), contents.end()}).IgnoreError();
            _exit(0);
          },
          [](int status) { return !(WIFEXITED(status) && WEXITSTATUS(status) == 0); }, "")
          << point << time;
      Reopen();
      for (const std::string& content : contents) {
        const auto back = store_->GetBlob(blob::DigestOfBytes(content).digest, 1 << 20);
        EXPECT_TRUE(back.ok() ? *back == content : absl::IsNotFound(back.status()))
            << back.status();
      }
    }
  }
  ASSERT_TRUE(store_->PutSmall({contents.begin(), contents.end()}).ok());
  EXPECT_EQ(*store_->GetBlob(blob::DigestOfBytes(contents[7]).digest, 1 << 20), contents[7]);
}

TEST_F(BlobStoreTest, ConcurrentSmallBlobsInEveryOrder) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([this, t] {
      std::vector<std::string> contents;
      for (int i = 0; i < 60; ++i) {
        contents.push_back(RandomBytes(500, static_cast<uint64_t>((i * 7 + t * 13) % 60)));
      }
      EXPECT_TRUE(store_->PutSmall({contents.begin(), contents.end()}).ok());
      EXPECT_TRUE(store_->PutChunk(Sha256Of(contents[0]), contents[0]).ok());
    });
  }
  for (auto& thread : threads) thread.join();
  for (uint64_t i = 0; i < 60; ++i) {
    const std::string bytes = RandomBytes(500, i);
    EXPECT_EQ(*store_->GetBlob(blob::DigestOfBytes(bytes).digest, 500), bytes);
  }
}

TEST_F(BlobStoreTest, LimitOfGetBlobHolds) {
  const std::string digest = Put("12345");
  EXPECT_TRUE(store_->GetBlob(digest, 5).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(store_->GetBlob(digest, 4).status()));
}

TEST(OpenStoreTest, SecondProcessIsKeptOut) {
  std::string pattern = testing::TempDir() + "/trainyard_store.XXXXXX";
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  {
    const auto first = OpenStore(pattern);
    ASSERT_TRUE(first.ok()) << first.status();
    EXPECT_EQ(ReasonOf(OpenStore(pattern).status()), "ALREADY_RUNNING");
  }
  EXPECT_TRUE(OpenStore(pattern).ok());
  EXPECT_TRUE(RemoveTree(pattern).ok());
}

}  // namespace
}  // namespace trainyard::store
