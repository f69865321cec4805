// Request targets: what is taken apart and what is refused.
#include "scheduler/store/http_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trainyard::store {
namespace {

using testing::ElementsAre;

TEST(HttpTargetTest, PartsAndQueryAreDecoded) {
  HttpTarget target;
  ASSERT_TRUE(ParseTarget("/v1/objects/b/a%20b/%C3%A4?prefix=x%2Fy&token=&odd", &target));
  EXPECT_THAT(target.parts, ElementsAre("v1", "objects", "b", "a b", "\xc3\xa4"));
  EXPECT_EQ(target.Query("prefix"), "x/y");
  EXPECT_EQ(target.Query("token"), "");
  EXPECT_EQ(target.Query("absent"), "");
}

TEST(HttpTargetTest, WhatCouldNameSomethingElseIsRefused) {
  for (const char* text : {"", "v1/blobs", "//v1", "/v1//x", "/v1/", "/v1/./x", "/v1/../x",
                           "/v1/%2e%2e/x", "/v1/%2E/x", "/v1/a%2fb", "/v1/a%00b", "/v1/%", "/v1/%4",
                           "/v1/%zz", "/v1/x#y", "/v1/x?a=%", "*", "http://host/v1", "/v1/x/.."}) {
    HttpTarget target;
    EXPECT_FALSE(ParseTarget(text, &target)) << text;
  }
}

TEST(HttpTargetTest, DotsInsideNamesAreNames) {
  HttpTarget target;
  ASSERT_TRUE(ParseTarget("/v1/objects/b/..a/b../...", &target));
  EXPECT_THAT(target.parts, ElementsAre("v1", "objects", "b", "..a", "b..", "..."));
}

// Decoding once must be enough: what came out holds no further escape that was not escaped itself.
TEST(HttpTargetTest, EscapesAreDecodedOnce) {
  HttpTarget target;
  ASSERT_TRUE(ParseTarget("/v1/%252e%252e", &target));
  EXPECT_THAT(target.parts, ElementsAre("v1", "%2e%2e"));
}

}  // namespace
}  // namespace trainyard::store
