// libFuzzer on the reader of checkpoints' manifests: any text has an answer, and what is read names
// files inside the checkpoint's folder alone. The input is read as it is, and once more with its
// checksum put right, as somebody who forges a manifest would.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "common/file.h"
#include "common/sha256.h"
#include "worker/training/checkpoint.h"

namespace {

using Json = nlohmann::json;

void Check(const std::string& text) {
  const auto manifest = trainyard::training::DecodeCheckpointManifest(text, "manifest.json");
  if (!manifest.ok()) {
    if (!absl::IsDataLoss(manifest.status()) || manifest.status().message().empty()) abort();
    return;
  }
  if (manifest->step < 0 || manifest->world_size < 1) abort();
  for (const auto& shard : manifest->shards) {
    if (!trainyard::CheckRelativePath(shard.file).ok()) abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  Check(text);
  int depth_seen = 0;
  Json manifest = Json::parse(
      text,
      [&depth_seen](int depth, Json::parse_event_t, const Json&) {
        depth_seen = std::max(depth_seen, depth);
        return true;
      },
      /*allow_exceptions=*/false);
  if (!manifest.is_object() || depth_seen > 64) return 0;
  manifest.erase("sha256");
  const std::string plain = manifest.dump(-1, ' ', false, Json::error_handler_t::replace);
  manifest["sha256"] = trainyard::HexOf(trainyard::Sha256Of(plain));
  Check(manifest.dump(-1, ' ', false, Json::error_handler_t::replace));
  return 0;
}
