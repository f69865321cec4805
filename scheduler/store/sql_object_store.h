// Objects in one SQLite file: (bucket, name) -> blob, with a generation that never comes back, also
// not after a delete. Prepared statements only. Thread-safe; one connection under a mutex.
#ifndef TRAINYARD_SCHEDULER_STORE_SQL_OBJECT_STORE_H_
#define TRAINYARD_SCHEDULER_STORE_SQL_OBJECT_STORE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "scheduler/store/store.h"

namespace trainyard::store {

// `path`: the database file, made if absent.
absl::StatusOr<std::unique_ptr<ObjectStore>> OpenSqlObjectStore(const std::string& path);

}  // namespace trainyard::store

#endif  // TRAINYARD_SCHEDULER_STORE_SQL_OBJECT_STORE_H_
