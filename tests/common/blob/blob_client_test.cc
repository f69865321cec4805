// The client against a real server on a real store: what goes up comes down, only what is missing
// is sent, and nothing of what comes is trusted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "common/blob/blob.h"
#include "common/blob/http_connection.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/random.h"
#include "common/sha256.h"
#include "scheduler/store/store.h"

namespace trainyard::blob {
namespace {

namespace fs = std::filesystem;

std::string RandomBytes(size_t size, uint64_t seed) {
  Random random(seed);
  std::string out(size, '\0');
  for (size_t i = 0; i < size; i += 8) {
    const uint64_t word = random.Next();
    std::memcpy(out.data() + i, &word, std::min<size_t>(8, size - i));
  }
  return out;
}

class BlobClientTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/blob_client.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    store_ = *store::OpenStore(folder_ + "/store");
    StartServer("127.0.0.1:0");
  }
  void TearDown() override {
    server_.reset();
    store_.reset();
    ASSERT_TRUE(RemoveTree(folder_).ok());
  }
  void StartServer(const std::string& listen) {
    store::HttpServer::Options options;
    options.listen = listen;
    options.threads = 2;
    options.authorize = [](absl::string_view token) -> absl::StatusOr<store::HttpServer::Access> {
      if (token != "secret") return absl::UnauthenticatedError("no");
      return store::HttpServer::Access{.read = true, .write = true, .project = ""};
    };
    server_ = *store::StartHttpServer(store_.get(), options);
    client_ = Client::Make(server_->address(), "secret");
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  void Write(const std::string& name, const std::string& bytes, mode_t mode = 0644) {
    fs::create_directories(fs::path(Path(name)).parent_path());
    std::ofstream(Path(name), std::ios::binary) << bytes;
    ASSERT_EQ(chmod(Path(name).c_str(), mode), 0);
  }
  // Puts a tree into the store as a hostile client could: unchecked.
  std::string PutTree(const v1::Tree& tree) {
    return *client_->UploadBytes(tree.SerializeAsString());
  }

  std::string folder_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::HttpServer> server_;
  std::unique_ptr<Client> client_;
};

TEST_F(BlobClientTest, BytesOfEverySizeComeBack) {
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{1000}, size_t{kChunkBytes - 1}, size_t{kChunkBytes},
        size_t{kChunkBytes + 1}, size_t{2 * kChunkBytes + 12345}}) {
    const std::string bytes = RandomBytes(size, size);
    const auto digest = client_->UploadBytes(bytes);
    ASSERT_TRUE(digest.ok()) << digest.status();
    EXPECT_EQ(*digest, DigestOfBytes(bytes).digest);
    const auto back = client_->DownloadBytes(*digest, int64_t{1} << 30);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_TRUE(*back == bytes) << size;
  }
}

TEST_F(BlobClientTest, FolderComesBackWithModesAndLinks) {
  Write("in/train.py", "print('hello')\n", 0755);
  Write("in/pkg/a/data.bin", RandomBytes(kChunkBytes + 77, 1), 0600);
  Write("in/pkg/empty", "", 0644);
  Write("in/skip/__pycache__/x.pyc", "no");
  fs::create_symlink("../train.py", Path("in/pkg/link"));
  TreeOptions options;
  options.exclude = {"__pycache__"};
  const auto stats = client_->UploadFolder(Path("in"), options);
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->bytes_total, 15 + kChunkBytes + 77);
  EXPECT_EQ(stats->bytes_sent, stats->bytes_total);
  ASSERT_TRUE(client_->DownloadFolder(stats->digest, Path("out/deep")).ok());
  const auto in = TreeOfFolder(Path("in"), options);
  const auto out = TreeOfFolder(Path("out/deep"), {});
  ASSERT_TRUE(in.ok() && out.ok());
  EXPECT_EQ(in->SerializeAsString(), out->SerializeAsString());
  EXPECT_EQ(out->entries_size(), 4);
  EXPECT_EQ(fs::read_symlink(Path("out/deep/pkg/link")), "../train.py");
}

TEST_F(BlobClientTest, ManySmallFilesTravelTogether) {
  int64_t bytes = 0;
  for (int i = 0; i < 600; ++i) {
    const std::string content = absl::StrCat("file ", i % 500, std::string(3000, 'x'));
    Write(absl::StrCat("in/", i % 20, "/", i), content, 0644);
    bytes += static_cast<int64_t>(content.size());
  }
  Write("in/empty", "", 0644);
  const auto stats = client_->UploadFolder(Path("in"), {});
  ASSERT_TRUE(stats.ok()) << stats.status();
  EXPECT_EQ(stats->bytes_total, bytes);
  EXPECT_LT(stats->bytes_sent, bytes) << "equal files go once";
  ASSERT_TRUE(client_->DownloadFolder(stats->digest, Path("out")).ok());
  EXPECT_EQ(TreeOfFolder(Path("in"), {})->SerializeAsString(),
            TreeOfFolder(Path("out"), {})->SerializeAsString());
}

TEST_F(BlobClientTest, SecondUploadSendsOnlyWhatChanged) {
  const std::string big = RandomBytes(3 * kChunkBytes, 2);
  Write("in/big", big);
  Write("in/small", "one");
  ASSERT_TRUE(client_->UploadFolder(Path("in"), {}).ok());
  const auto again = client_->UploadFolder(Path("in"), {});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->bytes_sent, 0);
  std::string changed = big;
  changed[kChunkBytes + 5] ^= 1;
  Write("in/big", changed);
  const auto partly = client_->UploadFolder(Path("in"), {});
  ASSERT_TRUE(partly.ok());
  EXPECT_EQ(partly->bytes_sent, kChunkBytes);
  EXPECT_NE(partly->digest, again->digest);
}

TEST_F(BlobClientTest, FileGoesUpAndComesDown) {
  Write("model.bin", RandomBytes(kChunkBytes * 2 + 3, 3));
  const auto digest = client_->UploadFile(Path("model.bin"));
  ASSERT_TRUE(digest.ok()) << digest.status();
  ASSERT_TRUE(client_->DownloadFile(*digest, Path("back/model.bin")).ok());
  EXPECT_TRUE(*ReadFile(Path("model.bin")) == *ReadFile(Path("back/model.bin")));
  EXPECT_EQ(ListFolder(Path("back"))->size(), 1u);
}

TEST_F(BlobClientTest, FailedDownloadLeavesNothingBehind) {
  const std::string absent(kDigestBytes, 'x');
  const auto status = client_->DownloadFile(absent, Path("back/model.bin"));
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(*ListFolder(Path("back")), testing::IsEmpty());
}

TEST_F(BlobClientTest, LimitOfBytesHolds) {
  const std::string digest = *client_->UploadBytes(std::string(1000, 'a'));
  EXPECT_TRUE(client_->DownloadBytes(digest, 1000).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(client_->DownloadBytes(digest, 999).status()));
}

TEST_F(BlobClientTest, ObjectsHaveGenerations) {
  const std::string digest = *client_->UploadBytes("model");
  const auto first = client_->PutObject("team", "models/best v1", digest, 0);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto taken = client_->PutObject("team", "models/best v1", digest, 0);
  EXPECT_TRUE(absl::IsAborted(taken.status()));
  EXPECT_EQ(ReasonOf(taken.status()), "ETAG_MISMATCH");
  EXPECT_GT(*client_->PutObject("team", "models/best v1", digest, *first), *first);
  EXPECT_EQ(store_->objects().Get("team", "models/best v1")->digest(), digest);
}

TEST_F(BlobClientTest, WrongTokenIsToldAndNotRetried) {
  const auto status = Client::Make(server_->address(), "wrong")->UploadBytes("x").status();
  EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
  EXPECT_EQ(ReasonOf(status), "UNAUTHENTICATED");
}

TEST_F(BlobClientTest, SurvivesARestartOfTheServer) {
  ASSERT_TRUE(client_->UploadBytes("before").ok());
  const std::string address = server_->address();
  auto old = std::move(client_);
  server_.reset();
  StartServer(address);
  EXPECT_TRUE(old->UploadBytes("after").ok());
  EXPECT_TRUE(old->PutObject("team", "x", DigestOfBytes("after").digest, 0).ok());
}

TEST_F(BlobClientTest, DamagedBytesAreNeverHandedOn) {
  const std::string digest = *client_->UploadBytes(std::string(5000, 'a'));
  const std::string hex = HexOf(DigestOfBytes(std::string(5000, 'a')).chunks[0]);
  const std::string chunk = Path("store/chunks/" + hex.substr(0, 2) + "/" + hex);
  std::fstream(chunk, std::ios::in | std::ios::out | std::ios::binary).seekp(77).put('b');
  EXPECT_FALSE(client_->DownloadBytes(digest, 1 << 20).ok());
  // Uploading again mends it.
  ASSERT_TRUE(client_->UploadBytes(std::string(5000, 'a')).ok());
  EXPECT_TRUE(client_->DownloadBytes(digest, 1 << 20).ok());
}

struct HostileTree {
  std::string name;
  std::vector<std::pair<std::string, std::string>> entries;  // path, link target or "" for a file
};

TEST_F(BlobClientTest, HostileTreesWriteNothing) {
  const std::string content = *client_->UploadBytes("evil");
  const std::vector<HostileTree> trees = {
      {"parent", {{"../evil", ""}}},
      {"parent inside", {{"a/../../evil", ""}}},
      {"absolute", {{"/tmp/trainyard-evil", ""}}},
      {"dot", {{"./evil", ""}}},
      {"empty part", {{"a//evil", ""}}},
      {"empty", {{"", ""}}},
      {"trailing slash", {{"evil/", ""}}},
      {"zero byte", {{std::string("ev\0il", 5), ""}}},
      {"twice", {{"evil", ""}, {"evil", ""}}},
      {"out of order", {{"b", ""}, {"a", ""}}},
      {"below a file", {{"a", ""}, {"a/evil", ""}}},
      {"below a file, apart", {{"a", ""}, {"a-b", ""}, {"a/evil", ""}}},
      {"below a link", {{"a", "b"}, {"a/evil", ""}}},
      {"link out", {{"a", "../out"}}},
      {"link out from below", {{"d/a", "../../out"}}},
      {"link absolute", {{"a", "/etc"}}},
      {"link up after a name", {{"a", "b/../.."}}},
      {"link up through a link", {{"d/e/f", "../../d"}, {"m", "d/e/f/../.."}}},
  };
  for (const HostileTree& hostile : trees) {
    v1::Tree tree;
    for (const auto& [path, target] : hostile.entries) {
      v1::TreeEntry* entry = tree.add_entries();
      entry->set_path(path);
      entry->set_mode(0644);
      entry->set_link_target(target);
      if (target.empty()) {
        entry->set_digest(content);
        entry->set_size(4);
      }
    }
    const auto status = client_->DownloadFolder(PutTree(tree), Path("victim/in"));
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << hostile.name << ": " << status;
    EXPECT_FALSE(Exists(Path("victim"))) << hostile.name;
  }
  EXPECT_FALSE(Exists("/tmp/trainyard-evil"));
}

TEST_F(BlobClientTest, LinkInTheWayIsNotFollowed) {
  Write("in/sub/file", "new");
  const auto stats = client_->UploadFolder(Path("in"), {});
  ASSERT_TRUE(stats.ok());
  fs::create_directories(Path("outside"));
  fs::create_directories(Path("out"));
  fs::create_symlink(Path("outside"), Path("out/sub"));
  EXPECT_FALSE(client_->DownloadFolder(stats->digest, Path("out")).ok());
  EXPECT_THAT(*ListFolder(Path("outside")), testing::IsEmpty());
}

TEST_F(BlobClientTest, LinkInPlaceOfAFileIsReplaced) {
  Write("in/file", "new");
  Write("outside", "old");
  const auto stats = client_->UploadFolder(Path("in"), {});
  fs::create_directories(Path("out"));
  fs::create_symlink(Path("outside"), Path("out/file"));
  ASSERT_TRUE(client_->DownloadFolder(stats->digest, Path("out")).ok());
  EXPECT_EQ(*ReadFile(Path("outside")), "old");
  EXPECT_EQ(*ReadFile(Path("out/file")), "new");
}

TEST_F(BlobClientTest, WrongSizeInTheTreeIsFound) {
  v1::Tree tree;
  v1::TreeEntry* entry = tree.add_entries();
  entry->set_path("file");
  entry->set_size(3);
  entry->set_digest(*client_->UploadBytes("four"));
  EXPECT_FALSE(client_->DownloadFolder(PutTree(tree), Path("out")).ok());
  EXPECT_FALSE(Exists(Path("out/file")));
}

TEST_F(BlobClientTest, UnreachableStoreIsNamed) {
  const std::string address = server_->address();
  server_.reset();
  const auto status = client_->UploadBytes("x").status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr(address));
}

}  // namespace
}  // namespace trainyard::blob
