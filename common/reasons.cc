// The table of every error reason a user can meet. docs/errors.md has a section for each; a test
// compares both.
#include <iterator>

#include "common/errors.h"

namespace trainyard {

namespace {

// Why a job waits.
const ReasonInfo kWaiting[] = {
    {"NO_CAPACITY", "No node of the cluster could ever run this."},
    {"WAITING_FOR_RESOURCES", "The job waits until devices or cores become free."},
    {"WAITING_FOR_NODES", "No node is connected."},
    {"WAITING_BEHIND", "Jobs ahead in the queue are served first."},
    {"WAITING_FOR_PREEMPTION", "Runs that stop for the job have not released their devices yet."},
    {"WAITING_FOR_RESERVATION", "The devices that would fit are held for somebody else."},
    {"WAITING_FOR_MAINTENANCE", "Nodes are kept free for maintenance."},
    {"QUOTA_EXCEEDED", "The job's team, project or user is at its limit."},
    {"QUOTA_BELOW_NEED", "The job needs more than its team, project or user may ever use."},
    {"HELD", "The job is on hold until it is released."},
    {"WAITING_FOR_JOBS", "Other jobs have to end first."},
    {"QUEUE_STOPPED", "The job's queue starts no jobs at present."},
};
// What the queue refuses.
const ReasonInfo kQueueing[] = {
    {"QUEUE_CLOSED", "The queue takes no new jobs."},
    {"DEPENDENCY_FAILED", "A job that this one waits for ended otherwise."},
    {"QUOTA_TOO_LARGE", "More is promised below a place of the quota tree than it has."},
};

}  // namespace

const std::vector<ReasonInfo>& KnownReasons() {
  static const std::vector<ReasonInfo>* const reasons = [] {
    auto* list = new std::vector<ReasonInfo>{
        // General, by status code.
        {"INVALID_ARGUMENT", "A request is wrong by itself."},
        {"NOT_FOUND", "There is nothing of that name."},
        {"ALREADY_EXISTS", "The name is taken."},
        {"PERMISSION_DENIED", "The caller's role does not allow this."},
        {"UNAUTHENTICATED", "The request carries no valid token."},
        {"RESOURCE_EXHAUSTED", "A limit is reached; try again later."},
        {"FAILED_PRECONDITION", "The thing is not in a state that allows this."},
        {"UNAVAILABLE", "The server cannot answer now; try again."},
        {"TIMED_OUT", "The wait was longer than its limit."},
        {"ABORTED", "Somebody else changed the thing first."},
        {"INTERNAL", "A fault of ours; the log of the daemon has more."},
        // Specs.
        {"SPEC_SYNTAX", "The file is not valid YAML or JSON."},
        {"SPEC_EMPTY", "The file holds no spec."},
        {"SPEC_TOO_LARGE", "The file is larger, deeper or more aliased than a spec may be."},
        {"SPEC_NOT_TEXT", "The file is not UTF-8 text."},
        {"SPEC_FILE", "The file cannot be read."},
        {"UNKNOWN_FIELD", "The spec has a key that nobody reads."},
        {"DUPLICATE_KEY", "The same key stands twice in one map."},
        {"WRONG_TYPE", "A value is of another type than the field."},
        {"BAD_ENUM", "A value is not one of the field's choices."},
        {"OUT_OF_RANGE", "A number is outside the field's limits."},
        {"MISSING_FIELD", "A required field is absent."},
        {"BAD_VALUE", "A value cannot be what it is for this field."},
        {"CONFLICT", "Two fields contradict each other."},
        {"NOT_SUPPORTED", "The spec asks for something this version does not do."},
        {"MAP_FOR_LIST", "A single map stands where a list belongs; it is taken as a list of one."},
        {"IGNORED_FIELD", "A field is accepted and has no effect here."},
        {"BAD_NAME", "A name breaks the naming rule."},
        {"BAD_DURATION", "A duration is not written as a number with a unit."},
        {"BAD_SEARCH_SPACE", "A parameter of the search space is impossible."},
        {"GRID_TOO_LARGE", "A grid has more points than the study has trials."},
        // Packages and programs.
        {"PACKAGE_NOT_FOUND", "A package path does not exist."},
        {"PACKAGE_INVALID", "A folder or archive is no usable package."},
        {"MODULE_NOT_FOUND", "The module is not in the packages."},
        {"ARGUMENT_REFUSED", "The program does not know an argument that it was given."},
        {"METRIC_MISSING", "The program never reported the metric the study needs."},
        {"OUTPUT_NOT_WRITABLE", "The output folder cannot be written."},
        {"PROGRAM_FAILED", "The program ended with an error."},
        // Cluster.
        {"BACKING_OFF", "The job waits before its next attempt."},
        {"NODE_UNREACHABLE", "A node has not been heard of."},
        {"SCHEDULER_UNREACHABLE", "The scheduler does not answer at the address tried."},
        {"NOT_RUNNING", "No embedded cluster runs here."},
        {"ALREADY_RUNNING", "An embedded cluster runs here already."},
        {"INSECURE_ADDRESS", "A server may not listen there without TLS."},
        {"REQUEST_ID_REUSED", "The same request id came with another body."},
        {"ETAG_MISMATCH", "The thing changed since it was read."},
        {"DISK_FULL", "The scheduler's disk is full; submits are refused."},
        {"VERSION_MISMATCH", "Client and server are too far apart in version."},
        {"STORE_CORRUPT", "Stored bytes do not match their digest."},
        {"GRANT_INVALID", "A grant for the store is wrong, expired or for something else."},
        {"JOIN_REFUSED", "A join token is unknown, used or expired."},
        {"STUDY_COMPLETE", "The study takes no further trials."},
        {"TRIAL_TERMINAL", "The trial has ended."},
        {"USAGE", "The command line is wrong."},
        {"JOB_FAILED", "The job ended without success."},
        {"EXPIRED", "The job waited longer than its maxWait allows."},
    };
    list->insert(list->end(), std::begin(kWaiting), std::end(kWaiting));
    list->insert(list->end(), std::begin(kQueueing), std::end(kQueueing));
    return list;
  }();
  return *reasons;
}

}  // namespace trainyard
