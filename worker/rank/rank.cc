// See rank.h.
#include "worker/rank/rank.h"

#include <cstdio>
#include <cstdlib>

namespace trainyard::worker {
namespace {

// As a JSON string.
std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20) {
      char escape[8];
      snprintf(escape, sizeof escape, "\\u%04x", byte);
      quoted += escape;
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

}  // namespace

Variables FromOpenMpi(const char* (*get)(const char* name)) {
  static constexpr const char* kNames[][2] = {
      {"OMPI_COMM_WORLD_RANK", "RANK"},
      {"OMPI_COMM_WORLD_SIZE", "WORLD_SIZE"},
      {"OMPI_COMM_WORLD_LOCAL_RANK", "LOCAL_RANK"},
      {"OMPI_COMM_WORLD_LOCAL_SIZE", "LOCAL_WORLD_SIZE"},
  };
  Variables out;
  for (const auto& [theirs, ours] : kNames) {
    if (const char* const value = get(theirs)) out.emplace_back(ours, value);
  }
  return out;
}

Variables ParseTable(const std::string& bytes) {
  Variables out;
  for (size_t start = 0; start < bytes.size();) {
    const size_t end = bytes.find('\0', start);
    if (end == std::string::npos) break;  // a torn last entry
    const size_t equals = bytes.find('=', start);
    if (equals != std::string::npos && equals > start && equals < end) {
      out.emplace_back(bytes.substr(start, equals - start),
                       bytes.substr(equals + 1, end - equals - 1));
    }
    start = end + 1;
  }
  return out;
}

int32_t ParseRank(const char* text) {
  if (text == nullptr || *text == '\0') return -1;
  int64_t value = 0;
  for (const char* at = text; *at != '\0'; ++at) {
    if (*at < '0' || *at > '9') return -1;
    value = value * 10 + (*at - '0');
    if (value > 1 << 30) return -1;
  }
  return static_cast<int32_t>(value);
}

std::string HelloLine(int32_t rank, int pid) {
  return "{\"hello\":{\"rank\":" + std::to_string(rank) + ",\"pid\":" + std::to_string(pid) +
         "}}\n";
}

std::string ExitedLine(int32_t rank, int wait_status, int64_t time_ns) {
  return "{\"exited\":{\"rank\":" + std::to_string(rank) +
         ",\"status\":" + std::to_string(wait_status) + ",\"time_ns\":" + std::to_string(time_ns) +
         "}}\n";
}

std::string SpawnLine(const std::string& host, const std::vector<std::string>& words) {
  std::string list;
  for (const std::string& word : words) {
    if (!list.empty()) list += ',';
    list += Quoted(word);
  }
  return "{\"spawn\":{\"host\":" + Quoted(host) + ",\"words\":[" + list + "]}}\n";
}

std::vector<std::string> ParseWords(const std::string& bytes) {
  std::vector<std::string> words;
  for (size_t start = 0; start < bytes.size();) {
    const size_t end = bytes.find('\0', start);
    if (end == std::string::npos) break;  // a torn last entry
    words.push_back(bytes.substr(start, end - start));
    start = end + 1;
  }
  return words;
}

std::string ExecFailedLine(int32_t rank, int error, const std::string& path) {
  return "{\"exec_failed\":{\"rank\":" + std::to_string(rank) +
         ",\"status\":" + std::to_string(error) + ",\"path\":" + Quoted(path) + "}}\n";
}

}  // namespace trainyard::worker
