// trainyard store ls and cp: objects of the cluster's own store by their gs:// or s3:// names.
#include <string.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/node_view.h"
#include "client/cli/output.h"
#include "client/sdk/client.h"
#include "client/sdk/open_store.h"
#include "common/blob/blob.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::cli {
namespace {

constexpr int64_t kAnyGeneration = -1;

struct Place {
  std::string bucket;
  std::string name;
};

bool IsUri(absl::string_view text) {
  return absl::StartsWith(text, "gs://") || absl::StartsWith(text, "s3://");
}

// "gs://team/iris/model" -> team, iris/model. Without a scheme the text is taken as after one.
Place PlaceOf(absl::string_view text) {
  if (IsUri(text)) text.remove_prefix(5);
  const size_t slash = text.find('/');
  if (slash == absl::string_view::npos) return {std::string(text), ""};
  return {std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

std::string UriOf(const v1::ObjectInfo& object) {
  return absl::StrCat("gs://", object.bucket(), "/", object.name());
}

absl::StatusOr<std::vector<v1::ObjectInfo>> Fetch(client::Client* client, const Place& place) {
  std::vector<v1::ObjectInfo> objects;
  v1::ListObjectsRequest request;
  request.set_bucket(place.bucket);
  request.set_prefix(place.name);
  do {
    const absl::StatusOr<v1::ListObjectsResponse> page = client->ListObjects(request);
    if (!page.ok()) return page.status();
    objects.insert(objects.end(), page->objects().begin(), page->objects().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  return objects;
}

absl::Status ListObjects(Context* context, const Arguments& arguments) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  absl::StatusOr<std::vector<v1::ObjectInfo>> objects = Fetch(*client, PlaceOf(arguments.Word(0)));
  if (!objects.ok()) return objects.status();
  if (objects->empty()) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("there is no object in ", arguments.Word(0)),
                     "check the name; to put one there: trainyard store cp FILE gs://BUCKET/NAME");
  }
  if (context->format == Format::kTable) {
    std::stable_sort(objects->begin(), objects->end(), [](const auto& a, const auto& b) {
      return strverscmp(a.name().c_str(), b.name().c_str()) < 0;  // step_2 before step_10
    });
  }
  List list{{}, {}};
  list.table.headers = {"OBJECT", "SIZE", "GENERATION"};
  list.table.right = {false, true, true};
  for (const v1::ObjectInfo& object : *objects) {
    list.items.push_back(&object);
    list.table.rows.push_back(
        {UriOf(object),
         context->format == Format::kTable ? BytesText(object.size()) : absl::StrCat(object.size()),
         absl::StrCat(object.generation())});
    list.table.names.push_back(UriOf(object));
  }
  PrintList(&context->console(), context->format, list);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<blob::Client>> Store(Context* context, bool upload) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<std::string> parent = context->Parent();
  if (!parent.ok()) return parent.status();
  return client::OpenStore(*client, *parent,
                           upload ? client::StoreUse::kUpload : client::StoreUse::kDownload);
}

absl::Status Upload(Context* context, const std::string& file, const Place& to) {
  if (!Exists(file)) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("there is no file \"", file, "\""),
                     "check the path; it is relative to the folder you are in");
  }
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE",
                     absl::StrCat("\"", file, "\" is a folder; single files are copied"),
                     absl::StrCat("for f in ", file, "/*; do trainyard store cp \"$f\" gs://",
                                  to.bucket, "/", to.name, "; done"));
  }
  Place place = to;
  if (place.name.empty() || absl::EndsWith(place.name, "/")) {
    absl::StrAppend(&place.name, file.substr(file.rfind('/') + 1));
  }
  const absl::StatusOr<std::unique_ptr<blob::Client>> store = Store(context, /*upload=*/true);
  if (!store.ok()) return store.status();
  const absl::StatusOr<std::string> digest = (*store)->UploadFile(file);
  if (!digest.ok()) return digest.status();
  const absl::StatusOr<int64_t> generation =
      (*store)->PutObject(place.bucket, place.name, *digest, kAnyGeneration);
  if (!generation.ok()) return generation.status();
  if (!context->quiet) {
    context->console().ErrLine(
        absl::StrCat("gs://", place.bucket, "/", place.name, " generation ", *generation));
  }
  return absl::OkStatus();
}

absl::Status Download(Context* context, const Place& from, std::string file, bool replace) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<std::vector<v1::ObjectInfo>> objects = Fetch(*client, from);
  if (!objects.ok()) return objects.status();
  if (objects->empty() || objects->front().name() != from.name) {
    std::vector<std::string> names;
    for (const v1::ObjectInfo& object : *objects) names.push_back(UriOf(object));
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("there is no object gs://", from.bucket, "/", from.name),
                     names.empty()
                         ? absl::StrCat("see what there is: trainyard store ls gs://", from.bucket)
                         : absl::StrCat("did you mean ", names.front(), "?"));
  }
  std::error_code error;
  if (std::filesystem::is_directory(file, error))
    file = JoinPath(file, from.name.substr(from.name.rfind('/') + 1));
  if (Exists(file) && !replace) {
    return MakeError(absl::StatusCode::kAlreadyExists, "ALREADY_EXISTS",
                     absl::StrCat(file, " is there already"),
                     "name another file, or replace it with --force");
  }
  const absl::StatusOr<std::unique_ptr<blob::Client>> store = Store(context, /*upload=*/false);
  if (!store.ok()) return store.status();
  return (*store)->DownloadFile(objects->front().digest(), file);
}

absl::Status Copy(Context* context, const Arguments& arguments) {
  const std::string from = arguments.Word(0);
  const std::string to = arguments.Word(1);
  if (IsUri(from) == IsUri(to)) {
    return UsageError("one of the two is a gs:// or s3:// name, the other a file",
                      "trainyard store cp FILE gs://BUCKET/NAME, or the other way round");
  }
  return IsUri(to) ? Upload(context, from, PlaceOf(to))
                   : Download(context, PlaceOf(from), to, arguments.Has("force"));
}

}  // namespace

Command StoreLsCommand() {
  Command command;
  command.words = "store ls";
  command.summary = "List the objects of a bucket of the cluster's store.";
  command.examples = {"trainyard store ls gs://team/data/", "trainyard store ls gs://team -o json"};
  command.positionals = {{.name = "URI"}};
  command.run = ListObjects;
  command.prints = true;
  command.notes = {
      "gs:// and s3:// names are buckets of this cluster. What jobs publish: trainyard outputs "
      "JOB."};
  return command;
}

Command StoreCpCommand() {
  Command command;
  command.words = "store cp";
  command.summary = "Copy a file into the cluster's store, or out of it.";
  command.examples = {"trainyard store cp data.csv gs://team/data/",
                      "trainyard store cp gs://team/data/data.csv ."};
  command.positionals = {{.name = "FROM", .complete = Complete::kFile},
                         {.name = "TO", .complete = Complete::kFile}};
  command.flags = {{.name = "force", .help = "replace a file that is there already"}};
  command.run = Copy;
  return command;
}

}  // namespace trainyard::cli
