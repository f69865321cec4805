# Headers compiled once in advance (TRAINYARD_PCH), for builds that start from nothing: reading the same headers again is
# most of their work. Every file includes what it uses all the same; the other builds see to that.
set(PCH_BASE
  <algorithm> <cstdint> <deque> <functional> <map> <memory> <mutex> <optional> <set> <string> <utility> <vector>
  <absl/container/flat_hash_map.h> <absl/status/statusor.h> <absl/strings/str_cat.h> <absl/strings/str_split.h>
  <absl/time/clock.h> <absl/time/time.h>
  <trainyard/agent/v1/agent.pb.h> <trainyard/journal/v1/journal.pb.h> <trainyard/v1/admin.pb.h>
  <trainyard/v1/job.pb.h> <trainyard/v1/study.pb.h>)

# An object library of one empty file that holds a set of headers.
function(trainyard_pch_holder name)
  file(WRITE "${CMAKE_BINARY_DIR}/pch/${name}.cc" "")
  add_library(${name} OBJECT "${CMAKE_BINARY_DIR}/pch/${name}.cc")
  target_link_libraries(${name} PRIVATE trainyard_options trainyard_grpc)
  if(TRAINYARD_TESTS)
    target_link_libraries(${name} PRIVATE GTest::gmock GTest::gtest)
  endif()
  target_precompile_headers(${name} PRIVATE ${ARGN})
endfunction()

# To be called when trainyard_grpc is there and no target of ours is.
function(trainyard_make_pch)
  # Some libraries ask for it, and headers are compiled either with or without it.
  target_compile_options(trainyard_options INTERFACE -pthread)
  trainyard_pch_holder(pch_base ${PCH_BASE})
  if(TRAINYARD_SANITIZE)
    trainyard_pch_holder(pch_hot ${PCH_BASE})
    target_compile_options(pch_hot PRIVATE -O1)
  endif()
  trainyard_pch_holder(pch_rpc ${PCH_BASE} <grpcpp/grpcpp.h>)
  trainyard_pch_holder(pch_test ${PCH_BASE} <gmock/gmock.h> <gtest/gtest.h>)
  # Programs are compiled for another kind of address than libraries.
  set_target_properties(pch_test PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(pch_test PRIVATE -fPIE)
endfunction()

# trainyard_use_pch(TARGET kind): kind is test, or empty or hot for a library.
function(trainyard_use_pch target kind)
  if(NOT TARGET pch_base)
    return()
  endif()
  get_target_property(libraries ${target} LINK_LIBRARIES)
  if(kind STREQUAL "test")
    target_precompile_headers(${target} REUSE_FROM pch_test)
  elseif(kind STREQUAL "hot")
    target_precompile_headers(${target} REUSE_FROM pch_hot)
  elseif("${libraries}" MATCHES "trainyard_grpc|trainyard_api|GRPCPP")
    target_precompile_headers(${target} REUSE_FROM pch_rpc)
  elseif("${libraries}" MATCHES "trainyard_|absl")
    target_precompile_headers(${target} REUSE_FROM pch_base)
  endif()
endfunction()
