// Names in the store inside specs: packages become digests, places that are not ours are refused.
#include "scheduler/api/places.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "common/errors.h"
#include "common/file.h"
#include "common/place.h"

namespace trainyard::api {
namespace {

class PlacesTest : public ::testing::Test {
 protected:
  PlacesTest() {
    char name[] = "/tmp/trainyard-places-test-XXXXXX";
    folder_ = mkdtemp(name);
    store_ = *store::OpenStore(folder_ + "/store");
    context_.store = store_.get();
  }
  ~PlacesTest() override {
    store_.reset();
    RemoveTree(folder_).IgnoreError();
  }
  v1::Faults Resolve(v1::JobSpec* spec) { return ResolvePlaces(context_, "blue", spec); }
  static v1::PackageRef* AddPackage(const std::string& uri, v1::JobSpec* spec) {
    v1::PackageRef* const package = spec->mutable_program()->add_packages();
    package->set_uri(uri);
    return package;
  }

  std::string folder_;
  std::unique_ptr<store::Store> store_;
  Context context_;
};

TEST_F(PlacesTest, NamesAreParsed) {
  Place place;
  ASSERT_TRUE(ParsePlace("gs://team/a/b/", &place));
  EXPECT_EQ(place.bucket, "team");
  EXPECT_EQ(place.name, "a/b");
  ASSERT_TRUE(ParsePlace("s3://team", &place));
  EXPECT_EQ(place.bucket, "team");
  EXPECT_EQ(place.name, "");
  EXPECT_FALSE(ParsePlace("/data/out", &place));
  EXPECT_FALSE(ParsePlace("https://team/a", &place));
}

TEST_F(PlacesTest, PackagesOfTheStoreArePinnedAtSubmit) {
  const std::string digest(32, 'd');
  ASSERT_TRUE(store_->objects().Put("team", "pkg/trainer.tar.gz", digest, 5, -1).ok());
  v1::JobSpec spec;
  AddPackage("gs://team/pkg/trainer.tar.gz", &spec);
  AddPackage("trainer", &spec)->set_digest(std::string(32, 'x'));
  EXPECT_EQ(Resolve(&spec).faults_size(), 0);
  EXPECT_EQ(spec.program().packages(0).digest(), digest);
  EXPECT_EQ(spec.program().packages(1).digest(), std::string(32, 'x'));
}

TEST_F(PlacesTest, EveryWrongPlaceIsToldAtOnce) {
  ASSERT_TRUE(store_->objects().CheckBucket("reds", "red", true).ok());
  v1::JobSpec spec;
  spec.set_job_dir("gs://reds/iris");
  spec.set_base_output_directory("s3://Upper/x");
  AddPackage("gs://team/nothing.whl", &spec);
  const v1::Faults faults = Resolve(&spec);
  ASSERT_EQ(faults.faults_size(), 3) << faults.ShortDebugString();
  EXPECT_EQ(faults.faults(0).reason(), "PERMISSION_DENIED");
  EXPECT_EQ(faults.faults(0).field(), "jobDir");
  EXPECT_EQ(faults.faults(1).reason(), "BAD_NAME");
  EXPECT_EQ(faults.faults(1).field(), "baseOutputDirectory");
  EXPECT_EQ(faults.faults(2).reason(), "PACKAGE_NOT_FOUND");
  EXPECT_EQ(faults.faults(2).field(), "program.packages[0]");
  for (const v1::Fault& fault : faults.faults()) EXPECT_NE(fault.fix(), "");
}

TEST_F(PlacesTest, AFreeBucketAndAPlainFolderAreFine) {
  v1::JobSpec spec;
  spec.set_job_dir("gs://nobodys/iris");
  EXPECT_EQ(Resolve(&spec).faults_size(), 0);
  spec.set_job_dir("/data/out");
  EXPECT_EQ(Resolve(&spec).faults_size(), 0);
}

}  // namespace
}  // namespace trainyard::api
