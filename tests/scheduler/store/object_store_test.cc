// What every ObjectStore promises: generations, preconditions, listing, and whose a bucket is.
#include <gmock/gmock.h>

#include <thread>

#include "common/errors.h"
#include "scheduler/store/sql_object_store.h"
#include "tests/scheduler/store/store_fixture.h"

namespace trainyard::store {
namespace {

const std::string kDigest(32, 'd');
const std::string kOther(32, 'o');

class ObjectStoreTest : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    Reopen();
  }
  void Reopen() {
    store_.reset();
    auto store = OpenSqlObjectStore(folder_ + "/objects.db");
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  int64_t Put(const std::string& name, int64_t if_generation = -1) {
    const auto put = store_->Put("team", name, kDigest, 5, if_generation);
    EXPECT_TRUE(put.ok()) << put.status();
    return put.ok() ? *put : -1;
  }
  std::vector<std::string> List(const std::string& prefix, int page_size = 0) {
    std::vector<std::string> names;
    v1::ListObjectsRequest request;
    request.set_bucket("team");
    request.set_prefix(prefix);
    request.set_page_size(page_size);
    do {
      const auto page = store_->List(request);
      EXPECT_TRUE(page.ok()) << page.status();
      for (const auto& object : page->objects()) names.push_back(object.name());
      request.set_page_token(page->next_page_token());
      EXPECT_LE(names.size(), 1000u);
    } while (!request.page_token().empty() && names.size() <= 1000);
    return names;
  }
  std::unique_ptr<ObjectStore> store_;
};

TEST_F(ObjectStoreTest, GenerationRisesWithEveryPut) {
  const int64_t first = Put("a");
  const int64_t second = Put("a");
  EXPECT_GT(second, first);
  Reopen();
  const auto object = store_->Get("team", "a");
  ASSERT_TRUE(object.ok());
  EXPECT_EQ(object->generation(), second);
  EXPECT_EQ(object->digest(), kDigest);
  EXPECT_EQ(object->size(), 5);
}

TEST_F(ObjectStoreTest, PreconditionsHold) {
  const int64_t first = Put("a", 0);
  const auto taken = store_->Put("team", "a", kOther, 6, 0);
  EXPECT_TRUE(absl::IsAborted(taken.status()));
  EXPECT_EQ(ReasonOf(taken.status()), "ETAG_MISMATCH");
  EXPECT_TRUE(absl::IsAborted(store_->Put("team", "a", kOther, 6, first + 1).status()));
  EXPECT_EQ(store_->Get("team", "a")->digest(), kDigest);
  const int64_t second = Put("a", first);
  EXPECT_TRUE(absl::IsAborted(store_->Delete("team", "a", first)));
  EXPECT_TRUE(store_->Delete("team", "a", second).ok());
  EXPECT_TRUE(absl::IsNotFound(store_->Get("team", "a").status()));
}

TEST_F(ObjectStoreTest, GenerationNeverComesBackAfterADelete) {
  const int64_t first = Put("a");
  ASSERT_TRUE(store_->Delete("team", "a", -1).ok());
  Reopen();
  EXPECT_GT(Put("a", 0), first);
  EXPECT_TRUE(absl::IsAborted(store_->Delete("team", "a", first)));
}

TEST_F(ObjectStoreTest, DeleteOfNothingIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(store_->Delete("team", "a", -1)));
}

TEST_F(ObjectStoreTest, ListsByPrefixInPages) {
  for (const char* name : {"m/1", "m/2", "m/3", "m0", "n", "m/", "a"}) {
    if (std::string(name) != "m/") Put(name);
  }
  EXPECT_THAT(List("m/"), testing::ElementsAre("m/1", "m/2", "m/3"));
  EXPECT_THAT(List("m/", 2), testing::ElementsAre("m/1", "m/2", "m/3"));
  EXPECT_THAT(List("m/", 1), testing::ElementsAre("m/1", "m/2", "m/3"));
  EXPECT_THAT(List(""), testing::ElementsAre("a", "m/1", "m/2", "m/3", "m0", "n"));
  EXPECT_THAT(List("x"), testing::IsEmpty());
}

TEST_F(ObjectStoreTest, BytesBeyondAsciiAndSqlAreNamesLikeAnyOther) {
  for (const char* name :
       {"'; DROP TABLE objects; --", "\xc3\xa4/\xe2\x82\xac", "%", "_", "a*b?c"}) {
    Put(name);
    EXPECT_EQ(store_->Get("team", name)->name(), name);
    EXPECT_THAT(List(name), testing::ElementsAre(name));
  }
}

TEST_F(ObjectStoreTest, BadNamesAreRefused) {
  for (const char* name : {"", "/a", "../a", "a/../b", "a//b", "a/", ".", "a/./b", "a/\xff"}) {
    EXPECT_EQ(ReasonOf(store_->Put("team", name, kDigest, 1, -1).status()), "BAD_NAME") << name;
    EXPECT_EQ(ReasonOf(store_->Get("team", name).status()), "BAD_NAME") << name;
  }
  for (const char* bucket : {"", "..", "a..b", "-a", "A", "a/b", "a b"}) {
    EXPECT_EQ(ReasonOf(store_->Put(bucket, "a", kDigest, 1, -1).status()), "BAD_NAME") << bucket;
  }
  EXPECT_EQ(ReasonOf(store_->Put("team", std::string(1025, 'a'), kDigest, 1, -1).status()),
            "BAD_NAME");
  EXPECT_FALSE(store_->Put("team", "a", "short", 1, -1).ok());
}

TEST_F(ObjectStoreTest, BucketBelongsToItsFirstWriter) {
  EXPECT_TRUE(store_->CheckBucket("team", "blue", false).ok());  // nobody's yet
  EXPECT_TRUE(store_->CheckBucket("team", "blue", true).ok());
  EXPECT_TRUE(store_->CheckBucket("team", "blue", true).ok());
  Reopen();
  EXPECT_TRUE(absl::IsPermissionDenied(store_->CheckBucket("team", "red", false)));
  EXPECT_TRUE(absl::IsPermissionDenied(store_->CheckBucket("team", "red", true)));
  EXPECT_TRUE(store_->CheckBucket("team", "", true).ok());  // an administrator
}

TEST_F(ObjectStoreTest, BucketOfAnAdministratorIsEverybodys) {
  Put("shared");
  EXPECT_TRUE(store_->CheckBucket("team", "blue", true).ok());
  EXPECT_TRUE(store_->CheckBucket("team", "red", true).ok());
}

TEST_F(ObjectStoreTest, ManyNamesAppearTogetherOrNotAtAll) {
  const auto object = [](const std::string& name, const std::string& digest) {
    v1::ObjectInfo info;
    info.set_name(name);
    info.set_digest(digest);
    info.set_size(5);
    return info;
  };
  const int64_t first = Put("iris/a");
  const absl::Status refused =
      store_->PutAll("team", {object("iris/b", kDigest), object("iris/../c", kDigest)});
  EXPECT_EQ(ReasonOf(refused), "BAD_NAME");
  EXPECT_THAT(List(""), testing::ElementsAre("iris/a"));
  ASSERT_TRUE(store_->PutAll("team", {object("iris/a", kDigest), object("iris/b", kOther)}).ok());
  EXPECT_EQ(store_->Get("team", "iris/a")->generation(), first) << "the content is the same";
  const int64_t second = store_->Get("team", "iris/b")->generation();
  EXPECT_GT(second, first);
  ASSERT_TRUE(store_->PutAll("team", {object("iris/a", kOther), object("iris/b", kOther)}).ok());
  EXPECT_GT(store_->Get("team", "iris/a")->generation(), second);
  EXPECT_EQ(store_->Get("team", "iris/b")->generation(), second);
  EXPECT_TRUE(store_->PutAll("team", {}).ok());
}

TEST_F(ObjectStoreTest, OneOfManyRacersWins) {
  std::atomic<int> won{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] { won += store_->Put("team", "race", kDigest, 1, 0).ok(); });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(won, 1);
}

}  // namespace
}  // namespace trainyard::store
