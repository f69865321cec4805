// Linked into every program of a build with sanitizers: what its leak checker is to leave alone.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  // c-ares keeps the name of the last server it looked up; gRPC never gives it back.
  return "leak:libcares\n";
}
