// See fake_store.h.
#include "tests/worker/agent/fake_store.h"

#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "common/sha256.h"

namespace trainyard::worker {
namespace {

class FakeClient : public blob::Client {
 public:
  explicit FakeClient(FakeStore* store) : store_(store) {}

  void GiveUpWhen(std::function<bool()> give_up) override { give_up_ = std::move(give_up); }

  absl::StatusOr<std::string> UploadBytes(absl::string_view bytes) override {
    if (absl::Status stall = Stall("up"); !stall.ok()) return stall;
    if (absl::Status status = store_->Enter(); !status.ok()) return status;
    return store_->Put(std::string(bytes));
  }
  absl::StatusOr<std::string> UploadFile(const std::string& path) override {
    absl::StatusOr<std::string> bytes = ReadFile(path);
    if (!bytes.ok()) return bytes.status();
    return UploadBytes(*bytes);
  }
  absl::StatusOr<UploadStats> UploadFolder(const std::string& folder,
                                           const blob::TreeOptions& options) override {
    absl::StatusOr<v1::Tree> tree = blob::TreeOfFolder(folder, options);
    if (!tree.ok()) return tree.status();
    UploadStats stats;
    for (v1::TreeEntry& entry : *tree->mutable_entries()) {
      if (!entry.link_target().empty()) continue;
      absl::StatusOr<std::string> digest = UploadFile(JoinPath(folder, entry.path()));
      if (!digest.ok()) return digest.status();
      entry.set_digest(*digest);
      stats.bytes_total += entry.size();
    }
    absl::StatusOr<std::string> digest = UploadBytes(tree->SerializeAsString());
    if (!digest.ok()) return digest.status();
    stats.digest = *digest;
    return stats;
  }
  absl::StatusOr<std::string> DownloadBytes(absl::string_view digest, int64_t) override {
    if (absl::Status stall = Stall("down"); !stall.ok()) return stall;
    if (absl::Status status = store_->Enter(); !status.ok()) return status;
    return store_->Get(std::string(digest));
  }
  absl::Status DownloadFile(absl::string_view digest, const std::string& path) override {
    store_->CountDownload();
    absl::StatusOr<std::string> bytes = DownloadBytes(digest, 0);
    if (!bytes.ok()) return bytes.status();
    return WriteFileAtomically(path, *bytes);
  }
  absl::Status DownloadFolder(absl::string_view digest, const std::string& folder) override {
    store_->CountDownload();
    absl::StatusOr<std::string> bytes = DownloadBytes(digest, 0);
    if (!bytes.ok()) return bytes.status();
    v1::Tree tree;
    if (!tree.ParseFromString(*bytes)) return absl::DataLossError("no tree");
    for (const v1::TreeEntry& entry : tree.entries()) {
      const std::string path = JoinPath(folder, entry.path());
      absl::Status made = MakeFolders(path.substr(0, path.rfind('/')));
      absl::StatusOr<std::string> content = store_->Get(entry.digest());
      if (!made.ok()) return made;
      if (!content.ok()) return content.status();
      made = WriteFileAtomically(path, *content, entry.mode());
      if (!made.ok()) return made;
    }
    return absl::OkStatus();
  }
  absl::StatusOr<int64_t> PutObject(absl::string_view, absl::string_view, absl::string_view,
                                    int64_t) override {
    return absl::UnimplementedError("agents put no objects");
  }
  absl::Status PublishTree(absl::string_view bucket, absl::string_view prefix,
                           absl::string_view tree) override {
    if (absl::Status status = store_->Enter(); !status.ok()) return status;
    store_->Publish(absl::StrCat(bucket, "/", prefix), std::string(tree));
    return absl::OkStatus();
  }

 private:
  absl::Status Stall(const std::string& what) {
    while (store_->Stalled(what)) {
      if (give_up_ != nullptr && give_up_()) return absl::DeadlineExceededError("given up");
      usleep(2000);
    }
    return absl::OkStatus();
  }

  FakeStore* const store_;
  std::function<bool()> give_up_;
};

}  // namespace

std::unique_ptr<blob::Client> FakeStore::MakeClient(const std::string&, const std::string& token) {
  MutexLock lock(&mutex_);
  tokens_.push_back(token);
  return std::make_unique<FakeClient>(this);
}

std::string FakeStore::Put(const std::string& bytes) {
  const std::string digest = blob::DigestOfBytes(bytes).digest;
  MutexLock lock(&mutex_);
  blobs_[digest] = bytes;
  return digest;
}

std::string FakeStore::PutFolder(const std::map<std::string, std::string>& files) {
  v1::Tree tree;
  for (const auto& [path, content] : files) {
    v1::TreeEntry* const entry = tree.add_entries();
    entry->set_path(path);
    entry->set_mode(0755);
    entry->set_size(static_cast<int64_t>(content.size()));
    entry->set_digest(Put(content));
  }
  return Put(tree.SerializeAsString());
}

absl::StatusOr<std::string> FakeStore::Get(const std::string& digest) {
  MutexLock lock(&mutex_);
  const auto found = blobs_.find(digest);
  if (found == blobs_.end()) {
    return absl::NotFoundError(absl::StrCat("no blob ", HexOf(digest)));
  }
  return found->second;
}

std::map<std::string, std::string> FakeStore::GetFolder(const std::string& digest) {
  std::map<std::string, std::string> files;
  const absl::StatusOr<std::string> bytes = Get(digest);
  v1::Tree tree;
  if (!bytes.ok() || !tree.ParseFromString(*bytes)) return files;
  for (const v1::TreeEntry& entry : tree.entries()) {
    const absl::StatusOr<std::string> content = Get(entry.digest());
    files[entry.path()] = content.ok() ? *content : "(absent)";
  }
  return files;
}

void FakeStore::Stall(const std::string& what, bool stalled) {
  MutexLock lock(&mutex_);
  if (stalled) {
    stalled_.insert(what);
  } else {
    stalled_.erase(what);
  }
}

bool FakeStore::Stalled(const std::string& what) {
  MutexLock lock(&mutex_);
  return stalled_.count(what) > 0;
}

void FakeStore::Fail(int times, const absl::Status& status) {
  MutexLock lock(&mutex_);
  failures_ = times;
  failure_ = status;
}

absl::Status FakeStore::Enter() {
  MutexLock lock(&mutex_);
  if (failures_ == 0) return absl::OkStatus();
  --failures_;
  return failure_;
}

void FakeStore::Publish(const std::string& name, const std::string& tree) {
  MutexLock lock(&mutex_);
  published_[name] = tree;
}
std::map<std::string, std::string> FakeStore::published() {
  MutexLock lock(&mutex_);
  return published_;
}

void FakeStore::CountDownload() {
  MutexLock lock(&mutex_);
  ++downloads_;
}
int FakeStore::downloads() {
  MutexLock lock(&mutex_);
  return downloads_;
}
std::vector<std::string> FakeStore::tokens() {
  MutexLock lock(&mutex_);
  return tokens_;
}

}  // namespace trainyard::worker
