// Who gets in, on real daemons. A cluster on every address with TLS: an agent joins with a one-time
// token, runs a job and publishes its model, the client lists it. Wrong authorities, used, expired
// and revoked tokens are refused with an answer that says what to do. Drain on a live agent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/integration/cluster/cluster.h"

namespace trainyard::testing {
namespace {

using ::testing::HasSubstr;

class AdmissionTest : public ::testing::Test {
 protected:
  // A certificate for this machine that is its own authority; `name`.pem and `name`.key.
  void MakeCertificate(const std::string& name) {
    ASSERT_EQ(
        RunToEnd({{"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
                   "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                   "-keyout", Key(name), "-out", Certificate(name)},
                  {},
                  "",
                  cluster_.Path("log/openssl"),
                  ""}),
        0);
  }
  std::string Certificate(const std::string& name) { return cluster_.Path(name + ".pem"); }
  std::string Key(const std::string& name) { return cluster_.Path(name + ".key"); }

  void StartWithTls() {
    MakeCertificate("own");
    ASSERT_FALSE(HasFatalFailure());
    DaemonOptions options;
    // By name; a machine without /etc/hosts knows none.
    addrinfo* found = nullptr;
    const bool named = getaddrinfo("localhost", nullptr, nullptr, &found) == 0;
    if (named) freeaddrinfo(found);
    const std::string host = named ? "localhost" : "127.0.0.1";
    options.flags = {"--listen=0.0.0.0:0", "--http_listen=0.0.0.0:0", "--advertise=" + host,
                     absl::StrCat("--tls_cert=", Certificate("own")),
                     absl::StrCat("--tls_key=", Key("own"))};
    const absl::Status started = cluster_.StartScheduler(options);
    ASSERT_TRUE(started.ok()) << started;
    const std::string address = cluster_.Endpoint("grpc_tcp");
    target_ = absl::StrCat(host, address.substr(address.rfind(':')));
  }
  AgentSettings OverTls(const std::string& authority) {
    AgentSettings settings;
    settings.target = target_;
    if (!authority.empty()) settings.flags = {absl::StrCat("--ca_file=", Certificate(authority))};
    return settings;
  }
  // The command line client from elsewhere; its exit code, and in `text` what it wrote.
  int Client(const std::string& authority, const std::string& token, std::vector<std::string> words,
             std::string* text) {
    const std::string out = cluster_.Path("client.out");
    RemoveTree(out).IgnoreError();
    words.insert(words.begin(), CLIENT_PATH);
    const int code = RunToEnd(
        {words,
         {absl::StrCat("TRAINYARD_ENDPOINT=", target_), absl::StrCat("TRAINYARD_TOKEN=", token),
          absl::StrCat("TRAINYARD_CA_FILE=", authority.empty() ? "" : Certificate(authority)),
          absl::StrCat("TRAINYARD_STATE=", cluster_.Path("nothing"))},
         out,
         out,
         ""});
    *text = ReadFile(out).value_or("");
    return code;
  }

  Cluster cluster_;
  std::string target_;
};

TEST_F(AdmissionTest, WholeJobOverTls) {
  StartWithTls();
  ASSERT_FALSE(HasFatalFailure());
  const absl::Status ready = cluster_.StartAgent("n1", OverTls("own"));
  ASSERT_TRUE(ready.ok()) << ready;
  Api api(target_, cluster_.Token(), ReadFile(Certificate("own")).value());
  const auto submitted = api.Submit(BeatSpec(cluster_.Beats("b"), {"ms=50"}));
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  const auto job = AwaitEnd(&api, submitted->name());
  ASSERT_TRUE(job.ok()) << job.status() << cluster_.Describe();
  EXPECT_EQ(job->state(), v1::SUCCEEDED) << job->ShortDebugString() << cluster_.Describe();
  EXPECT_EQ(job->attempts_size(), 1);
  std::string text;
  EXPECT_EQ(Client("own", cluster_.Token(), {"jobs", "list", "-o", "name"}, &text), 0) << text;
  EXPECT_THAT(text, HasSubstr("test-1"));
  // The model travelled over TLS to the store, and comes back the same way.
  const std::string pulled = cluster_.Path("pulled");
  EXPECT_EQ(Client("own", cluster_.Token(), {"pull", "test-1", pulled}, &text), 0) << text;
  EXPECT_EQ(RunToEnd({{"grep", "-rq", cluster_.Beats("b"), pulled}, {}, "", "", ""}), 0) << text;
}

// All that the new machine gets is the token; it knows the scheduler by the pin in it.
TEST_F(AdmissionTest, TokenAloneJoinsOverTlsAndAJobWithAPackageRuns) {
  StartWithTls();
  ASSERT_FALSE(HasFatalFailure());
  const absl::Status ready = cluster_.StartAgent("n1", OverTls(""));
  ASSERT_TRUE(ready.ok()) << ready;
  std::string text;
  ASSERT_EQ(Client("own", cluster_.Token(), {"token", "create", "ann", "--role", "submitter", "-q"},
                   &text),
            0)
      << text;
  const std::string ann(absl::StripAsciiWhitespace(text));
  const std::string package = cluster_.Path("trainer");
  ASSERT_TRUE(MakeFolders(package).ok());
  ASSERT_TRUE(WriteFileAtomically(package + "/__init__.py", "").ok());
  ASSERT_TRUE(
      WriteFileAtomically(package + "/task.py",
                          "import os\nprint('over', 'tls')\n"
                          "open(os.environ['AIP_MODEL_DIR'] + 'model.bin', 'w').write('weights')\n")
          .ok());
  EXPECT_EQ(Client("own", ann,
                   {"jobs", "submit", "training", "first", "--module-name", "trainer.task",
                    "--package-path", package, "--job-dir", "gs://team/first", "--stream-logs"},
                   &text),
            0)
      << text << cluster_.Describe();
  EXPECT_EQ(Client("own", ann, {"jobs", "logs", "first"}, &text), 0) << text;
  EXPECT_THAT(text, HasSubstr("over tls"));
  const std::string pulled = cluster_.Path("pulled");
  EXPECT_EQ(Client("own", ann, {"pull", "first", pulled}, &text), 0) << text;
  EXPECT_EQ(ReadFile(pulled + "/model/model.bin").value_or("absent"), "weights");
  // The certificate is remembered: the next start needs no token.
  EXPECT_EQ(cluster_.agent("n1").Stop(), 0);
  ASSERT_TRUE(WriteFileDurably(cluster_.Path("join-n1"), "ty_used_up").ok());
  cluster_.LaunchAgent("n1", OverTls(""));
  EXPECT_TRUE(cluster_.AwaitReady("n1").ok()) << cluster_.AgentLog("n1");
}

TEST_F(AdmissionTest, AServerWithAnotherCertificateIsNotJoined) {
  StartWithTls();
  ASSERT_FALSE(HasFatalFailure());
  const auto token = cluster_.Connect()->CreateJoinToken("n1");
  ASSERT_TRUE(token.ok());
  std::string wrong = token->secret();
  ASSERT_THAT(wrong, HasSubstr(":"));
  wrong.back() = wrong.back() == '0' ? '1' : '0';
  ASSERT_TRUE(WriteFileDurably(cluster_.Path("join-n1"), wrong).ok());
  cluster_.LaunchAgent("n1", OverTls(""));
  EXPECT_EQ(cluster_.agent("n1").Await(), 1);
  EXPECT_THAT(cluster_.AgentLog("n1"), HasSubstr("its certificate is another"));
  // The token was not spent on that server.
  ASSERT_TRUE(WriteFileDurably(cluster_.Path("join-n1"), token->secret()).ok());
  cluster_.LaunchAgent("n1", OverTls(""));
  EXPECT_TRUE(cluster_.AwaitReady("n1").ok()) << cluster_.AgentLog("n1");
}

TEST_F(AdmissionTest, WrongAuthorityIsNeverSpokenTo) {
  StartWithTls();
  MakeCertificate("other");
  ASSERT_FALSE(HasFatalFailure());
  // The client ends as for a server that cannot be reached; the token was not sent.
  std::string text;
  EXPECT_EQ(Client("other", cluster_.Token(), {"jobs", "list"}, &text), 6) << text;
  EXPECT_EQ(Client("own", "ty_wrong", {"jobs", "list"}, &text), 5) << text;
  const auto token = cluster_.Connect()->CreateJoinToken("n1");
  ASSERT_TRUE(token.ok());
  ASSERT_TRUE(WriteFileDurably(cluster_.Path("join-n1"), token->secret()).ok());
  cluster_.LaunchAgent("n1", OverTls("other"));
  EXPECT_EQ(cluster_.agent("n1").Await(), 1) << cluster_.AgentLog("n1");
  EXPECT_THAT(cluster_.AgentLog("n1"), HasSubstr("--ca_file"));
  // The token was not used up by that.
  const absl::Status ready = [&] {
    cluster_.LaunchAgent("n1", OverTls("own"));
    return cluster_.AwaitReady("n1");
  }();
  EXPECT_TRUE(ready.ok()) << ready;
}

TEST_F(AdmissionTest, AgentRefusesForeignAddressWithoutAuthority) {
  AgentSettings settings;
  settings.target = "trainyard.example:7000";
  ASSERT_TRUE(WriteFileDurably(cluster_.Path("join-n1"), "ty_any").ok());
  cluster_.LaunchAgent("n1", settings);
  EXPECT_EQ(cluster_.agent("n1").Await(), 1);
  EXPECT_THAT(cluster_.AgentLog("n1"), HasSubstr("give --ca_file=FILE"));
}

TEST_F(AdmissionTest, JoinTokenAdmitsOneAgentOnceAndExpires) {
  ASSERT_TRUE(cluster_.StartScheduler().ok());
  const auto api = cluster_.Connect();
  const auto token = api->CreateJoinToken("n1");
  ASSERT_TRUE(token.ok());
  EXPECT_THAT(token->command(), HasSubstr("--join_token_file="));
  ASSERT_TRUE(WriteFileDurably(cluster_.Path("join-n1"), token->secret()).ok());
  ASSERT_TRUE(WriteFileDurably(cluster_.Path("join-n2"), token->secret()).ok());
  cluster_.LaunchAgent("n1", {});
  ASSERT_TRUE(cluster_.AwaitReady("n1").ok()) << cluster_.AgentLog("n1");
  cluster_.LaunchAgent("n2", {});
  EXPECT_EQ(cluster_.agent("n2").Await(), 1);
  EXPECT_THAT(cluster_.AgentLog("n2"), HasSubstr("join-token")) << "how to have another";
  EXPECT_FALSE(api->GetNode("nodes/n2").ok());
  const auto late = api->CreateJoinToken("n3", absl::Milliseconds(1));
  ASSERT_TRUE(late.ok()) << late.status();
  ASSERT_TRUE(WriteFileDurably(cluster_.Path("join-n3"), late->secret()).ok());
  absl::SleepFor(absl::Milliseconds(2));
  cluster_.LaunchAgent("n3", {});
  EXPECT_EQ(cluster_.agent("n3").Await(), 1);
  EXPECT_FALSE(api->GetNode("nodes/n3").ok());
  // The first one's own token outlives its restart; the join token is not asked for again.
  EXPECT_EQ(cluster_.agent("n1").Stop(), 0);
  ASSERT_TRUE(WriteFileDurably(cluster_.Path("join-n1"), "ty_used_up").ok());
  cluster_.LaunchAgent("n1", {});
  EXPECT_TRUE(cluster_.AwaitReady("n1").ok()) << cluster_.AgentLog("n1");
}

TEST_F(AdmissionTest, TokensDoWhatTheirRoleMayUntilRevokedOrExpired) {
  ASSERT_TRUE(cluster_.StartScheduler().ok());
  const auto owner = cluster_.Connect();
  const auto submitter = owner->CreateToken("ann", v1::SUBMITTER, "default");
  const auto viewer = owner->CreateToken("bob", v1::VIEWER, "default");
  const auto late = owner->CreateToken("eve", v1::ADMIN, "", absl::Milliseconds(1));
  ASSERT_TRUE(submitter.ok() && viewer.ok()) << submitter.status() << viewer.status();
  ASSERT_TRUE(late.ok()) << late.status();
  absl::SleepFor(absl::Milliseconds(2));
  Api ann(cluster_.Socket(), submitter->secret());
  Api bob(cluster_.Socket(), viewer->secret());
  Api eve(cluster_.Socket(), late->secret());
  const auto job = ann.Submit(SpecOf({"/bin/true"}));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_TRUE(bob.Get(job->name()).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(bob.Cancel(job->name()).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(bob.Submit(SpecOf({"/bin/true"})).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(ann.CreateToken("ann", v1::ADMIN, "default").status()));
  EXPECT_TRUE(absl::IsUnauthenticated(eve.Info().status()));
  ASSERT_TRUE(owner->RevokeToken(submitter->id()).ok());
  const absl::Status refused = ann.Get(job->name()).status();
  EXPECT_TRUE(absl::IsUnauthenticated(refused)) << refused;
  EXPECT_NE(refused.message(), "");
  // Revocation is as durable as anything else.
  cluster_.scheduler().Kill();
  ASSERT_TRUE(cluster_.StartScheduler().ok());
  EXPECT_TRUE(absl::IsUnauthenticated(
      Api(cluster_.Socket(), submitter->secret()).Get(job->name()).status()));
  EXPECT_TRUE(Api(cluster_.Socket(), viewer->secret()).Get(job->name()).ok());
}

TEST_F(AdmissionTest, DrainLetsRunningWorkEndAndNothingNewBegin) {
  ASSERT_TRUE(cluster_.StartScheduler().ok());
  const auto api = cluster_.Connect();
  ASSERT_TRUE(cluster_.StartAgent("n1").ok());
  const std::string until = absl::StrCat("until=", cluster_.Path("end"));
  const auto first = api->Submit(BeatSpec(cluster_.Beats("first"), {until}));
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(AwaitBeats(cluster_.Beats("first"), 1));
  const auto draining = api->Drain("nodes/n1", false);
  ASSERT_TRUE(draining.ok()) << draining.status();
  const auto second = api->Submit(BeatSpec(cluster_.Beats("second"), {"ms=1"}));
  ASSERT_TRUE(second.ok());
  ASSERT_TRUE(Eventually([&] {
    const auto node = api->GetNode("nodes/n1");
    const auto waiting = api->Get(second->name());
    return node.ok() && node->state() == v1::DRAINING && waiting.ok() &&
           !waiting->waiting_reason().empty();
  }));
  EXPECT_EQ(api->Get(second->name())->state(), v1::QUEUED);
  EXPECT_TRUE(AwaitBeats(cluster_.Beats("first"), 1, ReadBeats(cluster_.Beats("first"))[0].counter))
      << "what ran goes on";
  ASSERT_TRUE(WriteFileDurably(cluster_.Path("end"), "").ok());
  EXPECT_EQ(AwaitEnd(api.get(), first->name())->state(), v1::SUCCEEDED);
  EXPECT_TRUE(Eventually([&] { return api->GetNode("nodes/n1")->state() == v1::DRAINED; }));
  // A drain outlives both daemons.
  cluster_.scheduler().Kill();
  cluster_.agent("n1").Kill();
  ASSERT_TRUE(cluster_.StartScheduler().ok());
  cluster_.LaunchAgent("n1", {});
  const auto later = cluster_.Connect();
  ASSERT_TRUE(Eventually([&] { return later->GetNode("nodes/n1")->state() == v1::DRAINED; }));
  EXPECT_EQ(later->Get(second->name())->state(), v1::QUEUED);
  EXPECT_TRUE(ReadBeats(cluster_.Beats("second")).empty());
  ASSERT_TRUE(later->Drain("nodes/n1", true).ok());
  EXPECT_EQ(AwaitEnd(later.get(), second->name())->state(), v1::SUCCEEDED);
  EXPECT_TRUE(cluster_.AwaitQuiet(later.get()).ok());
}

}  // namespace
}  // namespace trainyard::testing
