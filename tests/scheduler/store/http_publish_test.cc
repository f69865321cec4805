// Whole trees under their names over HTTP, as agents publish what a job leaves.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "common/blob/blob.h"
#include "common/errors.h"
#include "scheduler/store/store.h"
#include "tests/scheduler/store/store_fixture.h"

namespace trainyard::store {
namespace {

class HttpPublishTest : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    store_ = *OpenStore(folder_ + "/store");
    HttpServer::Options options;
    options.authorize = [](absl::string_view token) -> absl::StatusOr<HttpServer::Access> {
      if (token == "nobody") return absl::UnauthenticatedError("unknown");
      return HttpServer::Access{true, token != "reader", std::string(token)};
    };
    server_ = *StartHttpServer(store_.get(), options);
    std::filesystem::create_directories(folder_ + "/out/best");
    Write("best/model.bin", "model");
    Write("notes.txt", "notes");
    std::filesystem::create_symlink("best/model.bin", folder_ + "/out/latest");
    std::filesystem::create_symlink("best", folder_ + "/out/folder");
  }
  void TearDown() override {
    server_.reset();
    store_.reset();
    FolderTest::TearDown();
  }
  void Write(const std::string& name, const std::string& content) {
    std::ofstream(folder_ + "/out/" + name) << content;
  }
  std::unique_ptr<blob::Client> As(const std::string& project) {
    return blob::Client::Make(server_->address(), project);
  }
  std::string Upload() {
    const auto uploaded = As("blue")->UploadFolder(folder_ + "/out", {});
    EXPECT_TRUE(uploaded.ok()) << uploaded.status();
    return uploaded.ok() ? uploaded->digest : "";
  }
  std::set<std::string> Names() {
    v1::ListObjectsRequest request;
    request.set_bucket("team");
    std::set<std::string> names;
    const auto listed = store_->objects().List(request);
    EXPECT_TRUE(listed.ok()) << listed.status();
    if (!listed.ok()) return names;
    for (const auto& object : listed->objects()) {
      names.insert(object.name());
    }
    return names;
  }
  std::string Content(const std::string& name) {
    const auto object = store_->objects().Get("team", name);
    return object.ok() ? store_->blobs().GetBlob(object->digest(), 1000).value() : "absent";
  }
  std::unique_ptr<Store> store_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpPublishTest, FilesAndLinksToThemGetTheirNames) {
  ASSERT_TRUE(As("blue")->PublishTree("team", "iris/3", Upload()).ok());
  EXPECT_EQ(Names(),
            (std::set<std::string>{"iris/3/best/model.bin", "iris/3/latest", "iris/3/notes.txt"}));
  EXPECT_EQ(Content("iris/3/latest"), "model");
  ASSERT_TRUE(As("blue")->PublishTree("team", "", Upload()).ok());
  EXPECT_EQ(Content("notes.txt"), "notes");
}

TEST_F(HttpPublishTest, ALaterTreeReplacesWhatChangedAndWipesNothing) {
  ASSERT_TRUE(As("blue")->PublishTree("team", "iris", Upload()).ok());
  const int64_t kept = store_->objects().Get("team", "iris/notes.txt")->generation();
  const int64_t old = store_->objects().Get("team", "iris/latest")->generation();
  std::filesystem::remove(folder_ + "/out/folder");
  Write("best/model.bin", "better");
  ASSERT_TRUE(As("blue")->PublishTree("team", "iris", Upload()).ok());
  EXPECT_EQ(Content("iris/best/model.bin"), "better");
  EXPECT_GT(store_->objects().Get("team", "iris/latest")->generation(), old);
  EXPECT_EQ(store_->objects().Get("team", "iris/notes.txt")->generation(), kept);
}

TEST_F(HttpPublishTest, OthersBucketsBadNamesAndWhatIsNoTreeAreRefused) {
  const std::string tree = Upload();
  ASSERT_TRUE(As("blue")->PublishTree("team", "iris", tree).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(As("reader")->PublishTree("team", "iris", tree)));
  EXPECT_TRUE(absl::IsUnauthenticated(As("nobody")->PublishTree("team", "iris", tree)));
  EXPECT_TRUE(absl::IsPermissionDenied(As("red")->PublishTree("team", "x", tree)));
  EXPECT_EQ(ReasonOf(As("blue")->PublishTree("Upper", "x", tree)), "BAD_NAME");
  EXPECT_EQ(ReasonOf(As("blue")->PublishTree("team", "x", std::string(32, 'a'))),
            "FAILED_PRECONDITION");
  EXPECT_EQ(ReasonOf(As("blue")->PublishTree("team", "x", blob::DigestOfBytes("model").digest)),
            "FAILED_PRECONDITION")
      << "a file is no tree";
}

}  // namespace
}  // namespace trainyard::store
