// The reporter against a fake supervisor on a real unix socket.
#include "worker/training/reporter.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "common/file.h"
#include "common/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::training {
namespace {

using Json = nlohmann::json;

// Answers one connection after the other with the next of `replies`, hello with ok. The reply
// "hang up" closes the connection instead.
class FakeSupervisor {
 public:
  explicit FakeSupervisor(std::vector<std::string> replies) : replies_(std::move(replies)) {
    std::string pattern = testing::TempDir() + "/reporter.XXXXXX";
    folder_ = mkdtemp(pattern.data());
    path_ = folder_ + "/s";
    listener_ = FileDescriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_.get(), 4), 0);
    thread_ = std::thread([this] { Serve(); });
  }
  ~FakeSupervisor() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    RemoveTree(folder_).IgnoreError();
  }
  const std::string& path() const { return path_; }
  std::vector<Json> requests() {
    MutexLock lock(&mutex_);
    return requests_;
  }

 private:
  void Serve() {
    while (true) {
      FileDescriptor connection(accept(listener_.get(), nullptr, nullptr));
      if (!connection.valid()) return;
      std::string line;
      char c = 0;
      while (read(connection.get(), &c, 1) == 1) {
        if (c != '\n') {
          line += c;
          continue;
        }
        const std::string reply = Answer(line);
        line.clear();
        if (reply == "hang up") break;
        if (!WriteAll(connection.get(), reply + "\n").ok()) break;
      }
    }
  }
  std::string Answer(const std::string& line) {
    MutexLock lock(&mutex_);
    requests_.push_back(Json::parse(line, nullptr, false));
    if (requests_.back().contains("hello")) return R"({"ok":true})";
    if (next_ == replies_.size()) return R"({"error":"unexpected"})";
    return replies_[next_++];
  }

  std::string folder_, path_;
  const std::vector<std::string> replies_;
  FileDescriptor listener_;
  Mutex mutex_;
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Json> requests_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

TEST(ReporterTest, OutsideAJobItDoesNothingSilently) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Reporter reporter("", 0);
  EXPECT_TRUE(reporter.Report(1, {{"accuracy", 0.5}}).ok());
  EXPECT_TRUE(reporter.Checkpoint(1, "step_1").ok());
  EXPECT_FALSE(reporter.ShouldStop());
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(ReporterTest, SpeaksTheProtocol) {
  FakeSupervisor supervisor({R"({"ok":true,"should_stop":false})", R"({"ok":true})",
                             R"({"ok":true,"should_stop":true})", R"({"should_stop":true})"});
  Reporter reporter(supervisor.path(), 3);
  EXPECT_TRUE(reporter.Report(5, {{"accuracy", 0.25}, {"loss", std::nan("")}}).ok());
  EXPECT_FALSE(reporter.should_stop());
  EXPECT_TRUE(reporter.Checkpoint(5, "step_5").ok());
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(reporter.Report(6, {{"a", infinity}, {"b", -infinity}}).ok());
  EXPECT_TRUE(reporter.should_stop());
  EXPECT_TRUE(reporter.ShouldStop());
  EXPECT_THAT(supervisor.requests(),
              testing::ElementsAre(
                  Json{{"hello", {{"rank", 3}, {"pid", getpid()}}}},
                  Json::parse(R"({"report":{"step":5,"metrics":{"accuracy":0.25,"loss":"nan"}}})"),
                  Json::parse(R"({"checkpoint":{"step":5,"path":"step_5"}})"),
                  Json::parse(R"({"report":{"step":6,"metrics":{"a":"inf","b":"-inf"}}})"),
                  Json::parse(R"({"should_stop":true})")));
}

TEST(ReporterTest, ConnectsAgainAfterALoss) {
  FakeSupervisor supervisor(
      {R"({"ok":true,"should_stop":true})", "hang up", R"({"ok":true,"should_stop":false})"});
  Reporter reporter(supervisor.path(), 0);
  EXPECT_TRUE(reporter.Report(1, {{"a", 1}}).ok());
  EXPECT_TRUE(reporter.should_stop());
  EXPECT_TRUE(reporter.Report(2, {{"a", 2}}).ok()) << "sent again over a new connection";
  EXPECT_FALSE(reporter.should_stop());
}

TEST(ReporterTest, RefusalHasTheSupervisorsWords) {
  FakeSupervisor supervisor({R"({"error":"step must rise"})", "no json"});
  Reporter reporter(supervisor.path(), 0);
  const absl::Status refused = reporter.Report(1, {{"a", 1}});
  EXPECT_TRUE(absl::IsInvalidArgument(refused));
  EXPECT_EQ(refused.message(), "step must rise");
  EXPECT_FALSE(reporter.Report(1, {{"a", 1}}).ok());
}

TEST(ReporterTest, NobodyThereIsUnavailable) {
  Reporter reporter(testing::TempDir() + "/nobody", 0);
  EXPECT_TRUE(absl::IsUnavailable(reporter.Report(1, {{"a", 1}})));
  EXPECT_FALSE(reporter.ShouldStop());
}

// As a stopped process: the kernel accepts for it.
TEST(ReporterTest, ASilentSupervisorHoldsUpOneReportNotAll) {
  std::string pattern = testing::TempDir() + "/silent.XXXXXX";
  const std::string folder = mkdtemp(pattern.data()), path = folder + "/s";
  FileDescriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener.get(), 100), 0);
  const absl::Duration patience = absl::Milliseconds(500);
  Reporter reporter(path, 0, patience);
  const absl::Time start = absl::Now();
  EXPECT_TRUE(absl::IsUnavailable(reporter.Report(1, {{"a", 1}})));
  EXPECT_GE(absl::Now() - start, patience);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(absl::IsUnavailable(reporter.Report(2, {{"a", 1}})));
    EXPECT_FALSE(reporter.ShouldStop());
  }
  EXPECT_LT(absl::Now() - start, 4 * patience);
  const absl::Time again = absl::Now();
  EXPECT_TRUE(absl::IsUnavailable(reporter.Checkpoint(3, "step_3"))) << "is asked all the same";
  EXPECT_GE(absl::Now() - again, patience);
  EXPECT_TRUE(RemoveTree(folder).ok());
}

TEST(ReporterTest, TooLargeIsRefusedHere) {
  FakeSupervisor supervisor({});
  Reporter reporter(supervisor.path(), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(reporter.Report(1, {{std::string(70000, 'x'), 1}})));
  EXPECT_TRUE(supervisor.requests().empty());
}

}  // namespace
}  // namespace trainyard::training
