// Hashes by their published vectors, signed grants, and random numbers.
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/grant.h"
#include "common/random.h"
#include "common/sha256.h"

namespace trainyard {
namespace {

TEST(Sha256Test, PublishedVectors) {
  EXPECT_EQ(HexOf(Sha256Of("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(HexOf(Sha256Of("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HexOf(HmacSha256(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
}

TEST(Sha256Test, PiecesGiveTheDigestOfTheWhole) {
  const std::string text(100'001, 'q');
  Sha256 hash;
  for (size_t i = 0; i < text.size(); i += 997) hash.Update(text.substr(i, 997));
  EXPECT_EQ(hash.Finish(), Sha256Of(text));
}

TEST(Sha256Test, HexadecimalThereAndBack) {
  const std::string bytes("\x00\xff\x7f", 3);
  EXPECT_EQ(HexOf(bytes), "00ff7f");
  EXPECT_EQ(*BytesOfHex("00ff7f"), bytes);
  EXPECT_EQ(*BytesOfHex("00FF7F"), bytes);
  EXPECT_EQ(*BytesOfHex(""), "");
  for (const char* bad : {"0", "0g", "0x00", " 00 "}) EXPECT_FALSE(BytesOfHex(bad).ok()) << bad;
}

TEST(Sha256Test, ComparisonNeedsEqualLengths) {
  EXPECT_TRUE(EqualConstantTime("abc", "abc"));
  EXPECT_TRUE(EqualConstantTime("", ""));
  EXPECT_FALSE(EqualConstantTime("abc", "abd"));
  EXPECT_FALSE(EqualConstantTime("abc", "abcd"));
}

class GrantTest : public testing::Test {
 protected:
  GrantTest() {
    grant_.kind = "attempt";
    grant_.project = "vision";
    grant_.principal = "user:ada";
    grant_.run_uid = 7;
    grant_.epoch = ~0ULL;
    grant_.expire = now_ + absl::Minutes(5);
  }
  const std::string secret_ = std::string(32, 's');
  const absl::Time now_ = absl::FromUnixSeconds(1'800'000'000);
  Grant grant_;
};

TEST_F(GrantTest, SaysWhatWasSigned) {
  const auto read = VerifyGrant(SignGrant(grant_, secret_), secret_, now_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->kind, "attempt");
  EXPECT_EQ(read->project, "vision");
  EXPECT_EQ(read->principal, "user:ada");
  EXPECT_EQ(read->run_uid, 7u);
  EXPECT_EQ(read->epoch, ~0ULL);
  EXPECT_EQ(read->expire, grant_.expire);
}

TEST_F(GrantTest, EndsInTime) {
  const std::string text = SignGrant(grant_, secret_);
  EXPECT_TRUE(VerifyGrant(text, secret_, grant_.expire - absl::Microseconds(1)).ok());
  EXPECT_EQ(ReasonOf(VerifyGrant(text, secret_, grant_.expire).status()), "GRANT_INVALID");
  grant_.expire = absl::InfiniteFuture();
  EXPECT_TRUE(VerifyGrant(SignGrant(grant_, secret_), secret_, now_ + absl::Hours(1'000'000)).ok());
}

TEST_F(GrantTest, EveryChangedByteIsRefused) {
  const std::string text = SignGrant(grant_, secret_);
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    const auto read = VerifyGrant(changed, secret_, now_);
    // The last letter of a base64 group may hold bits that nobody reads.
    EXPECT_TRUE(!read.ok() || (read->project == "vision" && read->epoch == ~0ULL)) << i;
    EXPECT_TRUE(read.ok() || absl::IsUnauthenticated(read.status()));
  }
  EXPECT_FALSE(VerifyGrant(text, std::string(32, 't'), now_).ok());
  for (const char* bad : {"", "tg_", "tg_.", "tg_a.b.c", "ty_abc"}) {
    EXPECT_EQ(ReasonOf(VerifyGrant(bad, secret_, now_).status()), "GRANT_INVALID") << bad;
  }
}

TEST_F(GrantTest, AFieldCannotSayMoreThanItself) {
  grant_.principal = "user:eve\nproject=all";
  EXPECT_FALSE(VerifyGrant(SignGrant(grant_, secret_), secret_, now_).ok());
}

TEST(RandomTest, TheSameNumbersOnEveryMachine) {
  // By the algorithm's definition, computed apart from this code.
  Random random(42);
  EXPECT_EQ(random.Next(), 0x15780b2e0c2ec716u);
  EXPECT_EQ(random.Next(), 0x6104d9866d113a7eu);
  EXPECT_EQ(random.Next(), 0xae17533239e499a1u);
}

TEST(RandomTest, BoundsAndMoments) {
  Random random(7);
  int counts[5] = {};
  double sum = 0;
  double squares = 0;
  constexpr int kDraws = 20'000;
  for (int i = 0; i < kDraws; ++i) {
    const double uniform = random.Uniform();
    ASSERT_GE(uniform, 0);
    ASSERT_LT(uniform, 1);
    ++counts[random.Below(5)];
    const double normal = random.Normal();
    sum += normal;
    squares += normal * normal;
  }
  for (int count : counts) EXPECT_NEAR(count, kDraws / 5, 250);
  EXPECT_NEAR(sum / kDraws, 0, 0.03);
  EXPECT_NEAR(squares / kDraws, 1, 0.05);
  EXPECT_EQ(random.Below(1), 0u);
}

TEST(RandomTest, SeedsMixInOrder) {
  EXPECT_EQ(MixSeed(1, 2), MixSeed(1, 2));
  EXPECT_NE(MixSeed(1, 2), MixSeed(2, 1));
  std::set<uint64_t> seeds;
  for (uint64_t a = 0; a < 30; ++a) {
    for (uint64_t b = 0; b < 30; ++b) seeds.insert(MixSeed(a, b));
  }
  EXPECT_EQ(seeds.size(), 900u);
}

TEST(RandomTest, SecretsDiffer) {
  EXPECT_EQ(SecretBytes(32).size(), 32u);
  EXPECT_NE(SecretBytes(32), SecretBytes(32));
  const std::string token = NewSecretToken();
  EXPECT_TRUE(absl::StartsWith(token, "ty_"));
  EXPECT_EQ(token.size(), 3u + 43u);
  EXPECT_NE(token, NewSecretToken());
}

}  // namespace
}  // namespace trainyard
